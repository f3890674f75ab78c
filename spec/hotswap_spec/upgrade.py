"""Upgrade: the phases of a plugin, who owns them, and every way in which an upgrade can end. One locked step a step.

An *owner* is the one thread that holds the attempt; whoever else asks is refused. OVERLAP makes the candidate current
and then waits for the calls on the old version; EXCLUSIVE shuts the gate, waits, and makes the candidate current as
it commits. Until the commit whatever goes wrong is rolled back, after it nothing is, and a close wins over all of it.
Admission is one step here; the admission level shows what it is made of.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hotswap_spec._model import Effect, Guard, go, put

TABLE = """
caller
  outside  admit            inside   not shut, not closed  may    is admitted to the current version
  outside  hold             held     shut, not closed      may    is held at the gate
  held     let_in (admit)   inside   may pass, not closed  again  is let in
  held     turn_away (end)  outside  closed                must   is told PluginClosed
  inside   end              outside  -                     must   ends its call
  inside   trap (end)       outside  interrupted           must   is interrupted
  inside   ask_inside       inside   -                     may    asks for an upgrade from inside, is refused
upgrader
  idle                claim                 preparing        not owned, not closed  may   claims the next upgrade
  idle                be_busy               idle done        owned                  may   is told Busy
  preparing           offer                 prepared         owns, number free      must  has the candidate
  preparing prepared  fail                  idle done        owns                   may   fails, gives up
  preparing prepared  find_lost (part)      idle done        not owns               must  learns that it is lost
  prepared            go_away (be_busy)     idle done        owns                   may   leaves it to anybody
  prepared idle       overlap (begin)       swapping         may_begin              must  executes (OVERLAP)
  prepared idle       exclude               draining         may_begin              must  executes (EXCLUSIVE)
  swapping            publish               published        owns                   must  makes the new version current
  published           drain                 draining         owns                   must  waits for calls on the old one
  draining grace      see_drained           ready committed  owns, drained          must  sees the old one drained
  draining            detach                ready            owns, not exclusive    may   drain timeout: DETACH
  draining            interrupt             grace            owns                   may   drain timeout: INTERRUPT
  draining            time_out (roll_back)  rolled_back      owns                   may   drain timeout: ROLLBACK
  grace               let_be                rolled_back committed  owns             may   waits no more
  ready               commit                committed        owns                   must  commits
  swapping published draining grace ready  strike (roll_back)  rolled_back  owns, undecided  may  is struck: rolls back
  swapping published draining grace ready committed rolled_back  find_closed (part)  idle done  closed  must  is over
  committed rolled_back  finish             idle done        owns                   must  is done; the next may begin
canceller
  ready  cancel                        ready done  preparing              may  cancels
  ready  cancel_nothing                ready done  not owned, not closed  may  is told: nothing to cancel
  ready  cancel_late (cancel_nothing)  ready done  owned, not preparing   may  is told Busy: too late
closer
  ready               close          emptying   -      may   closes the plugin, and retires every version
  emptying            interrupt_all  insisting  -      may   has waited for the drain timeout: interrupts all
  emptying insisting  return_closed  closed     empty  must  returns: nothing runs
version
  retired    reclaim  reclaimed  not kept, not inside  must  is reclaimed
  reclaimed  recycle  fresh      endless               must  has its number used again
"""
PREPARING = "PREPARING_UPGRADE"


class Ref(NamedTuple):
    """What is published in one reference (S6); both are version numbers, and must be the same one."""

    code: int = -1
    manifest: int = -1


class Version(NamedTuple):
    at: str  # fresh, candidate, live, retired or reclaimed
    interrupted: bool = False


class Caller(NamedTuple):
    at: str
    on: Ref = Ref()
    passes: bool = False  # held by a gate that has opened since: the next gate does not stop it


class Upgrader(NamedTuple):
    at: str
    owns: bool = False
    exclusive: bool = False
    old: Ref = Ref()
    new: Ref = Ref()


class Thread(NamedTuple):
    at: str


class State(NamedTuple):
    versions: tuple[Version, ...]
    callers: tuple[Caller, ...]
    upgraders: tuple[Upgrader, ...]
    cancellers: tuple[Thread, ...]
    closers: tuple[Thread, ...]
    endless: bool  # threads begin anew, numbers of reclaimed versions too; nothing is counted
    phase: str = "ACTIVE"
    current: Ref = Ref(0, 0)
    before: Ref = Ref(0, 0)  # history for S4: what was current when the latest attempt began
    kept: int = -1  # the version that the attempt under way may roll back to
    shut: bool = False
    closed: bool = False
    attempts: int = 0
    successes: int = 0
    failures: int = 0
    cancelled: int = 0

    def go(self, group: str, i: int, **change: Any) -> State:
        return go(self, group, i, **change)

    def owner(self) -> int:
        return next((i for i, one in enumerate(self.upgraders) if one.owns), -1)

    def undecided(self, _i: int = 0) -> bool:
        return self.phase in (PREPARING, "DRAINING", "SWAPPING")

    def fresh(self) -> int:
        return next((v for v, one in enumerate(self.versions) if one.at == "fresh"), -1)

    def inside(self, v: int) -> bool:
        return any(one.on.code == v for one in self.callers)

    def may_begin(self, i: int) -> bool:
        """Anybody may execute what was prepared, but for who is still at work on something."""
        ready = self.phase == PREPARING and self.upgraders[self.owner()].new != NOTHING
        return ready and (i == self.owner() or self.upgraders[i].at == "idle")

    def tally(self, what: str) -> State:
        return self if self.endless else self._replace(**{what: getattr(self, what) + 1})

    def part(self, i: int) -> State:
        """Upgrader `i` has its answer."""
        return self._replace(upgraders=put(self.upgraders, i, Upgrader("idle" if self.endless else "done")))

    def drop(self, i: int) -> State:
        """The candidate of upgrader `i`, if there is one, will not serve any more."""
        new = self.upgraders[i].new
        return self if new == NOTHING else self.go("versions", new.code, at="retired")

    def cancel(self, i: int) -> State:
        j = self.owner()
        s = self.drop(j).go("upgraders", j, owns=False, new=NOTHING).tally("cancelled")
        return s.go("cancellers", i, at="ready" if s.endless else "done")._replace(phase="ACTIVE")

    def begin(self, i: int) -> State:
        """Ownership goes to who executes, from whoever prepared."""
        j, new = self.owner(), self.upgraders[self.owner()].new
        s = self.go("upgraders", j, owns=False, new=NOTHING)
        s = s.go("upgraders", i, owns=True, exclusive=False, old=s.current, new=new)
        return s._replace(phase="SWAPPING", kept=s.current.code)

    def exclude(self, i: int) -> State:
        s = self.begin(i).go("upgraders", i, exclusive=True).go("versions", self.current.code, at="retired")
        return s._replace(phase="DRAINING", shut=True)

    def publish(self, i: int) -> State:
        """The linearization point of an upgrade (S2)."""
        me = self.upgraders[i]
        s = self.go("versions", me.new.code, at="live").go("versions", me.old.code, at="retired")
        return s._replace(current=me.new)

    def see_drained(self, i: int) -> State:
        s = self._replace(phase="SWAPPING") if self.upgraders[i].exclusive else self
        return s.go("upgraders", i, at="ready" if s.undecided() else "committed")

    def interrupt(self, i: int) -> State:
        """OVERLAP has decided with that; EXCLUSIVE has not, and lets nobody in to be stopped."""
        held = self._replace(callers=tuple(one._replace(passes=False) for one in self.callers))
        s = held if self.upgraders[i].exclusive else self.commit(i)
        return s.go("versions", s.upgraders[i].old.code, interrupted=True)

    def commit(self, i: int) -> State:
        s = self.publish(i) if self.upgraders[i].exclusive else self
        return s.open_gate().tally("successes")._replace(phase="UPGRADE_COMPLETE", kept=-1)

    def open_gate(self) -> State:
        passed = tuple(one._replace(passes=True) if one.at == "held" else one for one in self.callers)
        return self._replace(shut=False, callers=passed) if self.shut else self

    def roll_back(self, i: int) -> State:
        s = self.go("versions", self.kept, at="live", interrupted=False).drop(i).open_gate().tally("failures")
        return s._replace(phase="ROLLED_BACK", current=s.upgraders[i].old, kept=-1).go("upgraders", i, at="rolled_back")

    def close(self, _i: int) -> State:
        j = self.owner()
        s = self.drop(j).tally("failures") if self.undecided() else self
        s = s.go("upgraders", j, owns=False, old=NOTHING, new=NOTHING) if j >= 0 else s
        s = s if s.closed else s.go("versions", s.current.code, at="retired")
        return s._replace(phase="CLOSED", closed=True, shut=False, kept=-1)


NOTHING = Ref()
EFFECTS: dict[str, Effect] = {  # the effects that one line can say
    "admit": lambda s, i: s.go("callers", i, on=s.current, passes=False),
    "end": lambda s, i: s.go("callers", i, on=NOTHING, passes=False),
    "claim": lambda s, i: s.tally("attempts").go("upgraders", i, owns=True)._replace(phase=PREPARING, before=s.current),
    "offer": lambda s, i: s.go("versions", s.fresh(), at="candidate").go("upgraders", i, new=Ref(s.fresh(), s.fresh())),
    "be_busy": lambda s, i: s.go("upgraders", i, at="idle" if s.endless else "done"),
    "fail": lambda s, i: s.drop(i).part(i).tally("failures")._replace(phase="ACTIVE"),
    "drain": lambda s, _: s._replace(phase="DRAINING"),
    "let_be": lambda s, i: s.roll_back(i) if s.upgraders[i].exclusive else s.go("upgraders", i, at="committed"),
    "finish": lambda s, i: s.part(i)._replace(phase="ACTIVE"),
    "cancel_nothing": lambda s, i: s.go("cancellers", i, at="ready" if s.endless else "done"),
    "interrupt_all": lambda s, _: s._replace(
        versions=tuple(Version(one.at, one.at == "retired") for one in s.versions)
    ),
    "reclaim": lambda s, v: s.go("versions", v, interrupted=False),
}
GUARDS: dict[str, Guard] = {
    "shut": lambda s, _: s.shut,
    "closed": lambda s, _: s.closed,
    "may pass": lambda s, i: not s.shut or (s.callers[i].passes and s.phase == "DRAINING"),
    "interrupted": lambda s, i: s.versions[s.callers[i].on.code].interrupted,
    "owned": lambda s, _: s.owner() >= 0,
    "owns": lambda s, i: s.upgraders[i].owns,
    "exclusive": lambda s, i: s.upgraders[i].exclusive,
    "number free": lambda s, _: s.fresh() >= 0,
    "drained": lambda s, i: not s.inside(s.upgraders[i].old.code),
    "preparing": lambda s, _: s.phase == PREPARING,
    "empty": lambda s, _: all(one.at in ("fresh", "reclaimed") for one in s.versions),
    "kept": lambda s, v: v == s.kept,
    "endless": lambda s, _: s.endless,
}


def initial(
    callers: int, upgraders: int, versions: int, cancellers: int = 0, closers: int = 0, endless: int = 0
) -> State:
    """If it is not endless, every upgrader needs a version of its own beside the first one."""
    many, ready = (Version("live"), *(Version("fresh"),) * (versions - 1)), (Thread("ready"),)
    groups = (Caller("outside"),) * callers, (Upgrader("idle"),) * upgraders, ready * cancellers, ready * closers
    return State(many, *groups, bool(endless))
