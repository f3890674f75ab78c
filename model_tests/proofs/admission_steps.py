"""The admission level's steps for callers, the settler and versions, each with its contract.

A step bears the specification's name for it. Where it can happen in more than one way, that is an argument: `here` is
the watched version, or somebody with a lease of it.
"""

from __future__ import annotations

from proofs._logic import implies, no
from proofs.admission import At, Counted, Operator, Settler, invariant, keeps, leased, settle, wake

ZERO = (
    *("gathered", "seen", "cleared", "inside", "left"),
    *("looking", "woken", "served", "refused", "entering"),
    *("waiting", "closing", "draining"),
)


def start(here: bool, number: int, versions: int, size: int, closers: int) -> Counted:
    """
    Nothing has happened yet; the watched version is the first one, or a later one.

    pre: (size >= 0) & (versions >= 1) & (closers >= 0) & ((here & (number == 0)) | (no(here) & (number > 0)))
    post: invariant(_)
    """
    return Counted(
        size=size,
        locked=False,
        shut=False,
        closed=False,
        ahead=number,
        unused=versions - 1,
        at=At.LIVE if here else At.FRESH,
        free=size,
        attention=False,
        current=here,
        kept=False,
        operator=Operator.REST,
        old=False,
        exclusive=False,
        settler=Settler.IDLE,
        gathering=False,
        closers=closers,
        **dict.fromkeys(ZERO, 0),
    )


# Callers ---------------------------------------------------------------------------------------------------


def look_up(s: Counted) -> Counted:
    """
    pre: invariant(s)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(seen=s.seen + s.current)


def pass_by(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.seen > 0) & no(s.attention)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(seen=s.seen - 1, cleared=s.cleared + 1)


def heed(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.seen > 0) & s.attention
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(seen=s.seen - 1)


def take(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.cleared > 0) & (s.free > 0)
    post: invariant(_)
    post: keeps(s, _)
    post: (s.at == At.LIVE) | (s.at == At.RETIRED)
    """
    return s._replace(cleared=s.cleared - 1, inside=s.inside + 1, free=s.free - 1)


def miss(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.cleared > 0) & (s.free == 0)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(cleared=s.cleared - 1)


def release(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.inside > 0
    post: invariant(_)
    post: keeps(s._replace(inside=s.inside - 1), _)
    """
    return s._replace(inside=s.inside - 1, left=s.left + 1, free=s.free + 1)


def leave(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.left > 0) & no(s.attention)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(left=s.left - 1)


def notice(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.left > 0) & s.attention
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(left=s.left - 1)


def report(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: no(s.locked)
    post: invariant(_)
    post: keeps(s, _)
    """
    return settle(s)


def enqueue(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: no(s.locked) & no(s.closed)
    post: invariant(_)
    post: keeps(s, _)
    """
    return settle(s._replace(waiting=s.waiting + 1))


def look_again(s: Counted, here: bool) -> Counted:
    """
    pre: invariant(s)
    pre: no(s.locked) & implies(here, s.woken > 0)
    post: invariant(_)
    post: keeps(s, _)
    """
    return settle(s._replace(woken=s.woken - here, looking=s.looking + here))


def enter(s: Counted, here: bool, refused: bool) -> Counted:
    """
    `refused`: after it was told so, yet a lease came before it had left.

    pre: invariant(s)
    pre: implies(refused, here)
    pre: no(s.locked) & implies(here, (refused & (s.refused > 0)) | (no(refused) & (s.served > 0)))
    post: invariant(_)
    post: keeps(s, _)
    """
    s = s._replace(served=s.served - (here & no(refused)), refused=s.refused - refused)
    return settle(s._replace(entering=s.entering + here))


def quit_queue(s: Counted, waits: bool) -> Counted:
    """
    `waits`: it has a place in the queue.

    pre: invariant(s)
    pre: no(s.locked) & implies(waits, s.waiting > 0)
    post: invariant(_)
    post: keeps(s, _)
    """
    return settle(s._replace(waiting=s.waiting - waits))


# The settler -----------------------------------------------------------------------------------------------


def mark(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.settler == Settler.MARK
    post: invariant(_)
    post: keeps(s, _)
    """
    waits = s.shut | (s.waiting > 0)
    return s._replace(attention=s.attention | (s.current & waits), settler=Settler.SERVE)


def serve(s: Counted, looking: bool, refused: bool) -> Counted:
    """
    pre: invariant(s)
    pre: (s.settler == Settler.SERVE) | ((s.settler == Settler.GATHER) & (s.gathering == s.current))
    pre: (s.waiting > 0) & no(s.closed) & implies(s.current, s.free > 0)
    pre: no(looking & refused)
    post: invariant(_)
    post: keeps(s, _)
    """
    s = s._replace(waiting=s.waiting - 1)
    if not s.current:
        return s
    s = s._replace(looking=s.looking + looking, refused=s.refused + refused, woken=s.woken + no(looking | refused))
    return s._replace(free=s.free - 1)


def serve_no_more(s: Counted, here: bool, done: bool) -> Counted:
    """
    pre: invariant(s)
    pre: no(here & done)
    pre: s.settler == Settler.SERVE
    pre: implies(here, s.at == At.RETIRED) & implies(done, s.at != At.RETIRED)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(settler=Settler.UNMARK if done else Settler.GATHER, gathering=here)


def gather(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.settler == Settler.GATHER) & implies(s.gathering, s.free > 0)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(free=s.free - s.gathering, gathered=s.gathered + s.gathering)


def gather_no_more(s: Counted, here: bool, done: bool, wakes: bool) -> Counted:
    """
    Goes on to the watched version (`here`), to another one or to none (`done`); `wakes` if another was drained.

    pre: invariant(s)
    pre: (s.settler == Settler.GATHER) & implies(s.gathering, (s.free == 0) & no(here) & no(wakes))
    pre: no(here & done)
    pre: implies(here, s.at == At.RETIRED)
    post: invariant(_)
    post: keeps(s, _)
    post: implies((_.at == At.DRAINED) & (s.at != At.DRAINED), (_.gathered == _.size) & (leased(_) == 0))
    """
    drained = s.gathering & (s.gathered == s.size)
    s = s._replace(settler=Settler.UNMARK if done else Settler.GATHER, gathering=here)
    s = s._replace(at=At.DRAINED) if drained else s
    return wake(s) if drained | wakes else s


def unmark(s: Counted, drained: bool) -> Counted:
    """
    `drained`: another version than the watched one is old, and drained.

    pre: invariant(s)
    pre: (s.settler == Settler.UNMARK) & implies(drained, (s.operator == Operator.CHECKING) & no(s.old))
    post: invariant(_)
    post: keeps(s, _)
    """
    waits = s.shut | (s.waiting > 0) | (s.at != At.LIVE)
    s = s._replace(attention=waits if s.current else s.attention, locked=False, settler=Settler.IDLE)
    s = s._replace(served=s.served + s.looking, looking=0, inside=s.inside + s.entering, entering=0)
    s = s._replace(draining=s.draining + s.closing, closing=0)
    if s.operator == Operator.CHECKING:
        empty = drained | (s.old & (s.at == At.DRAINED))
        return s._replace(operator=Operator.DECIDE if empty else Operator.PARKED)
    if s.operator == Operator.RETIRING:
        return s._replace(operator=Operator.DRAIN)
    return s._replace(operator=Operator.REST) if s.operator == Operator.FINISHING else s


# Versions --------------------------------------------------------------------------------------------------


def reclaim(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.at == At.DRAINED) & no(s.locked) & no(s.kept)
    post: invariant(_)
    post: keeps(s, _)
    post: (s.gathered == s.size) & (leased(s) == 0) & no(s.current & no(s.closed))
    """
    return s._replace(at=At.RECLAIMED, gathered=0)
