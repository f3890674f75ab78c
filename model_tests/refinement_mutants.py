"""Defects of the production code, and the access at which each is no step of the specification any more.

Most of them leave nothing wrong behind that the checks at the end of a run would see.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from hotswap import OnDrainTimeout
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


def call_execute_detaching(work: Workload) -> None:
    def execute() -> str:
        work.plugin.execute_upgrade()
        return f"upgraded {work.prepared}"

    work.caller()
    work._party("executor", [execute])


MORE_CASES: Final[dict[str, Case]] = {
    "three calls": case(three_calls),
    "two calls, execute, two instances, may time out": case(
        two_calls_execute, "DrainTimeout", instances=2, limits=Limits(timeouts=1), **PREPARED
    ),
    "call, execute, may detach": case(
        call_execute_detaching, limits=Limits(timeouts=1), on_drain_timeout=OnDrainTimeout.DETACH, **PREPARED
    ),
}
"""For what the others do not show: a queue of two, two leases given back, a drain that somebody else awaits."""

SETTLE: Final = Core._settle


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
    self._settle()
    if version not in self._retired or not version.drained:
        return []
    version.live.value = False
    return [*version.gathered, *version.tombs.copy()]


class Defect(NamedTuple):
    case: str
    patches: tuple[tuple[type, str, Any], ...]
    step: str
    """The access that is no step of the specification."""
    line: str
    """Part of the line of source."""
    preemptions: int | None
    """Within so many it is found; None: by the exhaustive search."""
    shows_at_the_end: bool
    """Whether the checks at the end of a run, or a lost wake-up, show it within one preemption."""


def known(name: str, step: str, line: str, within: int, *, at_the_end: bool) -> Defect:
    return Defect(*MUTANTS[name], step, line, within, at_the_end)


def defect(
    case: str,
    owner: type,
    name: str,
    value: Any,
    step: str,
    line: str,
    *,
    within: int | None = 1,
    at_the_end: bool = False,
) -> Defect:
    return Defect(case, ((owner, name, value),), step, line, within, at_the_end)


POPS: Final = "pops from free of version 0"
MARKS: Final = "stores to attention of version"
RELEASES: Final = "releases lock within the lock"
LOCK: Final = "with self._lock:"
EXCLUSIVELY: Final = "two calls, execute, exclusive"
DEFECTS: Final[dict[str, Defect]] = {
    **{
        name: known(name, step, line, within, at_the_end=at_the_end)
        for name, step, line, within, at_the_end in (
            ("release does not look for attention", "caller 0 ends: end", "_end: ", 0, True),
            ("retire sets no attention", f"executor 1 {POPS} within the lock", "self.free.pop()", 0, True),
            (
                "the drain counts free leases instead of taking them",
                f"executor 1 {MARKS} 1 within the lock",
                "settle_without_gathering",
                0,
                False,
            ),
            ("the end of a drain wakes nobody", f"executor 1 {RELEASES}", LOCK, 1, True),
            ("the drain parks once", f"executor 1 {MARKS} 1 within the lock", "commit: ", 1, True),
            ("a waiter does not look again before it parks", "caller 1 acquires lock within the lock", LOCK, 1, False),
            ("a drain ends before the last call", f"executor 1 {RELEASES}", LOCK, 1, True),
            ("close wakes nobody", f"closer 2 {RELEASES}", LOCK, 1, True),
            ("publish takes no lock", f"executor 2 {MARKS} 0", "_retire: ", 0, False),
        )
    },
    "gathers before it serves": defect(
        "two calls, execute",
        Core,
        "_settle",
        settle_gathers_first,
        f"executor 2 {MARKS} 1 within the lock",
        "settle_gathers_first",
        within=2,
    ),
    "the gate opens without its own wake": defect(
        EXCLUSIVELY, Core, "_open_gate", open_gate_without_wake, f"executor 2 {RELEASES}", LOCK
    ),
    "who was at the gate is held by the next one": defect(
        "call, execute, exclusive",
        Core,
        "_open_gate",
        open_gate_holds_nobody,
        "executor 1 stores to phase within the lock",
        "commit: ",
    ),
    "the mark stays for ever": defect(
        "two calls",
        Core,
        "_settle",
        settle_marks_for_ever,
        f"caller 0 {MARKS} 0 within the lock",
        "settle_marks_for_ever",
    ),
    "newcomers pass at a publish": defect(
        "call, execute",
        HotReloadProtocol,
        "publish",
        locked(publish_lets_newcomers_pass),
        "executor 1 stores to current within the lock",
        "publish_lets_newcomers_pass",
    ),
    "the old version is retired before the new one is current": defect(
        "call, execute",
        HotReloadProtocol,
        "publish",
        locked(publish_retires_first),
        "executor 1 stores to current within the lock",
        "publish_retires_first",
    ),
    "last come, first served": defect(
        "three calls", Core, "_first", last_come_first_served, f"caller 2 {MARKS} 0 within the lock", "_settle: "
    ),
    "the gate stops nobody": defect(
        EXCLUSIVELY, Core, "_first", gate_stops_nobody, f"caller 0 {POPS} within the lock", "take: "
    ),
    "a rollback gives one lease back": defect(
        "two calls, execute, two instances, may time out",
        Core,
        "_reinstate",
        reinstate_one,
        "executor 2 stores to current within the lock",
        "abort: ",
        within=None,
    ),
    "a call does not look whether somebody waits": defect(
        "three calls", Core, "admit", admit_without_looking, f"caller 0 {POPS}", "take: "
    ),
    "a release looks before it gives the lease back": defect(
        "two calls",
        Core,
        "release",
        release_looks_first,
        "caller 0 reads attention of version 0",
        "release_looks_first",
        at_the_end=True,
    ),
    "who leaves the queue does not settle": defect(
        "two calls", Core, "_leave", locked(leave_without_settling), f"caller 1 {RELEASES}", LOCK
    ),
    "nothing is waited for": defect(
        "call, execute",
        Lifecycle,
        "await_drain",
        await_nothing,
        f"executor 1 {MARKS} 1 within the lock",
        "commit: ",
        at_the_end=True,
    ),
    "a version is reclaimed that may serve again": defect(
        "call, upgrade, cancel",
        Lifecycle,
        "reclaim",
        locked(reclaim_what_is_kept),
        "canceller 2 stores to live of version 0 within the lock",
        "reclaim_what_is_kept",
    ),
}
