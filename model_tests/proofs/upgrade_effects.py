"""What several steps of the upgrade level have in common."""

from __future__ import annotations

from proofs._logic import among, no
from proofs.upgrade import OTHER, At, Counted, Phase, Place


def book(s: Counted, attempts: int = 0, successes: int = 0, failures: int = 0, cancelled: int = 0) -> Counted:
    if s.endless:
        return s
    return s._replace(
        attempts=s.attempts + attempts,
        successes=s.successes + successes,
        failures=s.failures + failures,
        cancelled=s.cancelled + cancelled,
    )


def enter(s: Counted) -> Counted:
    """Somebody goes in, to what is current."""
    s = s._replace(torn=s.torn + (s.current.code != s.current.manifest))
    return s._replace(inside=s.inside + s.current.code, elsewhere=s.elsewhere + no(s.current.code))


def leave(s: Counted, here: bool) -> Counted:
    return s._replace(outside=s.outside + 1, inside=s.inside - here, elsewhere=s.elsewhere - no(here))


def drop(s: Counted) -> Counted:
    return s._replace(at=At.RETIRED) if s.new.code else s


def part(s: Counted) -> Counted:
    """The owner has its answer."""
    s = s._replace(owners=s.owners - 1, place=Place.NOWHERE, exclusive=False, old=OTHER, new=OTHER)
    return s._replace(idle=s.idle + s.endless)


def forget(s: Counted) -> Counted:
    """The owner owns no more; it will learn that, if it is still there."""
    return s._replace(
        owners=s.owners - 1,
        place=Place.NOWHERE,
        exclusive=False,
        old=OTHER,
        new=OTHER,
        lost=s.lost + among(s.place, Place.PREPARING, Place.PREPARED),
        idle=s.idle + (s.endless & (s.place == Place.AWAY)),
        stopped=s.stopped + (s.place > Place.AWAY),
    )


def begin(s: Counted, me: bool, place: int) -> Counted:
    """Who prepared executes (`me`), or somebody idle does in its stead."""
    if me:
        s = s._replace(owners=s.owners - 1)
    else:
        gone = s.endless & (s.place == Place.AWAY)
        s = s._replace(owners=s.owners - 1, lost=s.lost + (s.place == Place.PREPARED), idle=s.idle + gone - 1)
    return s._replace(owners=s.owners + 1, place=place, old=s.current, kept=s.current.code)


def swap(s: Counted) -> Counted:
    if s.new.code:
        s = s._replace(at=At.LIVE)
    if s.old.code:
        s = s._replace(at=At.RETIRED)
    return s._replace(current=s.new)


def open_gate(s: Counted) -> Counted:
    return s._replace(shut=False, held=0, passing=s.passing + s.held) if s.shut else s


def decide(s: Counted) -> Counted:
    s = open_gate(swap(s) if s.exclusive else s)
    return book(s, successes=1)._replace(phase=Phase.UPGRADE_COMPLETE, kept=False, place=Place.COMMITTED)


def restore(s: Counted) -> Counted:
    if s.kept:
        s = s._replace(at=At.LIVE, interrupted=False)
    s = open_gate(drop(s._replace(current=s.old)))
    return book(s, failures=1)._replace(phase=Phase.ROLLED_BACK, kept=False, place=Place.ROLLED_BACK)
