"""Admission: how a call enters one version and no other, and how a version is drained. One shared access a step.

A call reads `current`, looks whether that version asks for *attention*, and takes a lease from its bag of free ones:
the take is the admission and the in-flight count in one. When the call has ended it puts the lease back, and looks
for attention again. Who finds attention, or no lease, goes the slow way: he queues, under the lock.

Whoever holds the lock *settles* before he lets it go: he marks the current version if somebody waits, serves who
waits, gathers what came home to retired versions, wakes who waits for that, and takes the mark away. The operator
stands for upgrades of both cutovers and every outcome; the upgrade level says when each is chosen.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hotswap_spec._model import MAY, MUST, Guard, Row, put

TABLE = (  # who is at a place in -ing holds the lock
    # who       at            step               to           when            says
    Row("caller", "outside", "look_up", "seen", "calls left", "begins a call: reads which version is current", MAY),
    Row("caller", "seen", "pass_by", "cleared", "calm", "sees that nobody asks for attention"),
    Row("caller", "seen", "heed", "unserved", "attention", "sees that somebody waits: no newcomer passes"),
    Row("caller", "cleared", "take", "inside", "one free", "takes a lease: it is admitted"),
    Row("caller", "cleared", "miss", "unserved", "none free", "finds no lease", MUST, "heed"),
    Row("caller", "inside", "release", "left", "", "has ended its call; the lease goes home"),
    Row("caller", "left", "leave", "outside", "calm", "sees that nobody asks for attention"),
    Row("caller", "left", "notice", "noticed", "attention", "sees that somebody asks for attention"),
    Row("caller", "noticed", "report", "reporting", "unlocked", "settles for those who wait"),
    Row("caller", "unserved", "enqueue", "looking", "unlocked, open", "takes the last place in the queue"),
    Row("caller", "unserved", "find_closed", "refused", "unlocked, closed", "is refused: the plugin is closed"),
    Row("caller", "parked", "lose_patience", "refused", "", "has waited for its queue timeout", MAY),
    Row("caller", "woken", "look_again", "looking", "unlocked", "looks whether it was served"),
    Row("caller", "served", "quit_queue", "quitting", "unlocked", "leaves the queue with its lease"),
    Row("caller", "refused", "quit_queue", "quitting", "unlocked", "leaves the queue"),
    Row("operator", "rest", "publish", "publishing", "can begin", "makes the next version current (OVERLAP)", MAY),
    Row("operator", "publishing", "retire", "retiring", "", "retires the old version"),
    Row("operator", "rest", "shut_gate", "retiring", "can begin", "shuts the gate, retires (EXCLUSIVE)", MAY),
    Row("operator", "drain", "check_drain", "checking", "unlocked, open", "looks whether the old version is empty"),
    Row("operator", "parked", "time_out", "decide", "", "has waited for the drain timeout", MAY),
    Row("operator", "decide", "commit", "finishing", "can commit", "commits"),
    Row("operator", "decide", "roll_back", "restoring", "unlocked, open", "rolls back: the old version is not retired"),
    Row("operator", "restoring", "restore", "restoring", "gathered", "gives the old version a lease back"),
    Row("operator", "restoring", "reinstate", "reverting", "none gathered", "makes the old version current"),
    Row("operator", "reverting", "drop_candidate", "finishing", "", "opens the gate and retires the new version"),
    Row("operator", "drain", "yield_to_close", "rest", "unlocked, closed", "finds that the plugin was closed"),
    Row("operator", "decide", "yield_to_close", "rest", "unlocked, closed", "finds that the plugin was closed"),
    Row("closer", "ready", "close", "closing", "unlocked", "closes the plugin and retires what is current", MAY),
    Row("closer", "drain", "return_closed", "closed", "nothing left", "returns: nothing runs"),
    Row("version", "drained", "reclaim", "reclaimed", "not kept", "is reclaimed"),
    Row("settler", "mark", "mark", "serve", "", "marks the current version if somebody waits"),
    Row("settler", "serve", "serve", "serve", "can serve", "gives a lease to who waits longest"),
    Row("settler", "serve", "serve_no_more", "gather unmark", "cannot serve", "can serve nobody more"),
    Row("settler", "gather", "gather", "gather", "one home", "gathers a lease of a retired version"),
    Row("settler", "gather", "gather_no_more", "gather unmark", "none home", "finds no more"),
    Row("settler", "unmark", "unmark", "idle", "", "takes the mark away if it can, and unlocks"),
)
NONE = -1


class Version(NamedTuple):
    at: str  # fresh, live, retired, drained or reclaimed
    free: int
    gathered: int = 0
    attention: bool = False


class Caller(NamedTuple):
    at: str
    calls: int  # how many it has still to make; NONE: no limit
    seen: int = NONE  # the version it has read
    lease: int = NONE  # the version whose lease it owns
    place: int = 0  # in the queue, from 1; 0 outside of it
    held: bool = False  # by a gate that has opened since; the next gate does not stop it
    floor: int = 0  # history for S2: the newest version on which a call had ended when this one began


class Operator(NamedTuple):
    at: str
    old: int = NONE
    exclusive: bool = False


class Thread(NamedTuple):
    at: str
    version: int = NONE


class State(NamedTuple):
    current: int
    newest: int
    kept: int  # the version that the upgrade under way may roll back to
    size: int  # instances of one version
    locked: bool
    shut: bool
    closed: bool
    ended: int  # history for S2: the newest version on which a call has ended since the last rollback
    versions: tuple[Version, ...]
    callers: tuple[Caller, ...]
    operators: tuple[Operator, ...]
    closers: tuple[Thread, ...]
    settlers: tuple[Thread, ...]

    def caller(self, i: int, **change: Any) -> State:
        return self._replace(callers=put(self.callers, i, self.callers[i]._replace(**change)))

    def version(self, v: int, **change: Any) -> State:
        return self._replace(versions=put(self.versions, v, self.versions[v]._replace(**change)))

    def operator(self, at: str, **change: Any) -> State:
        return self._replace(operators=(self.operators[0]._replace(at=at, **change),))

    def settle(self) -> State:
        """Take the lock; the settler does its work and lets go of it."""
        return self._replace(locked=True, settlers=(Thread("mark"),))

    def wake(self) -> State:
        """Everyone who waits looks again."""
        woken = tuple(one._replace(at="woken") if one.at == "parked" else one for one in self.callers)
        operators = tuple(one._replace(at="drain") if one.at == "parked" else one for one in self.operators)
        return self._replace(callers=woken, operators=operators)

    def without(self, place: int) -> State:
        """The queue without the caller at that place: who stands behind moves up."""
        moved = (one._replace(place=one.place - (one.place > place)) for one in self.callers)
        return self._replace(callers=tuple(moved)) if place else self

    def look_up(self, i: int) -> State:
        calls = self.callers[i].calls
        return self.caller(i, at="seen", calls=calls - (calls > 0), seen=self.current, floor=self.ended)

    def heed(self, i: int, at: str = "unserved") -> State:
        return self.caller(i, at=at, seen=NONE)

    def take(self, i: int) -> State:
        v = self.callers[i].seen
        s = self.caller(i, at="inside", seen=NONE, lease=v, floor=0)
        return s.version(v, free=s.versions[v].free - 1)

    def release(self, i: int) -> State:
        v = self.callers[i].lease
        s = self.caller(i, at="left", seen=v, lease=NONE, held=False)
        s = s._replace(ended=v) if s.ended < v <= s.current else s
        return s.version(v, free=s.versions[v].free + 1)

    def leave(self, i: int) -> State:
        return self.heed(i, "outside")

    def notice(self, i: int) -> State:
        return self.heed(i, "noticed")

    def report(self, i: int) -> State:
        return self.caller(i, at="reporting").settle()

    def enqueue(self, i: int) -> State:
        return self.caller(i, at="looking", place=1 + max(one.place for one in self.callers)).settle()

    def look_again(self, i: int) -> State:
        return self.caller(i, at="looking").settle()

    def quit_queue(self, i: int) -> State:
        return self.without(self.callers[i].place).caller(i, at="quitting", place=0, floor=0).settle()

    def publish(self, _i: int) -> State:
        old, new = self.current, self.newest + 1
        s = self.version(new, at="live", attention=True)._replace(current=new, newest=new, kept=old, locked=True)
        return s.operator("publishing", old=old, exclusive=False)

    def retire(self, _i: int) -> State:
        return self.version(self.operators[0].old, at="retired", attention=True).operator("retiring").settle()

    def shut_gate(self, _i: int) -> State:
        s = self.version(self.current, at="retired", attention=True)
        s = s._replace(newest=s.newest + 1, kept=s.current, shut=True)
        return s.operator("retiring", old=s.current, exclusive=True).settle()

    def check_drain(self, _i: int) -> State:
        return self.operator("checking").settle()

    def open_gate(self) -> State:
        if not self.shut:
            return self
        held = tuple(one._replace(held=True) if one.place else one for one in self.callers)
        return self._replace(shut=False, callers=held).wake()

    def commit(self, _i: int) -> State:
        s = self._replace(kept=NONE)
        if s.operators[0].exclusive:
            s = s.version(s.newest, at="live", attention=True)._replace(current=s.newest).open_gate()
        return s.operator("finishing").settle()

    def roll_back(self, _i: int) -> State:
        return self.version(self.operators[0].old, at="live").operator("restoring")._replace(locked=True)

    def gathered(self) -> int:
        return self.versions[self.operators[0].old].gathered

    def restore(self, _i: int) -> State:
        old = self.operators[0].old
        return self.version(old, free=self.versions[old].free + 1, gathered=self.versions[old].gathered - 1)

    def reinstate(self, _i: int) -> State:
        anew = tuple(one._replace(floor=0) for one in self.callers)
        return self.operator("reverting")._replace(current=self.operators[0].old, ended=0, callers=anew)

    def drop_candidate(self, _i: int) -> State:
        s = self.version(self.newest, at="retired", attention=True)._replace(kept=NONE)
        return s.open_gate().operator("finishing").settle()

    def close(self, i: int) -> State:
        s = self._replace(closed=True, kept=NONE, closers=put(self.closers, i, Thread("closing")))
        for v, one in enumerate(s.versions[: s.newest + 1]):
            s = s.version(v, at="retired", attention=True) if one.at in ("live", "fresh") else s
        return s.wake().settle()

    def reclaim(self, v: int) -> State:
        return self.version(v, at="reclaimed", gathered=0)

    def mark(self, _i: int) -> State:
        waits = self.shut or any(one.place for one in self.callers)
        s = self.version(self.current, attention=True) if waits else self
        return s._replace(settlers=(Thread("serve"),))

    def serve(self, _i: int) -> State:
        v, i = self.current, next(i for i, one in enumerate(self.callers) if one.place == 1)
        at = "woken" if self.callers[i].at == "parked" else self.callers[i].at
        s = self.caller(i, at=at, lease=v, floor=0).without(1).caller(i, place=0)
        return s.version(v, free=s.versions[v].free - 1)

    def serve_no_more(self, _i: int, start: int = 0) -> State:
        retired = [v for v in range(start, self.newest + 1) if self.versions[v].at == "retired"]
        return self._replace(settlers=(Thread("gather", retired[0]) if retired else Thread("unmark"),))

    def gather(self, _i: int) -> State:
        v = self.settlers[0].version
        return self.version(v, free=self.versions[v].free - 1, gathered=self.versions[v].gathered + 1)

    def gather_no_more(self, _i: int) -> State:
        v = self.settlers[0].version
        s = self.version(v, at="drained").wake() if self.versions[v].gathered == self.size else self
        return s.serve_no_more(0, v + 1)

    def unmark(self, _i: int) -> State:
        s, v = self._replace(locked=False, settlers=(Thread("idle"),)), self.current
        waits = s.shut or any(one.place for one in s.callers)
        s = s.version(v, attention=waits or s.versions[v].at != "live")
        return s._replace(
            callers=tuple(one._replace(at=s.after(one)) if one.at.endswith("ing") else one for one in s.callers),
            operators=tuple(one._replace(at=s.went_on(one)) if one.at.endswith("ing") else one for one in s.operators),
            closers=tuple(Thread("drain") if one.at == "closing" else one for one in s.closers),
        )

    def after(self, one: Caller) -> str:
        if one.at == "looking" and one.lease == NONE:
            return "refused" if self.closed else "parked"
        if one.at == "looking":
            return "served"
        return "outside" if one.lease == NONE else "inside"

    def went_on(self, one: Operator) -> str:
        if one.at == "checking":
            return "decide" if self.versions[one.old].at == "drained" else "parked"
        return "drain" if one.at == "retiring" else "rest"


def can_serve(s: State, _i: int) -> bool:
    first = next((one for one in s.callers if one.place == 1), None)
    return first is not None and not s.closed and (first.held or not s.shut) and s.versions[s.current].free > 0


GUARDS: dict[str, Guard] = {
    "calls left": lambda s, i: s.callers[i].calls != 0,
    "attention": lambda s, i: s.versions[s.callers[i].seen].attention,
    "calm": lambda s, i: not s.versions[s.callers[i].seen].attention,
    "one free": lambda s, i: s.versions[s.callers[i].seen].free > 0,
    "none free": lambda s, i: s.versions[s.callers[i].seen].free == 0,
    "unlocked": lambda s, _: not s.locked,
    "unlocked, open": lambda s, _: not s.locked and not s.closed,
    "unlocked, closed": lambda s, _: not s.locked and s.closed,
    "can begin": lambda s, _: not s.locked and not s.closed and s.newest + 1 < len(s.versions),
    "can commit": lambda s, _: (
        not s.locked and not s.closed and (s.gathered() == s.size or not s.operators[0].exclusive)
    ),
    "gathered": lambda s, _: s.gathered() > 0,
    "none gathered": lambda s, _: s.gathered() == 0,
    "nothing left": lambda s, _: all(one.at in ("reclaimed", "fresh") for one in s.versions),
    "not kept": lambda s, v: not s.locked and v != s.kept,
    "can serve": can_serve,
    "cannot serve": lambda s, i: not can_serve(s, i),
    "one home": lambda s, _: s.versions[s.settlers[0].version].free > 0,
    "none home": lambda s, _: s.versions[s.settlers[0].version].free == 0,
}


def initial(callers: int, versions: int, size: int, closers: int = 0, calls: int = NONE) -> State:
    return State(
        *(0, 0, NONE, size, False, False, False, 0),
        versions=(Version("live", size), *(Version("fresh", size),) * (versions - 1)),
        callers=(Caller("outside", calls),) * callers,
        operators=(Operator("rest"),),
        closers=(Thread("ready"),) * closers,
        settlers=(Thread("idle"),),
    )
