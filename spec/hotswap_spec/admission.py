"""Admission: how a call enters one version and no other, and how a version is drained. One shared access a step.

A call reads `current`, looks whether that version asks for *attention*, and takes a lease from its bag of free ones:
the take is the admission and the in-flight count in one. When the call has ended it puts the lease back, and looks
for attention again. Who finds attention, or no lease, goes the slow way: it queues, under the lock.

Whoever holds the lock *settles* before letting it go: marks the current version if somebody waits, serves who waits,
gathers what came home to retired versions, wakes who waits for that, takes the mark away, and goes `on`. The operator
stands for upgrades of both cutovers and every outcome; the upgrade level says when each is chosen.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hotswap_spec._model import Effect, Guard, go

TABLE = """
caller
  outside   look_up              seen       calls left            may   begins a call: reads which version is current
  seen      pass_by              cleared    not attention         must  sees that nobody waits
  seen      heed (forget)        unserved   attention             must  sees that somebody waits
  cleared   take                 inside     lease free            must  takes a lease: it is admitted
  cleared   miss (forget)        unserved   not lease free        must  finds no lease
  inside    release              left       -                     must  ends its call; the lease goes home
  left      leave (forget)       outside    not attention         must  sees that nobody waits
  left      notice (forget)      noticed    attention             must  sees that somebody waits
  noticed   report (settle)      reporting  unlocked              must  settles for those who wait
  unserved  enqueue              looking    unlocked, not closed  must  takes the last place in the queue
  unserved  find_closed          refused    unlocked, closed      must  is refused: the plugin is closed
  parked    lose_patience        refused    not shut             may   has waited for its queue timeout
  woken     look_again (settle)  looking    unlocked              must  looks whether it was served
  refused   quit_queue           quitting   unlocked, not leased  must  leaves the queue
  served refused  enter          entering   unlocked, leased      must  goes on with its lease, also if it had given up
operator
  rest          publish               publishing  unlocked, not closed, more  may   makes the next version current
  publishing    retire                retiring    -                           must  retires the old version
  rest          shut_gate             retiring    unlocked, not closed, more  may   shuts the gate; retires
  drain         check_drain (settle)  checking    unlocked, not closed        must  looks whether the old is empty
  parked        time_out              decide      -                           may   has waited for the drain timeout
  decide        commit                finishing   unlocked, not closed, may commit  must  commits
  decide        roll_back             restoring   unlocked, not closed        must  rolls back: the old is live
  restoring     restore               restoring   gathered                    must  gives the old version a lease back
  restoring     reinstate             reverting   not gathered                must  makes the old version current
  reverting     drop_candidate        finishing   -                           must  retires the new one, opens the gate
  drain decide  yield_to_close        rest        unlocked, closed            must  finds the plugin closed
closer
  ready  close          closing  unlocked      may   closes the plugin, and retires every version
  drain  return_closed  closed   nothing left  must  returns: nothing runs
version
  drained  reclaim  reclaimed  unlocked, not kept  must  is reclaimed
lock
  mark    mark            serve          -                          must  marks the current version if somebody waits
  serve   serve           serve          can_serve                  must  gives a lease to who waits longest
  serve   serve_no_more   gather unmark  not can_serve              must  can serve nobody more
  gather  serve           gather         one home, may pass on      must  gives it to who was held before
  gather  gather          gather         one home, not may pass on  must  gathers a lease of a retired version
  gather  gather_no_more  gather unmark  not one home               must  finds no more
  unmark  unmark          free           -                          must  takes the mark away if it can, and unlocks
"""
NONE = -1
ON = {"entering": "inside", "retiring": "drain", "closing": "drain", "finishing": "rest"}


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


class Thread(NamedTuple):
    at: str
    version: int = NONE  # the operator's old one; the one that is gathered under the lock
    exclusive: bool = False


class State(NamedTuple):
    size: int  # instances of one version
    versions: tuple[Version, ...]
    callers: tuple[Caller, ...]
    closers: tuple[Thread, ...]
    operators: tuple[Thread] = (Thread("rest"),)
    locks: tuple[Thread] = (Thread("free"),)  # free, held, or in the hand of who settles
    current: int = 0
    newest: int = 0
    kept: int = NONE  # the version that the upgrade under way may roll back to
    ended: int = 0  # history for S2: the newest version on which a call has ended since the last rollback
    shut: bool = False
    closed: bool = False

    def go(self, group: str, i: int, **change: Any) -> State:
        return go(self, group, i, **change)

    def waits(self) -> bool:
        return self.shut or any(one.place for one in self.callers)

    def can_serve(self, _i: int) -> bool:
        one = next((one for one in self.callers if one.place == 1), None)
        return bool(one and not self.closed and (one.held or not self.shut) and self.versions[self.current].free)

    def old(self) -> Version:
        return self.versions[self.operators[0].version]

    def settle(self, _i: int = 0) -> State:
        """Take the lock in order to settle; that is also how it is let go."""
        return self.go("locks", 0, at="mark")

    def wake(self) -> State:
        """Everyone who waits looks again."""
        woken = tuple(one._replace(at="woken") if one.at == "parked" else one for one in self.callers)
        operator = self.operators[0]._replace(at="drain") if self.operators[0].at == "parked" else self.operators[0]
        return self._replace(callers=woken, operators=(operator,))

    def without(self, place: int) -> State:
        """The queue without the caller at that place: who stands behind moves up."""
        moved = (one._replace(place=one.place - (one.place > place)) for one in self.callers)
        return self._replace(callers=tuple(moved)) if place else self

    def open_gate(self) -> State:
        """Who waits passes, also if the gate is shut again before it is served."""
        held = tuple(one._replace(held=True) if one.place else one for one in self.callers)
        return self._replace(shut=False, callers=held).wake() if self.shut else self

    def retire_version(self, v: int) -> State:
        return self.go("versions", v, at="retired", attention=True)

    def moved_leases(self, v: int, free: int, gathered: int = 0) -> State:
        return self.go("versions", v, free=self.versions[v].free + free, gathered=self.versions[v].gathered + gathered)

    def release(self, i: int) -> State:
        v = self.callers[i].lease
        s = self._replace(ended=v) if self.ended < v <= self.current else self
        return s.go("callers", i, seen=v, lease=NONE, held=False).moved_leases(v, free=1)

    def publish(self, i: int) -> State:
        s = self.go("versions", self.newest + 1, at="live", attention=True).go("locks", 0, at="held")
        s = s.go("operators", i, version=s.current, exclusive=False)
        return s._replace(current=s.newest + 1, newest=s.newest + 1, kept=s.current)

    def shut_gate(self, i: int) -> State:
        s = self.go("operators", i, version=self.current, exclusive=True).retire_version(self.current)
        return s._replace(newest=s.newest + 1, kept=s.current, shut=True).settle()

    def commit(self, i: int) -> State:
        s = self._replace(kept=NONE)
        if s.operators[i].exclusive:
            s = s.go("versions", s.newest, at="live", attention=True)._replace(current=s.newest).open_gate()
        return s.settle()

    def close(self, _i: int) -> State:
        s = self._replace(closed=True, kept=NONE)
        for v in (v for v, one in enumerate(s.versions[: s.newest + 1]) if one.at in ("live", "fresh")):
            s = s.retire_version(v)
        return s.wake().settle()

    def serve(self, _i: int) -> State:
        i = next(i for i, one in enumerate(self.callers) if one.place == 1)
        at = "woken" if self.callers[i].at == "parked" else self.callers[i].at
        s = self.without(1).go("callers", i, at=at, lease=self.current, floor=0, place=0)
        return s.moved_leases(s.current, free=-1)

    def serve_no_more(self, _i: int, start: int = 0) -> State:
        v = next((v for v in range(start, self.newest + 1) if self.versions[v].at == "retired"), NONE)
        return self.go("locks", 0, at="unmark" if v == NONE else "gather", version=v)

    def gather_no_more(self, i: int) -> State:
        v = self.locks[0].version
        s = self.go("versions", v, at="drained").wake() if self.versions[v].gathered == self.size else self
        return s.serve_no_more(i, v + 1)

    def on(self, one: Any) -> Any:
        """Where a thread goes that has settled; who has not stays."""
        if one.at == "looking":
            return one._replace(at="served" if one.lease != NONE else "refused" if self.closed else "parked")
        if one.at == "checking":
            return one._replace(at="decide" if self.old().at == "drained" else "parked")
        return one._replace(at=ON.get(one.at, "outside")) if one.at.endswith("ing") else one

    def unmark(self, _i: int) -> State:
        asks = self.waits() or self.versions[self.current].at != "live"
        on: dict[str, Any] = {g: tuple(map(self.on, getattr(self, g))) for g in ("callers", "operators", "closers")}
        return self.go("versions", self.current, attention=asks)._replace(**on)


EFFECTS: dict[str, Effect] = {  # the effects that one line can say
    "look_up": lambda s, i: s.go("callers", i, calls=max(s.callers[i].calls - 1, NONE), seen=s.current, floor=s.ended),
    "forget": lambda s, i: s.go("callers", i, seen=NONE),
    "take": lambda s, i: s.go("callers", i, seen=NONE, lease=s.callers[i].seen, floor=0).moved_leases(
        s.callers[i].seen, free=-1
    ),
    "enqueue": lambda s, i: s.go("callers", i, place=1 + max(one.place for one in s.callers)).settle(),
    "enter": lambda s, i: s.go("callers", i, floor=0).settle(),
    "quit_queue": lambda s, i: s.without(s.callers[i].place).go("callers", i, place=0, floor=0, held=False).settle(),
    "retire": lambda s, _: s.retire_version(s.operators[0].version).settle(),
    "roll_back": lambda s, _: s.go("versions", s.operators[0].version, at="live").go("locks", 0, at="held"),
    "restore": lambda s, _: s.moved_leases(s.operators[0].version, free=1, gathered=-1),
    "reinstate": lambda s, i: s._replace(
        current=(v := s.operators[i].version),
        ended=min(s.ended, v),
        callers=tuple(one._replace(floor=min(one.floor, v)) for one in s.callers),
    ),
    "drop_candidate": lambda s, _: s.retire_version(s.newest)._replace(kept=NONE).open_gate().settle(),
    "reclaim": lambda s, v: s.go("versions", v, gathered=0),
    "mark": lambda s, _: s.go("versions", s.current, attention=True) if s.waits() else s,
    "gather": lambda s, _: s.moved_leases(s.locks[0].version, free=-1, gathered=1),
}
GUARDS: dict[str, Guard] = {
    "calls left": lambda s, i: s.callers[i].calls != 0,
    "attention": lambda s, i: s.versions[s.callers[i].seen].attention,
    "lease free": lambda s, i: s.versions[s.callers[i].seen].free > 0,
    "leased": lambda s, i: s.callers[i].lease != NONE,
    "unlocked": lambda s, _: s.locks[0].at == "free",
    "closed": lambda s, _: s.closed,
    "shut": lambda s, _: s.shut,
    "more": lambda s, _: s.newest + 1 < len(s.versions),
    "may commit": lambda s, i: s.old().gathered == s.size or not s.operators[i].exclusive,
    "gathered": lambda s, _: s.old().gathered > 0,
    "nothing left": lambda s, _: all(one.at in ("reclaimed", "fresh") for one in s.versions),
    "kept": lambda s, v: v == s.kept,
    "may pass on": lambda s, i: s.locks[0].version == s.current and s.can_serve(i),
    "one home": lambda s, _: s.versions[s.locks[0].version].free > 0,
}


def initial(callers: int, versions: int, size: int, closers: int = 0, calls: int = NONE) -> State:
    many = (Version("live", size), *(Version("fresh", size),) * (versions - 1))
    return State(size, many, (Caller("outside", calls),) * callers, (Thread("ready"),) * closers)
