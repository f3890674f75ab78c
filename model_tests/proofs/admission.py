"""The admission level as seen from one version: what is proved about it for any number of everything.

One version is *watched*, no matter which, and who has to do with it is counted: who has read that it is current, who
runs in it, who owns a lease of it and stands in the queue still. Of all others nothing is known but how many wait and
who holds the lock, so that they may do what they like. All counts are unbounded.
"""

from __future__ import annotations

from typing import NamedTuple

from proofs._logic import among, from_to, implies, no


class At:
    """Numbers, since a prover takes an enum apart member by member."""

    FRESH, LIVE, RETIRED, DRAINED, RECLAIMED = range(5)


class Operator:
    REST, PUBLISHING, RETIRING, DRAIN, CHECKING, PARKED, DECIDE, RESTORING, REVERTING, FINISHING = range(10)


class Settler:
    IDLE, MARK, SERVE, GATHER, UNMARK = range(5)


class Counted(NamedTuple):
    size: int
    locked: bool
    shut: bool
    closed: bool
    # the watched version
    ahead: int  # its number less the newest's: 0 for the newest, 1 for the next one
    unused: int  # versions after the newest
    at: int
    free: int
    gathered: int
    attention: bool
    current: bool
    kept: bool
    # callers who have to do with it
    seen: int
    cleared: int
    inside: int
    left: int
    looking: int  # this and what follows: own a lease of it already
    woken: int
    served: int
    refused: int
    entering: int
    # all callers
    waiting: int  # for a lease, in the queue
    # others
    operator: int
    old: bool
    exclusive: bool
    settler: int
    gathering: bool  # the settler gathers the watched version's leases, not another's
    closers: int  # that have not begun
    closing: int
    draining: int


def leased(s: Counted) -> int:
    return s.inside + s.looking + s.woken + s.served + s.refused + s.entering


def upgrading(s: Counted) -> bool:
    """An upgrade is under way and undecided, unless it was closed meanwhile."""
    return from_to(s.operator, Operator.PUBLISHING, Operator.REVERTING)


def alone(s: Counted) -> bool:
    """The operator holds the lock, and does not settle yet."""
    return among(s.operator, Operator.PUBLISHING, Operator.RESTORING, Operator.REVERTING)


# The invariant ---------------------------------------------------------------------------------------------


def counts(s: Counted) -> bool:
    """Nobody is counted who is not there."""
    return (
        (s.size >= 0) & (s.unused >= 0) & (s.free >= 0) & (s.gathered >= 0)
        & (s.seen >= 0) & (s.cleared >= 0) & (s.inside >= 0) & (s.left >= 0)
        & (s.looking >= 0) & (s.woken >= 0) & (s.served >= 0) & (s.refused >= 0) & (s.entering >= 0)
        & (s.waiting >= 0) & (s.closers >= 0) & (s.closing >= 0) & (s.draining >= 0)
    )  # fmt: skip


def exact(s: Counted) -> bool:
    """S3. Every lease is free, gathered, or somebody's; a version that is reclaimed has none."""
    there = s.free + s.gathered + leased(s)
    return implies(s.at != At.RECLAIMED, there == s.size) & implies(s.at == At.RECLAIMED, there == 0)


def locked(s: Counted) -> bool:
    """One holds the lock, and only then somebody is at a place in -ing."""
    ending = among(s.operator, Operator.RETIRING, Operator.CHECKING, Operator.FINISHING)
    return (
        from_to(s.operator, Operator.REST, Operator.FINISHING)
        & from_to(s.settler, Settler.IDLE, Settler.UNMARK)
        & (s.locked == ((s.settler != Settler.IDLE) | alone(s)))
        & implies(alone(s), s.settler == Settler.IDLE)
        & implies(ending | (s.looking + s.entering + s.closing > 0), s.settler != Settler.IDLE)
        & implies(s.gathering, (s.settler == Settler.GATHER) & (s.at == At.RETIRED))
    )


def in_order(s: Counted) -> bool:
    """A version is fresh until it is published; nobody has read of it until then."""
    nobody = s.seen + s.cleared + s.left + leased(s) + s.gathered == 0
    return (
        from_to(s.at, At.FRESH, At.RECLAIMED)
        & ((s.at == At.FRESH) == ((s.ahead > 0) | ((s.ahead == 0) & s.shut & no(s.closed))))
        & implies(s.at == At.FRESH, no(s.current) & nobody)
    )


def kept(s: Counted) -> bool:
    """The old version is kept exactly while the upgrade may be rolled back to it."""
    return (
        (s.kept == (s.old & upgrading(s) & no(s.closed)))
        & implies(alone(s), no(s.closed))
        & implies(s.old & upgrading(s), s.ahead < 0)
        & (s.closed | (s.shut == (s.exclusive & upgrading(s))))
        & implies(s.operator == Operator.PUBLISHING, no(s.exclusive))
    )


def placed(s: Counted) -> bool:
    """The watched version is where what refers to it says."""
    before = from_to(s.operator, Operator.RETIRING, Operator.DECIDE)
    under_way = upgrading(s) & no(s.closed)
    undone = s.operator == Operator.REVERTING
    candidate = undone & (s.ahead == 0)
    return (
        implies(s.current & no(s.closed), (s.at == At.LIVE) | (s.shut & s.kept))
        & implies(s.at == At.LIVE, no(s.closed) & (s.current | s.kept | candidate))
        & implies(s.kept & before, among(s.at, At.RETIRED, At.DRAINED))
        & implies(s.kept & alone(s), s.at == At.LIVE)
        & implies(undone, s.current == s.old)
        & implies(candidate, among(s.at, At.FRESH, At.LIVE))
        & implies(under_way & no(undone | s.exclusive), s.current == (s.ahead == 0))
        & implies(under_way & s.exclusive, s.current == s.old)
    )


def gathered(s: Counted) -> bool:
    """A version is drained when all its leases are gathered; one that is live has them back."""
    restoring = s.kept & (s.operator == Operator.RESTORING)
    return implies(s.at == At.DRAINED, s.gathered == s.size) & implies(s.at == At.LIVE, restoring | (s.gathered == 0))


def invariant(s: Counted) -> bool:
    return counts(s) & exact(s) & locked(s) & in_order(s) & kept(s) & placed(s) & gathered(s)


# What a step keeps -----------------------------------------------------------------------------------------


def keeps(s: Counted, t: Counted) -> bool:
    """S1, S3. Nobody who has a lease loses it, nobody who runs is stopped, and what is reclaimed remains so."""
    return (
        (leased(t) >= leased(s))
        & (t.inside >= s.inside)
        & implies(s.at == At.RECLAIMED, t.at == At.RECLAIMED)
    )  # fmt: skip


# Parts of steps --------------------------------------------------------------------------------------------


def settle(s: Counted) -> Counted:
    return s._replace(locked=True, settler=Settler.MARK)


def take_back(s: Counted) -> Counted:
    return s._replace(at=At.RETIRED, attention=True)


def wake(s: Counted) -> Counted:
    return s._replace(operator=Operator.DRAIN) if s.operator == Operator.PARKED else s
