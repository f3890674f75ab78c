"""The workloads that are explored, by name, so that a schedule of one can be replayed; and mutants of what they run.

A mutant is a defect that somebody could write. It is put in the place of a production method, for one test.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from hotswap._core import Core
from hotswap._lifecycle import Lifecycle
from hotswap._locked import locked
from hotswap._protocol import HotReloadProtocol
from hotswap._version import Lease, Version, Waiter
from interleaved import Case, Workload, case
from interleaved_more import EXCLUSIVE, MORE, PREPARED
from scheduler import Limits


def two_calls(work: Workload) -> None:
    work.caller()
    work.caller()


def call_execute(work: Workload) -> None:
    work.caller()
    work.executor()


def call_upgrade(work: Workload) -> None:
    work.caller()
    work.upgrader(2)


def two_calls_execute(work: Workload) -> None:
    two_calls(work)
    work.executor()


def two_calls_upgrade(work: Workload) -> None:
    two_calls(work)
    work.upgrader(2)


def call_execute_close(work: Workload) -> None:
    call_execute(work)
    work.closer()


def call_upgrade_cancel(work: Workload) -> None:
    call_upgrade(work)
    work.canceller()


def upgrade_cancel(work: Workload) -> None:
    work.upgrader(2)
    work.canceller()


def execute_cancel(work: Workload) -> None:
    work.executor()
    work.canceller()


def execute_upgrade(work: Workload) -> None:
    work.executor()
    work.upgrader(3)


def call_close(work: Workload) -> None:
    work.caller()
    work.closer()


CANCELLED: Final = "UpgradeCancelled", "Busy"
CASES: Final[dict[str, Case]] = {
    "two calls": case(two_calls),
    "two calls, waking for no reason": case(two_calls, limits=Limits(spurious=1)),
    "two calls, one may time out": case(two_calls, "Overloaded", limits=Limits(timeouts=1)),
    "call, close": case(call_close, "PluginClosed"),
    "call, execute": case(call_execute, **PREPARED),
    "call, execute, exclusive": case(call_execute, **PREPARED, **EXCLUSIVE),
    "call, execute, may time out": case(call_execute, "DrainTimeout", limits=Limits(timeouts=1), **PREPARED),
    "call, execute, exclusive, may time out": case(
        call_execute, "DrainTimeout", limits=Limits(timeouts=1), **PREPARED, **EXCLUSIVE
    ),
    "call, execute, waking for no reason": case(call_execute, limits=Limits(spurious=1), **PREPARED),
    "call, upgrade": case(call_upgrade),
    "execute, cancel": case(execute_cancel, "Busy", "WrongState", **PREPARED),
    "execute, upgrade": case(execute_upgrade, "Busy", **PREPARED),
    "upgrade, cancel": case(upgrade_cancel, *CANCELLED),
    "two calls, execute": case(two_calls_execute, **PREPARED),
    "two calls, execute, exclusive": case(two_calls_execute, **PREPARED, **EXCLUSIVE),
    "two calls, upgrade": case(two_calls_upgrade),
    "two calls, upgrade, exclusive": case(two_calls_upgrade, **EXCLUSIVE),
    "call, execute, close": case(call_execute_close, "PluginClosed", **PREPARED),
    "call, execute, close, exclusive": case(call_execute_close, "PluginClosed", **PREPARED, **EXCLUSIVE),
    "call, upgrade, cancel": case(call_upgrade_cancel, *CANCELLED),
    "call, upgrade, cancel, exclusive": case(call_upgrade_cancel, *CANCELLED, **EXCLUSIVE),
}
CASES.update(MORE)


# Mutants ----------------------------------------------------------------------------------------------------------


def release_without_looking(self: Core, lease: Lease) -> None:
    lease.version.home_of(lease).append(lease)


def retire_without_attention(self: Core, version: Version) -> None:
    if version.live.value and version not in self._retired:
        self._retired.append(version)


def drain_by_counting(self: Version) -> bool:
    return self.size == len(self.free) + len(self.gathered) + len(self.tombs)


def settle_without_gathering(self: Core) -> None:
    current, shut = self.current.value, self._shut_since is not None
    current.attention.value = bool(self._waiters) or shut
    while self._waiters and not (shut and not self._waiters[0].held) and (lease := current.take()) is not None:
        self._waiters[0].lease = lease
        self._waiters.pop(0).parker.unpark()
    for version in self._retired:
        if version.drained:
            self.wake()
    current.attention.value = bool(self._waiters) or shut


def drained_but_one(self: Version) -> bool:
    return len(self.gathered) + len(self.tombs) >= self.size - 1


def settle_without_wake(self: Core) -> None:
    for version in self._retired:
        version.announced = True
    SETTLE(self)


def park_once(self: Lifecycle, version: Version, timeout: float | None, *, closing: bool = False) -> bool:
    parker = self._sync.parker()
    self._parked.append(parker)
    try:
        if not self._drained(version, closing):
            parker.park(timeout)
        return True
    finally:
        self._parked.remove(parker)


def enqueue_without_settling(self: Core, waiter: Waiter) -> float | None:
    self._waiters.append(waiter)
    self.current.value.attention.value = True
    return self._left(waiter)


def offer_to_anybody(self: HotReloadProtocol, attempt: object) -> None:
    self._refuse_closed()


def reclaim_what_is_free(self: Lifecycle, version: Version) -> list[Lease]:
    if version is not self._kept and version in self._retired and version.drained:
        while (lease := version.take()) is not None:
            version.gathered.append(lease)
    return RECLAIM(self, version)


def close_without_wake(self: HotReloadProtocol) -> None:
    wake, self.wake = self.wake, lambda: None  # type: ignore[method-assign]
    try:
        CLOSE(self)
    finally:
        self.wake = wake  # type: ignore[method-assign]


def publish_without_lock(self: HotReloadProtocol, old: Version, candidate: Version) -> None:
    self._refuse_closed()
    self._retire(old)
    self._settle()
    self.current.value = candidate


SETTLE: Final = Core._settle
RECLAIM: Final = Lifecycle.reclaim
CLOSE: Final = HotReloadProtocol.close


class Mutant(NamedTuple):
    case: str
    patches: tuple[tuple[type, str, Any], ...]


MUTANTS: Final[dict[str, Mutant]] = {
    "release does not look for attention": Mutant("two calls", ((Core, "release", release_without_looking),)),
    "retire sets no attention": Mutant("call, execute", ((Core, "_retire", retire_without_attention),)),
    "the drain counts free leases instead of taking them": Mutant(
        "call, execute",
        (
            (Version, "drained", property(drain_by_counting)),
            (Core, "_settle", settle_without_gathering),
            (Lifecycle, "reclaim", reclaim_what_is_free),
        ),
    ),
    "the end of a drain wakes nobody": Mutant("call, execute", ((Core, "_settle", settle_without_wake),)),
    "the drain parks once": Mutant("call, execute, waking for no reason", ((Lifecycle, "await_drain", park_once),)),
    "a waiter does not look again before it parks": Mutant(
        "two calls", ((Core, "_enqueue", locked(enqueue_without_settling)),)
    ),
    "a cancelled candidate may be offered": Mutant(
        "upgrade, cancel", ((HotReloadProtocol, "_refuse_lost", offer_to_anybody),)
    ),
    "a drain ends before the last call": Mutant("call, execute", ((Version, "drained", property(drained_but_one)),)),
    "close wakes nobody": Mutant(
        "call, execute, close, exclusive", ((HotReloadProtocol, "close", close_without_wake),)
    ),
    "publish takes no lock": Mutant("two calls, execute", ((HotReloadProtocol, "publish", publish_without_lock),)),
}
