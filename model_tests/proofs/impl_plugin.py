"""The production protocol in any state of the upgrade level, and what can be seen of it from one version.

`Plugin(case)` is a real `HotReloadProtocol` whose fields say what a counted state says; `seen` reads them back, and
`seen_in` reads the same from a counted state. So a proof can put the production's own method between the two. The
numbers of attempts, calls and threads stay unbounded; of the rest there are finitely many cases (`cases`), which the
prover follows one by one.

What the protocol does not keep is not compared: who waits for what, and how far the owner's thread has come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from hotswap._compat import ModuleFacts
from hotswap._errors import HotswapError
from hotswap._manifest import ManifestBuilder
from hotswap._ports import Data, Instance, Number, Parker, Ports, Runtime, Value
from hotswap._protocol import HotReloadProtocol
from hotswap._state import HotReloadState, HotReloadStats
from hotswap._threads import ThreadSync
from hotswap._upgrade import Upgrades
from hotswap._version import Attempt, Lease, Version
from proofs._logic import among, no
from proofs.impl_cases import Case, executes, settled, sure
from proofs.upgrade import At, Counted, Phase, offered, switched, trying

GRANTED = "granted"
MANIFEST = ManifestBuilder("p", "1.0.0").build()


class Code:
    """Knows only whether its calls are to be stopped."""

    facts = ModuleFacts("", {})

    def __init__(self) -> None:
        self.interrupted = False

    def instantiate(self, *, probe: bool) -> Instance:
        raise NotImplementedError

    def interrupt(self, stop: bool) -> None:
        self.interrupted = stop


class Nothing:
    """An instance that nobody calls."""

    broken = False

    def call(self, func: str, args: tuple[Number, ...]) -> Value:
        raise NotImplementedError

    def call_bytes(self, func: str, data: Data) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        """There is nothing to close."""


class Time(ThreadSync):
    """Clock, and locks of threads; who waits without a permit has waited at once, and nothing has happened."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        return self.passed

    def parker(self) -> Parker:  # type: ignore[override]
        return self

    def park(self, timeout: float | None) -> bool:
        assert timeout is not None, "would wait for ever"
        self.passed += timeout
        return False

    def unpark(self) -> None:
        """Nobody waits while something happens."""


def untold(event: str, **facts: object) -> None:
    """Nobody listens."""


class Seen(NamedTuple):
    """The watched version, and the plugin as far as the protocol keeps it."""

    phase: int
    shut: bool
    closed: bool
    attempts: int
    successes: int
    failures: int
    cancelled: int
    at: int
    interrupted: bool
    kept: bool
    current: bool
    owned: bool
    executing: bool
    decided: bool
    old: bool
    new: bool


Answer = tuple[str, Seen]


def serves(at: int) -> bool:
    """Somebody may be inside; whether a version is interrupted that nobody can enter is all the same."""
    return among(at, At.LIVE, At.RETIRED)


def seen_in(s: Counted) -> Seen:
    counts = s.attempts, s.successes, s.failures, s.cancelled
    watched = s.at, s.interrupted & serves(s.at), s.kept, s.current.code
    owner = s.owners > 0, executes(s), settled(s), s.old.code & executes(s), s.new.code & (offered(s) | executes(s))
    return Seen(s.phase, s.shut & no(s.closed), s.closed, *counts, *watched, *owner)


def alike(a: Answer, b: Answer) -> bool:
    """One formula, where `==` would follow each field by itself."""
    same = a[0] == b[0]
    for x, y in zip(a[1], b[1], strict=True):
        same = same & (x == y)
    return same


class Plugin:
    """A protocol in a state. `watched`, and two others: one that served, one that is to."""

    def __init__(self, case: Case) -> None:
        self.state = s = case.state
        self.time = Time()
        self.leases: list[Lease] = []
        self.watched, before, after = self.versions = [self._version(number) for number in (1, 2, 3)]
        self.protocol = protocol = HotReloadProtocol("p", before, self.time, self.time)
        self.old = self.watched if s.old.code else before
        self.new = self.watched if s.new.code else after
        if s.current.code:
            protocol.current.value = self.watched
        elif switched(s) or s.phase == Phase.UPGRADE_COMPLETE:
            protocol.current.value = after
        protocol._versions = 3
        protocol.closed.value = s.closed
        protocol.phase.value = next(one for one in HotReloadState if s.phase == getattr(Phase, one.name))
        protocol.book.value = HotReloadStats(s.attempts, s.successes, s.failures, s.cancelled)
        protocol._shut_since = 0.0 if s.shut else None
        protocol._kept = self.old if trying(s) else None
        self.attempt = Attempt()
        if executes(s):
            self.attempt.old = self.old
        if executes(s) or offered(s):
            self.attempt.candidate = self.new
        self.attempt.decided = settled(s)
        if s.owners > 0:
            protocol._owner = self.attempt
        self.watched.code.interrupt(s.interrupted)
        before.live.value = after.live.value = True
        self._place_watched(case)
        gone = s.exclusive or switched(s) or s.phase == Phase.UPGRADE_COMPLETE
        if protocol.current.value is before if s.closed else executes(s) and gone and not s.old.code:
            protocol._retire(before)
        protocol._settle()
        protocol.forget(self.watched)  # if it is dead

    def _place_watched(self, case: Case) -> None:
        self.watched.live.value = case.alive
        if case.alive and case.state.at != At.CANDIDATE and sure(case.state.inside > 0):
            self.go_inside(self.watched)
        if not case.alive or case.state.at == At.RETIRED:
            self.protocol._retired.append(self.watched)
            self.watched.attention.value = True

    def _version(self, number: int) -> Version:
        return Version(number, Code(), MANIFEST, [Nothing(), Nothing()], self.time)

    def go_inside(self, version: Version) -> None:
        lease = version.take()
        assert lease is not None
        self.leases.append(lease)

    def retire_another(self) -> None:
        """An older version still runs, detached."""
        version = self._version(0)
        version.live.value = True
        self.go_inside(version)
        self.versions.append(version)
        self.protocol._retire(version)

    def upgrades(self) -> Upgrades:
        return Upgrades(self.protocol, Ports(cast(Runtime, None), self.time, self.time, untold))

    def ask(self, what: Callable[[Plugin], Any]) -> Answer:
        """What the protocol answers, and what is seen then."""
        try:
            result = what(self)
        except HotswapError as error:
            result = type(error).__name__
        return GRANTED if result is None else str(result), self.seen()

    def drop(self) -> None:
        """Nobody's lease need go home any more."""
        for version in self.versions:
            version.live.value = False

    def seen(self) -> Seen:
        protocol, watched, book = self.protocol, self.watched, self.protocol.book.value
        owner = protocol._owner or Attempt()
        if not watched.live.value:
            at = At.RECLAIMED if watched.gathered and self.state.at == At.RETIRED else self.state.at
        elif watched in protocol._retired:
            at = At.RETIRED
        else:
            at = At.LIVE if protocol.current.value is watched else At.CANDIDATE
        return Seen(
            getattr(Phase, protocol.phase.value.name),
            protocol._shut_since is not None and not protocol.closed.value,
            protocol.closed.value,
            *(book.attempts, book.successful_upgrades, book.failed_upgrades, book.cancelled_upgrades),
            at,
            cast(Code, watched.code).interrupted & serves(at),
            protocol._kept is watched,
            protocol.current.value is watched,
            protocol._owner is not None,
            owner.old is not None,
            owner.decided,
            owner.old is watched,
            owner.candidate is watched,
        )
