"""What is recorded: every locked step of the protocol, and the calls that came in while one was made.

*Steps.* A recorded protocol is the production protocol with its locked methods wrapped: when the body is done, and
still under the lock, an event says what was asked, what came of it, and what can be seen then. So events stand in the
order of the steps. Nothing of this exists for a plugin without a monitor.

*Calls* take no lock. Each is entered in a register (which lease is out, of which version) after its checkout, and
struck off before its lease goes home; so a lease that has come home is never in the register. A step that says that
a version is empty brings what the register has. A call tells of its admission only if there was a step since it
began, or if it was not admitted to what the latest step left open; otherwise it is plain that it was right. Whoever
enters the register late, when a step has found the version empty, sees that there was a step, and tells.

*Losing nothing.* Ctrl-C may strike in these methods too. No frame here keeps a lease: a lease that nobody holds must
find its way home (`_version.py`), and is struck off by its finalizer; the register may have too few calls, never too
many. A step that is cut short is told as that, before the lock is let go.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Self, TypeVar

from hotswap._errors import CallInterrupted, HotswapError, PluginClosed
from hotswap._locked import locked
from hotswap._ports import Atomic, Clock, Ports, Sync
from hotswap._protocol import HotReloadProtocol
from hotswap._state import Cutover
from hotswap._version import Attempt, Lease, Version

T = TypeVar("T")
DONE, NOTHING, STRUCK = "done", "nothing to do", "cut short"
"""What came of a step, if not the name of an error: it was made; it changed nothing; nobody knows (Ctrl-C struck)."""


class Seen(NamedTuple):
    """What can be seen of a plugin at the end of a step."""

    phase: str
    current: int
    """The id of the version that is current."""
    content: tuple[int, int]
    """Its code and its manifest, by identity."""
    retired: frozenset[int]
    """The ids of the versions that are retired, and not reclaimed."""
    kept: int
    """The id of the version that the attempt under way may still roll back to; 0: there is none."""
    shut: bool
    closed: bool
    owned: bool
    attempts: int
    successes: int
    failures: int
    cancelled: int

    def at_rest(self) -> bool:
        """Nothing is under way, nor left over from what was cut short."""
        left = self.owned or self.kept or self.shut or self.closed or self.current in self.retired
        return self.phase == "ACTIVE" and not left


class Event(NamedTuple):
    """A step, or the admission of a call."""

    what: str
    """A method of `HotReloadProtocol`, or one of those that are no step of it:

    `overdue` if a drain timeout has passed, `admit` for an admission, `trap` for a call that was told that it is
    interrupted, `turn_away` for one that was told that the plugin is closed, `share_lease` for a lease given twice,
    `return_closed` for a close that has returned.
    """
    came: str = DONE
    who: int = 0
    """Which attempt; 0 if it was nobody's."""
    version: int = 0
    """The id of the version it is about; 0 if there is none."""
    word: str = ""
    """The cutover, the phase, or the reason that was given; `close` for a drain that is a close's."""
    began: int = 0
    """How many steps there had been when the call began, or before this one."""
    inside: int = 0
    """How many calls the register has inside `version`."""
    content: tuple[int, int] = (0, 0)
    """Of an offer: the candidate's code and manifest."""
    seen: Seen | None = None


class RecordedLease(Lease):
    """It strikes itself off the register when nobody holds it any more."""

    __slots__ = ()

    def __del__(self) -> None:
        version = getattr(self, "version", None)
        if version is not None and version.live.value:
            protocol = getattr(version.wake, "__self__", None)  # a version is bound to its protocol by that only
            if isinstance(protocol, RecordedProtocol):
                protocol.register.pop(id(self), None)
        super().__del__()


class RecordedProtocol(HotReloadProtocol):
    """Tells `note` of every step."""

    def __init__(self, name: str, first: Version, sync: Sync, clock: Clock, note: Callable[[Event], None]) -> None:
        self.note = note
        self.steps = 0
        self.open_to: int = first.id
        """The version to which a newcomer is admitted since the latest step; 0 if to none."""
        self.register: dict[int, tuple[int, int]] = {}
        """The leases that are out, by identity: the id of its version, and how many steps there were at the begin."""
        self._turned_away = False
        super().__init__(name, first, sync, clock)
        adopt(first)

    @classmethod
    def with_ports(cls, name: str, first: Version, ports: Ports, note: Callable[[Event], None]) -> tuple[Self, Ports]:
        """With ports whose trace tells of a close that has returned: nothing else does."""

        def trace(event: str, **facts: object) -> None:
            if event == "plugin_closed":
                note(Event("return_closed"))
            ports.trace(event, **facts)

        return cls(name, first, ports.sync, ports.clock, note), replace(ports, trace=trace)

    def admit(self) -> Lease | None:
        return self._watched(super().admit)

    def queue(self, queue_timeout: float) -> Lease | None:
        try:
            return self._watched(partial(super().queue, queue_timeout))
        except PluginClosed:
            if not self._turned_away:  # what is closed stays closed, so one stands for all
                self._turned_away = True
                self.note(Event("turn_away"))
            raise

    def _watched(self, checkout: Callable[[], Lease | None]) -> Lease | None:
        began, lease = self.steps, None
        try:
            lease = checkout()
            if lease is not None:
                self._entered(id(lease), lease.version.id, began)
        except BaseException:
            lease = None
            raise
        return lease

    def _entered(self, lease: int, version: int, began: int) -> None:
        mine = (version, began)  # a tuple of this call's own
        if self.register.setdefault(lease, mine) is not mine:
            self.note(Event("share_lease", version=version))
        if self.steps != began or self.open_to != version:
            self.note(Event("admit", version=version, began=began))

    def release(self, lease: Lease) -> None:
        self.register.pop(id(lease), None)
        super().release(lease)

    @locked
    def bury(self, lease: Lease) -> None:
        mine = self.register.pop(id(lease), None)
        if mine is not None and isinstance(sys.exc_info()[1], CallInterrupted):  # what the call is about to raise
            self.note(Event("trap", version=mine[0], began=mine[1]))
        body_of("bury")(self, lease)

    def await_drain(self, version: Version, timeout: float | None, *, closing: bool = False) -> bool:
        began = self.now()
        drained = super().await_drain(version, timeout, closing=closing)
        if not drained and timeout is not None and self.now() >= began + timeout:
            self.note(Event("overdue", version=version.id, word="close" * closing))
        return drained

    def tell(self, event: Event) -> None:
        """Under the lock, at the end of a step. What becomes of a plugin that was dropped is no step."""
        if self.abandoned:
            return
        seen = self.look()
        inside = [version for version, _ in self.register.copy().values()].count(event.version)
        self.note(event._replace(seen=seen, inside=inside, began=self.steps))
        self.open_to = 0 if seen.shut or seen.closed else seen.current
        self.steps += 1  # after the change: a call that began before it began no earlier than it says

    def now(self) -> float:
        return self._clock.now()

    def read(self, shared: Atomic[T]) -> T:
        return shared.value

    def look(self) -> Seen:
        book, current = self.read(self.book), self.read(self.current)
        return Seen(
            self.read(self.phase).name,
            current.id,
            content_of(current),
            frozenset([version.id for version in self._retired if self.read(version.live)]),
            self._kept.id if self._kept is not None else 0,
            self._shut_since is not None,
            self.read(self.closed),
            self._owner is not None,
            book.attempts,
            book.successful_upgrades,
            book.failed_upgrades,
            book.cancelled_upgrades,
        )


def content_of(version: Version) -> tuple[int, int]:
    return id(version.code), id(version.manifest)


def body_of(name: str) -> Any:
    """The method without its lock, as it is now."""
    return getattr(HotReloadProtocol, name).__wrapped__


def adopt(version: Version) -> None:
    """Nobody else has seen this version yet."""
    for lease in version.free.copy():
        lease.__class__ = RecordedLease


def recorded(name: str, describe: Callable[..., Event | None]) -> None:
    """Wrap a locked method; `describe` makes the event of its arguments and what it returned, or None for none."""

    def run(self: RecordedProtocol, /, *args: Any, **kwargs: Any) -> Any:
        try:
            result = body_of(name)(self, *args, **kwargs)
            event = describe(self, result, *args, **kwargs)
            if event is not None:
                self.tell(event._replace(what=name))
        except HotswapError as error:
            event = describe(self, None, *args, **kwargs)
            if event is not None:
                self.tell(event._replace(what=name, came=type(error).__name__))
            raise
        except BaseException:
            self.note(Event(name, STRUCK))
            raise
        return result

    setattr(RecordedProtocol, name, locked(run))


def _offered(_: RecordedProtocol, __: object, attempt: Attempt, *___: object) -> Event:
    candidate = attempt.candidate
    if candidate is None:
        return Event("", who=id(attempt))
    adopt(candidate)
    return Event("", who=id(attempt), version=candidate.id, content=content_of(candidate))


def _begun(
    _: RecordedProtocol, __: object, attempt: Attempt, cutover: Cutover, prepared: Attempt | None = None
) -> Event:
    return Event("", who=id(attempt), word=cutover.name if prepared is None else f"{cutover.name} of one's own")


def _by(_: RecordedProtocol, result: object, attempt: Attempt, *words: object) -> Event:
    word = words[0] if words and isinstance(words[0], str) else ""
    return _of_old(attempt, DONE if result is not False else NOTHING, word)


def _of_old(attempt: Attempt | None, came: str = DONE, word: str = "") -> Event:
    old = attempt.old if attempt is not None else None
    return Event("", came, id(attempt) if attempt is not None else 0, old.id if old is not None else 0, word)


recorded("claim", _by)
recorded("offer", _offered)
recorded("confirm", _by)
recorded("cancel", lambda _, result: Event("", DONE if result else NOTHING))
recorded("begin", _begun)
recorded("enter", lambda self, _, phase: _of_old(self._owner, word=phase.name))
recorded("publish", lambda _, __, old, ___: Event("", version=old.id))
recorded("interrupt", lambda _, __, old: Event("", version=old.id))
recorded(
    "_drained", lambda _, yes, version, closing: Event("", version=version.id, word="close" * closing) if yes else None
)
recorded("commit", _by)
recorded("abort", _by)
recorded("finish", _by)
recorded("close", lambda _, __: Event(""))
recorded("reclaim", lambda _, leases, version: Event("", version=version.id) if leases else None)
recorded("revive", lambda _, yes, version, __: Event("", version=version.id) if yes else None)
recorded("forget", lambda _, __, version: Event("", version=version.id))
