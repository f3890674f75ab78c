"""Defects of the core, each of which takes a step that is none of the specification's."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from hotswap._core import Core
from hotswap._lifecycle import Lifecycle
from hotswap._protocol import HotReloadProtocol
from hotswap._version import Lease, Version, Waiter
from interleaved_workloads import drained_but_one, release_without_looking, retire_without_attention
from scheduler import CheckFailed, Found, LostWakeup
from scheduler._errors import WouldBlock

RETIRE: Final = Core._retire


def admit_past_the_queue(self: Core) -> Lease | None:
    return self.current.value.take()


def release_twice(self: Core, lease: Lease) -> None:
    lease.version.free.append(lease)
    RELEASE(self, lease)


def release_nothing(self: Core, lease: Lease) -> None:
    if lease.version.attention.value:
        self.settle()


def release_and_look_at_current(self: Core, lease: Lease) -> None:
    lease.version.free.append(lease)
    if self.current.value.attention.value:
        self.settle()


def settle_gathers_first(self: Core) -> None:
    current, shut = self.current.value, self._shut_since is not None
    if self._waiters or shut:
        current.attention.value = True
    for version in self._retired:
        while (lease := version.take()) is not None:
            version.gathered.append(lease)
        if version.drained and not version.announced:
            self.wake()
            version.announced = True
    while (waiter := self._first()) is not None and (lease := current.take()) is not None:
        waiter.lease = lease
    current.attention.value = bool(self._waiters) or shut or current in self._retired


def settle_and_forget_the_gate(self: Core) -> None:
    SETTLE(self)
    self.current.value.attention.value = bool(self._waiters)


def serve_the_last(self: Core) -> Waiter | None:
    while self._waiters and self._waiters[-1].lease is not None:
        self._waiters[-1].parker.unpark()
        self._waiters.pop()
    may_be = self._waiters and not self.closed.value and (self._shut_since is None or self._waiters[-1].held)
    return self._waiters[-1] if may_be else None


def retire_gathers_first(self: Core, version: Version) -> None:
    while (lease := version.take()) is not None:
        version.gathered.append(lease)
    RETIRE(self, version)


def reinstate_while_retired(self: Core, version: Version) -> None:
    version.announced = False
    while version.gathered:
        version.free.append(version.gathered.pop())
    if version in self._retired:
        self._retired.remove(version)


def open_the_gate_quietly(self: Core) -> None:
    if self._shut_since is not None:
        for waiter in self._waiters:
            waiter.held = True
        now = self._clock.now()
        self._shut_s_total, self._shut_since = self._shut_s_total + now - self._shut_since, None


def open_the_gate_and_forget(self: Core) -> None:
    if self._shut_since is not None:
        now = self._clock.now()
        self._shut_s_total, self._shut_since = self._shut_s_total + now - self._shut_since, None
        self.wake()


def publish_unmarked(self: HotReloadProtocol, old: Version, candidate: Version) -> None:
    with self._lock:
        self._refuse_closed()
        self.current.value = candidate
        self._retire(old)
        self._settle()


def reclaim_what_is_kept(self: Lifecycle, version: Version) -> list[Lease]:
    with self._lock:
        self._settle()
        if version not in self._retired or not version.drained:
            return []
        version.live.value = False
        return [*version.gathered, *version.tombs.copy()]


RELEASE: Final = Core.release
SETTLE: Final = Core._settle


def await_nothing(self: Lifecycle, version: Version, timeout: float | None, *, closing: bool = False) -> bool:
    return closing or self._drained(version, closing) or True


def give_up_at_once(self: Core, waiter: Waiter) -> float | None:
    left = LEFT(self, waiter)
    return None if left is None else 0.0


def reinstate_one_lease(self: Core, version: Version) -> None:
    if version in self._retired:
        self._retired.remove(version)
    version.announced = False
    if version.gathered:
        version.free.append(version.gathered.pop())


LEFT: Final = Core._left


class Mutant(NamedTuple):
    case: str
    step: str
    """The step that is named."""
    patches: tuple[tuple[type, str, Any], ...]
    at_end: type[Found] | None = None
    """What shows it without a look at the steps; None: nothing does, in the same schedules."""


def _core(case: str, step: str, name: str, value: object, at_end: type[Found] | None = None) -> Mutant:
    return Mutant(case, step, ((Core, name, value),), at_end)


GATE: Final = "two calls, execute, exclusive"
LATE: Final = "call, execute, may time out"
TWO_INSTANCES: Final = "two calls, execute, two instances, may time out"
MUTANTS: Final[dict[str, Mutant]] = {
    "a newcomer passes the queue": _core(
        "two calls", "caller 0 pops from free of version 0", "admit", admit_past_the_queue
    ),
    "a lease goes home twice": _core(
        "two calls", "caller 0 appends to free of version 0", "release", release_twice, WouldBlock
    ),
    "a lease does not go home": _core(
        "two calls", "caller 0 reads attention of version 0", "release", release_nothing, CheckFailed
    ),
    "release does not look": _core(
        "two calls", "caller 0 ends: caller 0", "release", release_without_looking, LostWakeup
    ),
    "release looks at the current version": _core(
        "call, execute",
        "caller 0 reads attention of version 1",
        "release",
        release_and_look_at_current,
        LostWakeup,
    ),
    "settle gathers first": _core(
        "two calls, execute", "caller 1 pops from free of version 0", "_settle", settle_gathers_first
    ),
    "settle forgets the gate": _core(
        "call, execute, exclusive",
        "executor 1 stores to attention of version 0",
        "_settle",
        settle_and_forget_the_gate,
        LostWakeup,
    ),
    "who came last is served first": _core(GATE, "executor 2 changes lease", "_first", serve_the_last),
    "the gate opens without a wake": _core(GATE, "executor 2 releases lock", "_open_gate", open_the_gate_quietly),
    "the gate forgets whom it held": _core(GATE, "executor 2 releases lock", "_open_gate", open_the_gate_and_forget),
    "retire gathers first": _core(
        "call, execute", "executor 1 pops from free of version 0", "_retire", retire_gathers_first
    ),
    "retire sets no mark": _core(
        "call, execute", "executor 1 pops from free of version 0", "_retire", retire_without_attention, LostWakeup
    ),
    "reinstate while retired": _core(
        LATE, "executor 1 appends to free of version 0", "_reinstate", reinstate_while_retired
    ),
    "a call gives up at once": _core(
        "two calls, one may time out", "caller 1 stores to attention of version 0", "_left", give_up_at_once
    ),
    "a rollback gives one lease back": _core(
        TWO_INSTANCES, "executor 2 stores to current", "_reinstate", reinstate_one_lease
    ),
    "no drain is waited for": Mutant(
        "call, execute",
        "executor 1 stores to attention of version 1",
        ((Lifecycle, "await_drain", await_nothing),),
        CheckFailed,
    ),
    "publish without a mark": Mutant(
        "call, execute", "executor 1 stores to current", ((HotReloadProtocol, "publish", publish_unmarked),)
    ),
    "a drain ends before the last call": Mutant(
        "call, execute",
        "executor 1 releases lock",
        ((Version, "drained", property(drained_but_one)),),
        CheckFailed,
    ),
    "what is kept is reclaimed": Mutant(
        "execute, cancel", "canceller 1 stores to live of version 0", ((Lifecycle, "reclaim", reclaim_what_is_kept),)
    ),
}
