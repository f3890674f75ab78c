"""Upgrade: the phases of a plugin, who owns them, and every way in which an upgrade can end. One locked step a step.

An *owner* is the one thread that holds the attempt; whoever else asks is refused. OVERLAP makes the candidate current
and then waits for the calls on the old version; EXCLUSIVE shuts the gate, waits, and makes the candidate current as
it commits. Until the commit whatever goes wrong is rolled back, after it nothing is, and a close wins over all of it.
Admission is one step here; the admission level shows what it is made of.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hotswap_spec._model import AGAIN, MAY, MUST, Guard, Row, put

UNDECIDED = "swapping published draining grace ready"
TABLE = (
    # who         at           step               to          when           says
    Row("caller", "outside", "admit", "inside", "gate open", "is admitted to the current version", MAY),
    Row("caller", "outside", "hold", "held", "gate shut", "is held at the gate", MAY),
    Row("caller", "held", "let_in", "inside", "may pass", "is let in", AGAIN, "admit"),
    Row("caller", "held", "turn_away", "outside", "closed", "is told PluginClosed", MUST, "end"),
    Row("caller", "inside", "end", "outside", "", "ends its call"),
    Row("caller", "inside", "trap", "outside", "interrupted", "is interrupted", MUST, "end"),
    Row("caller", "inside", "ask_inside", "inside", "", "asks for an upgrade from inside the call and is refused", MAY),
    Row("upgrader", "idle", "claim", "preparing", "unowned", "claims the next upgrade", MAY),
    Row("upgrader", "idle", "be_busy", "idle done", "owned", "is told Busy", MAY),
    Row("upgrader", "preparing", "offer", "prepared", "can offer", "has the candidate ready"),
    Row("upgrader", "preparing prepared", "fail", "idle done", "owns", "fails, and gives the attempt up", MAY),
    Row("upgrader", "preparing prepared", "find_lost", "idle done", "lost", "learns that it is lost", MUST, "part"),
    Row("upgrader", "prepared", "go_away", "idle done", "owns", "leaves the candidate to anybody", MAY, "be_busy"),
    Row("upgrader", "prepared idle", "overlap", "swapping", "may begin", "begins to execute (OVERLAP)"),
    Row("upgrader", "prepared idle", "exclude", "draining", "may begin", "shuts the gate and retires (EXCLUSIVE)"),
    Row("upgrader", "swapping", "publish", "published", "owns", "makes the candidate current, retires the old version"),
    Row("upgrader", "published", "drain", "draining", "owns", "waits for the calls on the old version"),
    Row("upgrader", "draining grace", "see_drained", "ready committed", "drained", "sees the old version drained"),
    Row("upgrader", "draining", "detach", "ready", "overlapping", "detaches the old version: drain timeout", MAY),
    Row("upgrader", "draining", "interrupt", "grace", "owns", "interrupts the old version: drain timeout", MAY),
    Row("upgrader", "draining", "time_out", "rolled_back", "owns", "rolls back: drain timeout", MAY),
    Row("upgrader", "grace", "let_be", "rolled_back committed", "owns", "waits no more: a host function holds on", MAY),
    Row("upgrader", "ready", "commit", "committed", "owns", "commits"),
    Row("upgrader", UNDECIDED, "strike", "rolled_back", "undecided", "is struck: rolls back", MAY, "time_out"),
    Row(
        "upgrader",
        f"{UNDECIDED} committed rolled_back",
        "find_closed",
        "idle done",
        "closed",
        "finds it closed",
        MUST,
        "part",
    ),
    Row("upgrader", "committed rolled_back", "finish", "idle done", "owns", "is done: the next may begin"),
    Row("canceller", "ready", "cancel", "ready done", "preparing", "cancels: True", MAY),
    Row("canceller", "ready", "cancel_nothing", "ready done", "unowned", "cancels: False, there is nothing", MAY),
    Row(
        "canceller", "ready", "cancel_late", "ready done", "executing", "cancels: Busy, too late", MAY, "cancel_nothing"
    ),
    Row("closer", "ready", "close", "emptying", "", "closes the plugin and retires every version", MAY),
    Row("closer", "emptying", "interrupt_all", "insisting", "", "interrupts what still runs: drain timeout", MAY),
    Row("closer", "emptying insisting", "return_closed", "closed", "empty", "returns: nothing runs"),
    Row("version", "retired", "reclaim", "reclaimed", "nobody inside", "is reclaimed"),
    Row("version", "reclaimed", "recycle", "fresh", "endless", "has its number used again"),
)


class Ref(NamedTuple):
    """What is published in one reference (S6); both are version numbers, and must be the same one."""

    code: int
    manifest: int


NOTHING = Ref(-1, -1)


class Version(NamedTuple):
    at: str  # fresh, candidate, live, retired or reclaimed
    interrupted: bool = False


class Caller(NamedTuple):
    at: str
    on: Ref = NOTHING
    passes: bool = False  # held by a gate that has opened since: the next gate does not stop it


class Upgrader(NamedTuple):
    at: str
    owns: bool = False
    exclusive: bool = False
    old: Ref = NOTHING
    new: Ref = NOTHING


class Thread(NamedTuple):
    at: str


class Book(NamedTuple):
    """The counts of S7; an endless run counts nothing."""

    attempts: int = 0
    successes: int = 0
    failures: int = 0
    cancelled: int = 0


class State(NamedTuple):
    phase: str
    current: Ref
    before: Ref  # history for S4: what was current when the latest attempt began
    kept: int  # the version that the attempt under way may roll back to
    shut: bool
    closed: bool
    endless: bool
    book: Book
    versions: tuple[Version, ...]
    callers: tuple[Caller, ...]
    upgraders: tuple[Upgrader, ...]
    cancellers: tuple[Thread, ...]
    closers: tuple[Thread, ...]

    def booked(self, **more: int) -> State:
        book = self.book._replace(**{name: getattr(self.book, name) + n for name, n in more.items()})
        return self if self.endless else self._replace(book=book)

    def caller(self, i: int, **change: Any) -> State:
        return self._replace(callers=put(self.callers, i, self.callers[i]._replace(**change)))

    def upgrader(self, i: int, **change: Any) -> State:
        return self._replace(upgraders=put(self.upgraders, i, self.upgraders[i]._replace(**change)))

    def version(self, v: int, **change: Any) -> State:
        return self._replace(versions=put(self.versions, v, self.versions[v]._replace(**change)))

    def part(self, i: int) -> State:
        """Upgrader `i` has its answer."""
        return self._replace(upgraders=put(self.upgraders, i, Upgrader("idle" if self.endless else "done")))

    def admit(self, i: int) -> State:
        return self._replace(callers=put(self.callers, i, Caller("inside", self.current)))

    def end(self, i: int) -> State:
        return self._replace(callers=put(self.callers, i, Caller("outside")))

    def claim(self, i: int) -> State:
        s = self._replace(phase="PREPARING_UPGRADE", before=self.current).booked(attempts=1)
        return s.upgrader(i, at="preparing", owns=True)

    def be_busy(self, i: int) -> State:
        return self.upgrader(i, at="idle" if self.endless else "done")

    def offer(self, i: int) -> State:
        v = fresh(self)
        return self.version(v, at="candidate").upgrader(i, at="prepared", new=Ref(code=v, manifest=v))

    def drop(self, i: int) -> State:
        """The candidate of upgrader `i`, if there is one, will not serve any more."""
        new = self.upgraders[i].new
        return self if new == NOTHING else self.version(new.code, at="retired")

    def fail(self, i: int) -> State:
        return self.drop(i).part(i).booked(failures=1)._replace(phase="ACTIVE")

    def cancel(self, i: int) -> State:
        j = owner(self)
        s = self.drop(j).upgrader(j, owns=False, new=NOTHING).booked(cancelled=1)
        return s._replace(phase="ACTIVE").cancel_nothing(i)

    def cancel_nothing(self, i: int) -> State:
        return self if self.endless else self._replace(cancellers=put(self.cancellers, i, Thread("done")))

    def begin(self, i: int, at: str) -> State:
        """Ownership goes to who executes, from whoever prepared."""
        new = self.upgraders[owner(self)].new
        s = self.upgrader(owner(self), owns=False, new=NOTHING)._replace(kept=self.current.code)
        return s._replace(upgraders=put(s.upgraders, i, Upgrader(at, True, at == "draining", self.current, new)))

    def overlap(self, i: int) -> State:
        return self.begin(i, "swapping")._replace(phase="SWAPPING")

    def exclude(self, i: int) -> State:
        s = self.begin(i, "draining").version(self.current.code, at="retired")
        return s._replace(phase="DRAINING", shut=True)

    def swap(self, i: int) -> State:
        """The linearization point of an upgrade (S2)."""
        me = self.upgraders[i]
        s = self.version(me.new.code, at="live").version(me.old.code, at="retired")
        return s._replace(current=me.new)

    def publish(self, i: int) -> State:
        return self.swap(i).upgrader(i, at="published")

    def drain(self, i: int) -> State:
        return self._replace(phase="DRAINING").upgrader(i, at="draining")

    def see_drained(self, i: int) -> State:
        s = self._replace(phase="SWAPPING") if self.upgraders[i].exclusive else self
        return s.upgrader(i, at="ready" if undecided(s) else "committed")

    def interrupt(self, i: int) -> State:
        """OVERLAP has decided with that; EXCLUSIVE has not, and lets nobody in to be stopped."""
        me = self.upgraders[i]
        held = self._replace(callers=tuple(one._replace(passes=False) for one in self.callers))
        s = held if me.exclusive else self.commit(i)
        return s.version(me.old.code, interrupted=True).upgrader(i, at="grace")

    def let_be(self, i: int) -> State:
        return self.time_out(i) if self.upgraders[i].exclusive else self.upgrader(i, at="committed")

    def commit(self, i: int) -> State:
        s = self.swap(i) if self.upgraders[i].exclusive else self
        s = s.open_gate().booked(successes=1)._replace(phase="UPGRADE_COMPLETE", kept=-1)
        return s.upgrader(i, at="committed")

    def open_gate(self) -> State:
        passed = tuple(one._replace(passes=True) if one.at == "held" else one for one in self.callers)
        return self._replace(shut=False, callers=passed) if self.shut else self

    def time_out(self, i: int) -> State:
        s = self.version(self.kept, at="live", interrupted=False)._replace(current=self.upgraders[i].old)
        s = s.drop(i).open_gate().booked(failures=1)._replace(phase="ROLLED_BACK", kept=-1)
        return s.upgrader(i, at="rolled_back")

    def finish(self, i: int) -> State:
        return self.part(i)._replace(phase="ACTIVE")

    def close(self, i: int) -> State:
        s, j = self._replace(closers=put(self.closers, i, Thread("emptying")), phase="CLOSED"), owner(self)
        if undecided(self):
            s = s.drop(j).booked(failures=1)
        if j >= 0:
            s = s.upgrader(j, owns=False, old=NOTHING, new=NOTHING)
        v = self.current.code
        return (s if self.closed else s.version(v, at="retired"))._replace(closed=True, shut=False, kept=-1)

    def interrupt_all(self, i: int) -> State:
        stop = tuple(one._replace(interrupted=True) if one.at == "retired" else one for one in self.versions)
        return self._replace(versions=stop, closers=put(self.closers, i, Thread("insisting")))

    def reclaim(self, v: int) -> State:
        return self._replace(versions=put(self.versions, v, Version("reclaimed")))


def owner(s: State) -> int:
    return next((i for i, one in enumerate(s.upgraders) if one.owns), -1)


def undecided(s: State) -> bool:
    return s.phase in ("PREPARING_UPGRADE", "DRAINING", "SWAPPING")


def fresh(s: State) -> int:
    return next((v for v, one in enumerate(s.versions) if one.at == "fresh"), -1)


def inside(s: State, v: int) -> bool:
    return any(one.on.code == v for one in s.callers)


GUARDS: dict[str, Guard] = {
    "gate open": lambda s, _: not s.shut and not s.closed,
    "gate shut": lambda s, _: s.shut and not s.closed,
    "may pass": lambda s, i: not s.closed and (not s.shut or s.callers[i].passes),
    "closed": lambda s, _: s.closed,
    "interrupted": lambda s, i: s.versions[s.callers[i].on.code].interrupted,
    "unowned": lambda s, _: not s.closed and owner(s) < 0,
    "owned": lambda s, _: owner(s) >= 0,
    "owns": lambda s, i: s.upgraders[i].owns,
    "lost": lambda s, i: not s.upgraders[i].owns,
    "undecided": lambda s, i: s.upgraders[i].owns and undecided(s),
    "can offer": lambda s, i: s.upgraders[i].owns and fresh(s) >= 0,
    "may begin": lambda s, i: (
        s.phase == "PREPARING_UPGRADE"
        and s.upgraders[owner(s)].new != NOTHING
        and (i == owner(s) or s.upgraders[i].at == "idle")
    ),
    "drained": lambda s, i: s.upgraders[i].owns and not inside(s, s.upgraders[i].old.code),
    "overlapping": lambda s, i: s.upgraders[i].owns and not s.upgraders[i].exclusive,
    "preparing": lambda s, _: s.phase == "PREPARING_UPGRADE",
    "executing": lambda s, _: owner(s) >= 0 and s.phase != "PREPARING_UPGRADE",
    "empty": lambda s, _: all(one.at in ("fresh", "reclaimed") for one in s.versions),
    "nobody inside": lambda s, v: v != s.kept and not inside(s, v),
    "endless": lambda s, _: s.endless,
}


def initial(
    callers: int, upgraders: int, versions: int, cancellers: int = 0, closers: int = 0, endless: bool = False
) -> State:
    return State(
        *("ACTIVE", Ref(0, 0), Ref(0, 0), -1, False, False, endless, Book()),
        versions=(Version("live"), *(Version("fresh"),) * (versions - 1)),
        callers=(Caller("outside"),) * callers,
        upgraders=(Upgrader("idle"),) * upgraders,
        cancellers=(Thread("ready"),) * cancellers,
        closers=(Thread("ready"),) * closers,
    )
