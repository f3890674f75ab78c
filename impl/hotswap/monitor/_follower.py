"""Follows one plugin's events on the specification: each must be a step that it has there, and end as it says.

*States.* The follower holds a state of the upgrade level. An event names the steps that it can be (`_ways.py`); they
are looked for among `LEVEL.next(state)`, every property of the level is evaluated on them, and the outcome must agree
with what the event saw. If it cannot, the plugin has diverged.

*Refusals* are checked as well: who is told `Busy`, must not have been able to claim.

*Drain timeouts*: a step that the specification calls one must be what the plugin was told to do, after the time is up.

*Any number* of threads, calls and versions fits into a state of a few: an upgrader, a version or a canceller that is
done with gives its place to the next one, which is a renaming. Calls inside a version are one caller: the
specification asks whether anybody is inside, never how many, and its callers are interchangeable.

*Gaps*: when an exception (Ctrl-C) has cut a step short, nothing is judged until a step leaves the plugin at rest. There
the follower begins anew, and calls that began before are right whatever they say.

*Calls* are intervals (`_calls.py`). One may tell of a step before that step is told; so a call that seems wrong is
looked at again after the next step.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from typing import Any, Final

from hotswap.monitor._calls import Calls
from hotswap.monitor._recorder import DONE, STRUCK, Event, Seen
from hotswap.monitor._ways import LEVEL, TIMED, Way, ways, wrong_refusal
from hotswap_spec.upgrade import NOTHING as NO_CANDIDATE
from hotswap_spec.upgrade import Caller, Ref, State, Upgrader, Version

SAYS: Final = {row.name: row.says for row in LEVEL.rows}
START: Final[State] = LEVEL.initial(callers=0, upgraders=1, versions=2, cancellers=1, closers=1)
STORY_STEPS: Final = 30


class Divergence(Exception):
    """What the plugin did is not what the specification allows. Reported, never raised into the service."""

    def __init__(self, plugin: str, event: Event, what: str, allowed: list[str], story: list[str]) -> None:
        super().__init__(what)
        self.plugin, self.event, self.what, self.allowed, self.story = plugin, event, what, allowed, story

    def __str__(self) -> str:
        lines = [f"plugin {self.plugin!r} left the specification: {self.what}"]
        lines += [f"  event: {self.event.what} ({self.event.came}) of version {self.event.version or '-'}"]
        lines += [f"  allowed were: {', '.join(self.allowed) or 'nothing'}", "  before that:"]
        return "\n".join(lines + [f"  {number:3} {line}" for number, line in enumerate(self.story, 1)])


class Follower:
    """Raises `Divergence` at the first event that does not fit; after that it must not be used."""

    def __init__(
        self, plugin: str, first: int, content: tuple[int, int], on_drain_timeout: str, taken: Counter[str]
    ) -> None:
        """`on_drain_timeout` is the name of an `OnDrainTimeout`."""
        self.plugin = plugin
        self._on_drain_timeout = on_drain_timeout
        self._overdue = False  # a drain timeout has passed, and nothing has come of it yet
        self.taken = taken
        """How often each step of the specification was taken."""
        self.over = False
        """It follows no more: the plugin has diverged."""
        self.lost = False
        """Nobody knows where the plugin is: an exception struck inside a step, and it was not seen at rest since."""
        self.steps = 0
        self._number = 0  # of steps that were made, followed or not
        self._state = START
        self._slots = {first: 0}  # where a version is in the state, by its id
        self._contents = {first: content}  # its code and manifest
        self._upgraders: dict[int, int] = {}  # the same of attempts that have not ended
        self._interrupted: set[int] = set()  # ids
        self._story: deque[str] = deque(maxlen=STORY_STEPS)
        self._early: list[Event] = []  # calls that may tell of a step to come
        self._calls = Calls(first)

    # -- one event ---------------------------------------------------------------------------------------------

    def follow(self, event: Event) -> None:
        if event.what == "share_lease":
            raise self._diverged(event, "S3: one instance was given to two calls at once")
        if self.lost or event.came == STRUCK:
            self._find(event)
            return
        if event.what == "admit":
            if not self._calls.may_admit(event, self._number):
                self._early.append(event)
            return
        if event.what == "trap":
            if not self._calls.may_trap(event):
                raise self._diverged(event, "S1: a call was interrupted, and it had not been decided to")
            self.taken["trap"] += 1
            return
        if event.what in ("overdue", "begin"):
            self._overdue = event.what == "overdue"
        before = self._state = self._placed(event)
        if event.what == "interrupt" and event.came == DONE:
            self._interrupted.add(event.version)
        i, slot = self._upgraders.get(event.who, -1), self._slots.get(event.version, -1)
        if wrong := wrong_refusal(before, event, i):
            raise self._diverged(event, wrong)
        possible = ways(before, event, i, slot, self._on_drain_timeout)
        ends = [end for way in possible for end in self._walk(before, way, event, ())]
        right = [end for end in ends if not self._differs(end[0], event)]
        if not right:
            why = sorted({self._differs(state, event) for state, _ in ends}) or ["no such step is possible"]
            raise self._diverged(event, f"{event.what}: {'; or '.join(why)}")
        after, told = right[0]
        if not TIMED.isdisjoint(told):
            if not self._overdue:
                raise self._diverged(event, f"{event.what}: no drain timeout has passed")
            self._overdue = False
        self._end(event, after, told)
        if event.seen is None:
            return  # it was not told under the lock, so a step may be under way
        early, self._early = self._early, []
        for call in early:
            if not self._calls.may_admit(call, self._number):
                raise self._wrong_call(call)

    def _find(self, event: Event) -> None:
        """Begin anew where nothing is under way: then what can be seen is all there is to know."""
        seen = event.seen
        self.lost, self._early = True, []
        if seen is None or not seen.at_rest():
            return
        self.lost, self._number = False, event.began + 1
        stopped = Version("retired", interrupted=True)  # perhaps; so none of its calls is wrong to say so
        self._state = START._replace(
            versions=(Version("live"), *(stopped for _ in seen.retired)),
            **{count: getattr(seen, count) for count in ("attempts", "successes", "failures", "cancelled")},
        )
        self._slots = {version: slot for slot, version in enumerate([seen.current, *seen.retired])}
        self._contents, self._upgraders, self._interrupted = {seen.current: seen.content}, {}, set(seen.retired)
        self._calls = Calls(seen.current, self._number)
        self._calls.remember(self._state, self._number, {slot: version for version, slot in self._slots.items()})
        self._story.append("an exception cut a step short; from here on it is followed again")

    def settle(self) -> None:
        """Nothing is under way; so a call that seems to tell of a step to come was wrong."""
        if self._early:
            raise self._wrong_call(self._early[0])

    def _placed(self, event: Event) -> State:
        """Room for an attempt or a version that is new, and a caller for all that are inside the event's version."""
        s, slot = self._state, self._slots.get(event.version, -1)
        inside = (Caller("inside", Ref(slot, slot)),) if event.inside and slot >= 0 else ()
        inside = (Caller("held"),) if event.what == "turn_away" else inside
        room: dict[str, Any] = {"callers": inside}
        if event.what in ("claim", "begin") and event.who not in self._upgraders:
            used = {*self._upgraders.values(), s.owner()}
            free = next((i for i in range(len(s.upgraders)) if i not in used), len(s.upgraders))
            self._upgraders[event.who] = free
            if free == len(s.upgraders):
                room["upgraders"] = (*s.upgraders, Upgrader("idle"))
        if event.what == "offer" and s.fresh() < 0:
            room["versions"] = (*s.versions, Version("fresh"))
        return s._replace(**room)

    def _walk(
        self, state: State, way: Way, event: Event, told: tuple[str, ...]
    ) -> Iterator[tuple[State, tuple[str, ...]]]:
        """Where the state leads, when threads do those steps one after the other, and what they are."""
        if not way:
            yield state, told
            return
        (who, i, names), *rest = way
        for row, j, after in LEVEL.next(state):
            if row.who == who and j == i and row.name in names:
                for what, holds in LEVEL.always.items():
                    if not holds(after):
                        raise self._diverged(event, f"{what}: does not hold after {row.name}")
                for what, keeps in LEVEL.steps.items():
                    if not keeps(state, row.name, after):
                        raise self._diverged(event, f"{what}: is not kept by {row.name}")
                yield from self._walk(after, rest, event, (*told, row.name))

    def _differs(self, s: State, event: Event) -> str:
        """What the event saw that is not so in this state; empty if nothing."""
        seen = event.seen
        if seen is None:
            return ""
        names = {slot: version for version, slot in self._slots.items()}
        current = names.get(s.current.code, 0)
        expected = Seen(
            s.phase,
            current,
            self._contents.get(current, (0, 0)),  # S6: what it was offered with
            frozenset(version for version, slot in self._slots.items() if s.versions[slot].at == "retired"),
            names.get(s.kept, 0),
            s.shut and not s.closed,  # once it is closed, a gate means nothing
            s.closed,
            s.owner() >= 0,
            *(s.attempts, s.successes, s.failures, s.cancelled),
        )
        found = seen._replace(shut=seen.shut and not seen.closed)
        differ = [
            f"{what}: expected {one}, found {other}"
            for what, one, other in zip(Seen._fields, expected, found, strict=True)
            if one != other
        ]
        stopped = {slot for slot, one in enumerate(s.versions) if one.interrupted}
        asked = {self._slots.get(version) for version in self._interrupted}
        if event.what in ("finish", "interrupt") and not s.closed and not stopped <= asked:
            differ.append("the calls on a version are not interrupted, and it had been decided to")
        if event.what == "interrupt" and event.came == DONE and self._slots.get(event.version) not in stopped:
            differ.append("it interrupts, and had not decided to")
        return ", ".join(differ)

    def _end(self, event: Event, s: State, told: tuple[str, ...]) -> None:
        """The event has been understood."""
        if event.seen is not None:
            self.steps, self._number = self.steps + 1, event.began + 1
        self.taken.update(told)
        says = ", ".join(SAYS[name] for name in told)
        came = "" if event.came == DONE else f" ({event.came})"
        self._story.append(f"{event.what.strip('_')}{came}: {says or 'changes nothing'}")
        if event.what == "offer" and (new := s.upgraders[self._upgraders[event.who]].new) != NO_CANDIDATE:
            self._slots[event.version], self._contents[event.version] = new.code, event.content
        if event.what in ("_drained", "reclaim"):
            self._calls.forget(event.version, inside=event.what == "_drained")
        recycled = -1
        slot = self._slots.get(event.version, s.current.code)
        if event.what == "forget" and slot != s.current.code and s.versions[slot].at == "reclaimed":
            recycled = self._slots.pop(event.version)
            self._interrupted.discard(event.version)
            self._contents.pop(event.version, None)
        s = self._state = _renamed(s, recycled)
        over = {i for i, one in enumerate(s.upgraders) if one == Upgrader("idle")}
        self._upgraders = {who: i for who, i in self._upgraders.items() if i not in over}
        self._calls.remember(s, self._number, {slot: version for version, slot in self._slots.items()})

    def _wrong_call(self, call: Event) -> Divergence:
        return self._diverged(call, f"S2: a call was admitted to version {call.version} when that admitted nobody")

    def _diverged(self, event: Event, what: str) -> Divergence:
        rows = {row.name for row, _, _ in LEVEL.next(self._state) if row.who != "caller"}
        return Divergence(self.plugin, event, what, sorted(rows), list(self._story))


def _renamed(s: State, recycled: int) -> State:
    """Who is done with gives its place to the next one of its kind."""
    over = tuple(Upgrader("idle") if one.at in ("idle", "done") and not one.owns else one for one in s.upgraders)
    versions = tuple(Version("fresh") if v == recycled else one for v, one in enumerate(s.versions))
    closers = (s.closers[0]._replace(at="emptying"),) if s.closers[0].at == "closed" else s.closers  # others may wait
    return s._replace(upgraders=over, versions=versions, cancellers=START.cancellers, closers=closers)
