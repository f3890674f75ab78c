"""The upgrade level's steps until an attempt executes, each with its contract: what it takes, and what holds then.

A step bears the specification's name for it. Where it can happen in more than one way, that is an argument: `here` is
the watched version, or a call inside it; `passing` is a held call that the gate lets pass.
"""

from __future__ import annotations

from proofs._logic import among, implies, no
from proofs.upgrade import OTHER, At, Counted, Phase, Place, Ref, as_before, early, invariant, keeps
from proofs.upgrade_effects import book, drop, enter, forget, leave, part

ZERO = (
    *("attempts", "successes", "failures", "cancelled"),
    *("held", "passing", "inside", "elsewhere", "torn"),
    *("owners", "lost", "stopped", "emptying", "insisting"),
)


def start(here: bool, endless: bool, callers: int, upgraders: int, cancellers: int, closers: int) -> Counted:
    """
    Nothing has happened yet; the watched version is the first one, or it is not.

    pre: (callers >= 0) & (upgraders >= 0) & (cancellers >= 0) & (closers >= 0)
    post: invariant(_)
    """
    first = Ref(here, here)
    return Counted(
        phase=Phase.ACTIVE,
        shut=False,
        closed=False,
        endless=endless,
        at=At.LIVE if here else At.FRESH,
        interrupted=False,
        kept=False,
        current=first,
        before=first,
        outside=callers,
        place=Place.NOWHERE,
        exclusive=False,
        old=OTHER,
        new=OTHER,
        idle=upgraders,
        cancellers=cancellers,
        closers=closers,
        **dict.fromkeys(ZERO, 0),
    )


# Callers ---------------------------------------------------------------------------------------------------


def admit(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.outside > 0) & no(s.shut) & no(s.closed)
    post: invariant(_)
    post: keeps(s, _)
    """
    return enter(s._replace(outside=s.outside - 1))


def hold(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.outside > 0) & s.shut & no(s.closed)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(outside=s.outside - 1, held=s.held + 1)


def let_in(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: no(s.closed) & (s.passing > 0) & implies(s.shut, s.phase == Phase.DRAINING)
    post: invariant(_)
    post: keeps(s, _)
    """
    return enter(s._replace(passing=s.passing - 1))


def turn_away(s: Counted, passing: bool) -> Counted:
    """
    pre: invariant(s)
    pre: s.closed & ((passing & (s.passing > 0)) | (no(passing) & (s.held > 0)))
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(outside=s.outside + 1, held=s.held - no(passing), passing=s.passing - passing)


def end(s: Counted, here: bool) -> Counted:
    """
    pre: invariant(s)
    pre: (here & (s.inside > 0)) | (no(here) & (s.elsewhere > 0))
    post: invariant(_)
    post: keeps(s._replace(inside=s.inside - here, elsewhere=s.elsewhere - no(here)), _)
    """
    return leave(s, here)


def trap(s: Counted, here: bool) -> Counted:
    """
    pre: invariant(s)
    pre: (here & (s.inside > 0) & s.interrupted) | (no(here) & (s.elsewhere > 0))
    post: invariant(_)
    post: keeps(s._replace(inside=s.inside - here, elsewhere=s.elsewhere - no(here)), _)
    post: implies(_.inside < s.inside, s.interrupted)
    """
    return leave(s, here)


def ask_inside(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.inside + s.elsewhere > 0
    post: _ == s
    """
    return s


# Upgraders, until one executes -----------------------------------------------------------------------------


def claim(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.idle > 0) & (s.owners == 0) & no(s.closed)
    post: invariant(_)
    post: keeps(s._replace(before=s.current), _)
    """
    s = book(s, attempts=1)._replace(phase=Phase.PREPARING_UPGRADE, before=s.current, idle=s.idle - 1)
    return s._replace(owners=s.owners + 1, place=Place.PREPARING)


def be_busy(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.owners > 0) & ((s.idle > 0) | (s.endless & (s.place == Place.AWAY)))
    post: invariant(_)
    post: keeps(s, _)
    """
    return s if s.endless else s._replace(idle=s.idle - 1)


def offer(s: Counted, here: bool) -> Counted:
    """
    pre: invariant(s)
    pre: (s.place == Place.PREPARING) & implies(here, s.at == At.FRESH)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(at=At.CANDIDATE if here else s.at, place=Place.PREPARED, new=Ref(here, here))


def fail(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: among(s.place, Place.PREPARING, Place.PREPARED)
    post: invariant(_)
    post: keeps(s, _)
    post: as_before(_) & (_.phase == Phase.ACTIVE)
    """
    return book(part(drop(s)), failures=1)._replace(phase=Phase.ACTIVE)


def find_lost(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.lost > 0
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(lost=s.lost - 1, idle=s.idle + s.endless)


def go_away(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.place == Place.PREPARED
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(place=Place.AWAY)


def cancel(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.cancellers > 0) & early(s)
    post: invariant(_)
    post: keeps(s, _)
    post: as_before(_) & (_.phase == Phase.ACTIVE)
    """
    s = book(forget(drop(s)), cancelled=1)._replace(phase=Phase.ACTIVE)
    return s._replace(cancellers=s.cancellers - no(s.endless))


def cancel_nothing(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.cancellers > 0) & (s.owners == 0) & no(s.closed)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(cancellers=s.cancellers - no(s.endless))


def cancel_late(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.cancellers > 0) & (s.owners > 0) & no(early(s))
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(cancellers=s.cancellers - no(s.endless))
