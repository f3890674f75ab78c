"""The upgrade level's steps from when an attempt executes, each with its contract.

`me` is the owner itself, which prepared the candidate; if it is not, somebody idle executes in its stead.
"""

from __future__ import annotations

from proofs._logic import among, from_to, implies, no
from proofs.upgrade import At, Counted, Phase, Place, as_before, invariant, keeps, offered, stay, undecided
from proofs.upgrade_effects import begin, book, decide, drop, forget, open_gate, part, restore, swap


def overlap(s: Counted, me: bool) -> Counted:
    """
    pre: invariant(s)
    pre: offered(s) & ((me & ((s.place == Place.PREPARED) | s.endless)) | (no(me) & (s.idle > 0)))
    post: invariant(_)
    post: keeps(s, _)
    """
    return begin(s, me, Place.SWAPPING)._replace(phase=Phase.SWAPPING)


def exclude(s: Counted, me: bool) -> Counted:
    """
    pre: invariant(s)
    pre: offered(s) & ((me & ((s.place == Place.PREPARED) | s.endless)) | (no(me) & (s.idle > 0)))
    post: invariant(_)
    post: keeps(s, _)
    """
    s = begin(s, me, Place.DRAINING)._replace(phase=Phase.DRAINING, exclusive=True, shut=True)
    return s._replace(at=At.RETIRED) if s.current.code else s


def publish(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.place == Place.SWAPPING
    post: invariant(_)
    post: keeps(s, _)
    """
    return swap(s)._replace(place=Place.PUBLISHED)


def drain(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.place == Place.PUBLISHED
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(phase=Phase.DRAINING, place=Place.DRAINING)


def see_drained(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: among(s.place, Place.DRAINING, Place.GRACE) & implies(s.old.code, s.inside == 0)
    post: invariant(_)
    post: keeps(s, _)
    """
    if s.exclusive:
        s = s._replace(phase=Phase.SWAPPING)
    return s._replace(place=Place.READY if undecided(s) else Place.COMMITTED)


def detach(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.place == Place.DRAINING) & no(s.exclusive)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(place=Place.READY)


def interrupt(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.place == Place.DRAINING
    post: invariant(_)
    post: keeps(s, _._replace(interrupted=s.interrupted)) & implies(_.interrupted, s.interrupted | s.old.code)
    """
    s = s._replace(held=s.held + s.passing, passing=0) if s.exclusive else decide(s)
    return s._replace(interrupted=s.interrupted | s.old.code, place=Place.GRACE)


def time_out(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.place == Place.DRAINING
    post: invariant(_)
    post: keeps(s, _)
    post: as_before(_) & (_.phase == Phase.ROLLED_BACK)
    """
    return restore(s)


def let_be(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.place == Place.GRACE
    post: invariant(_)
    post: keeps(s, _)
    post: implies(s.exclusive, as_before(_) & (_.phase == Phase.ROLLED_BACK))
    """
    return restore(s) if s.exclusive else s._replace(place=Place.COMMITTED)


def commit(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.place == Place.READY
    post: invariant(_)
    post: keeps(s, _)
    post: implies(s.exclusive & s.old.code, _.inside == 0)
    """
    return decide(s)


def strike(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: from_to(s.place, Place.SWAPPING, Place.READY) & undecided(s)
    post: invariant(_)
    post: keeps(s, _)
    post: as_before(_) & (_.phase == Phase.ROLLED_BACK)
    """
    return restore(s)


def finish(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: among(s.place, Place.COMMITTED, Place.ROLLED_BACK)
    post: invariant(_)
    post: keeps(s, _)
    """
    return part(s)._replace(phase=Phase.ACTIVE)


def find_closed(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.closed & (s.stopped > 0)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(stopped=s.stopped - 1, idle=s.idle + s.endless)


def close(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.closers > 0
    post: invariant(_)
    post: keeps(s, _)
    """
    t = s._replace(closers=s.closers - 1, emptying=s.emptying + 1, phase=Phase.CLOSED)
    if undecided(s):
        t = book(drop(t), failures=1)
    if s.owners > 0:
        t = forget(t)
    if s.current.code & no(s.closed):
        t = t._replace(at=At.RETIRED)
    return t._replace(closed=True, shut=False, kept=False)


def interrupt_all(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.emptying > 0
    post: invariant(_)
    post: keeps(s, _._replace(interrupted=s.interrupted))
    """
    s = s._replace(emptying=s.emptying - 1, insisting=s.insisting + 1)
    return s._replace(interrupted=True) if s.at == At.RETIRED else s


def return_closed(s: Counted, insisting: bool) -> Counted:
    """
    pre: invariant(s)
    pre: ((no(insisting) & (s.emptying > 0)) | (insisting & (s.insisting > 0))) & among(s.at, At.FRESH, At.RECLAIMED)
    post: invariant(_)
    post: keeps(s, _) & (_.inside == 0)
    """
    return s._replace(emptying=s.emptying - no(insisting), insisting=s.insisting - insisting)


def reclaim(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.at == At.RETIRED) & no(s.kept) & (s.inside == 0)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(at=At.RECLAIMED, interrupted=False)


def recycle(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.endless & (s.at == At.RECLAIMED)
    post: invariant(_)
    post: stay(s, _)
    """
    return s._replace(at=At.FRESH)
