"""Defects of the production code, and the access at which each is no step of the specification any more.

Most of them leave nothing wrong behind that the checks at the end of a run would see.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from hotswap._core import Core
from hotswap._lifecycle import Lifecycle
from hotswap._locked import locked
from hotswap._protocol import HotReloadProtocol
from hotswap._version import Lease, Version, Waiter
from interleaved import Workload
from interleaved_workloads import MUTANTS, PREPARED, Case, case, two_calls, two_calls_execute
from scheduler import Limits


def three_calls(work: Workload) -> None:
    two_calls(work)
    work.caller()


MORE_CASES: Final[dict[str, Case]] = {
    "three calls": case(three_calls),
    "two calls, execute, two instances, may time out": case(
        two_calls_execute, "DrainTimeout", instances=2, limits=Limits(timeouts=1), **PREPARED
    ),
}
"""For what the others do not show: a queue of two, and two leases that are given back."""

SETTLE: Final = Core._settle


def settle_gathers_first(self: Core) -> None:
    for version in self._retired:
        while (lease := version.take()) is not None:
            version.gathered.append(lease)
    SETTLE(self)


def open_gate_without_wake(self: Core) -> None:
    if self._shut_since is not None:
        for waiter in self._waiters:
            waiter.held = True
        now = self._clock.now()
        self._shut_s_total, self._shut_since = self._shut_s_total + now - self._shut_since, None


def open_gate_holds_nobody(self: Core) -> None:
    waiters, self._waiters = self._waiters, type(self._waiters)()
    OPEN_GATE(self)
    self._waiters = waiters


OPEN_GATE: Final = Core._open_gate


def settle_marks_for_ever(self: Core) -> None:
    SETTLE(self)
    self.current.value.attention.value = True


def publish_lets_newcomers_pass(self: HotReloadProtocol, old: Version, candidate: Version) -> None:
    self._refuse_closed()
    self.current.value = candidate
    self._retire(old)
    self._settle()


def publish_retires_first(self: HotReloadProtocol, old: Version, candidate: Version) -> None:
    self._refuse_closed()
    candidate.attention.value = True
    self._retire(old)
    self.current.value = candidate
    self._settle()


def last_come_first_served(self: Core) -> Waiter | None:
    self._waiters.reverse()
    waiter = FIRST(self)
    self._waiters.reverse()
    return waiter


def gate_stops_nobody(self: Core) -> Waiter | None:
    shut, self._shut_since = self._shut_since, None
    waiter = FIRST(self)
    self._shut_since = shut
    return waiter


FIRST: Final = Core._first


def reinstate_one(self: Core, version: Version) -> None:
    if version in self._retired:
        self._retired.remove(version)
    version.announced = False
    if version.gathered:
        version.free.append(version.gathered.pop())


def admit_without_looking(self: Core) -> Lease | None:
    return self.current.value.take()


def release_looks_first(self: Core, lease: Lease) -> None:
    version = lease.version
    asked = version.attention.value
    version.home_of(lease).append(lease)
    if asked:
        self.settle()


def leave_without_settling(self: Core, waiter: Waiter) -> None:
    if waiter.parker in self._parked.copy():
        self._parked.remove(waiter.parker)
    if waiter in self._waiters:
        self._waiters.remove(waiter)


def await_nothing(self: Lifecycle, version: Version, timeout: float | None, *, closing: bool = False) -> bool:
    return closing or self._drained(version, closing) or True


def reclaim_what_is_kept(self: Lifecycle, version: Version) -> list[Lease]:
    kept, self._kept = self._kept, None
    leases = RECLAIM(self, version)
    self._kept = kept
    return leases


RECLAIM: Final = Lifecycle.reclaim


class Defect(NamedTuple):
    case: str
    patches: tuple[tuple[type, str, Any], ...]


DEFECTS: Final[dict[str, Defect]] = {
    **{name: Defect(*mutant) for name, mutant in MUTANTS.items()},
    "gathers before it serves": Defect("two calls, execute, exclusive", ((Core, "_settle", settle_gathers_first),)),
    "the gate opens without its own wake": Defect(
        "two calls, execute, exclusive", ((Core, "_open_gate", open_gate_without_wake),)
    ),
    "who was at the gate is held by the next one": Defect(
        "call, execute, exclusive", ((Core, "_open_gate", open_gate_holds_nobody),)
    ),
    "the mark stays for ever": Defect("two calls", ((Core, "_settle", settle_marks_for_ever),)),
    "newcomers pass at a publish": Defect(
        "call, execute", ((HotReloadProtocol, "publish", locked(publish_lets_newcomers_pass)),)
    ),
    "the old version is retired before the new one is current": Defect(
        "call, execute", ((HotReloadProtocol, "publish", locked(publish_retires_first)),)
    ),
    "last come, first served": Defect("three calls", ((Core, "_first", last_come_first_served),)),
    "the gate stops nobody": Defect("two calls, execute, exclusive", ((Core, "_first", gate_stops_nobody),)),
    "a rollback gives one lease back": Defect(
        "two calls, execute, two instances, may time out", ((Core, "_reinstate", reinstate_one),)
    ),
    "newcomers pass who waits": Defect("three calls", ((Core, "admit", admit_without_looking),)),
    "a release looks before it gives the lease back": Defect("two calls", ((Core, "release", release_looks_first),)),
    "who leaves the queue does not settle": Defect("two calls", ((Core, "_leave", locked(leave_without_settling)),)),
    "nothing is waited for": Defect("call, execute", ((Lifecycle, "await_drain", await_nothing),)),
    "a version is reclaimed that may serve again": Defect(
        "call, upgrade, cancel", ((Lifecycle, "reclaim", reclaim_what_is_kept),)
    ),
}
