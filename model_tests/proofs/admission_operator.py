"""The admission level's steps for the operator and closers, each with its contract."""

from __future__ import annotations

from proofs._logic import among, implies, no
from proofs.admission import At, Counted, Operator, invariant, keeps, leased, settle, take_back, wake


def publish(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.operator == Operator.REST) & no(s.locked) & no(s.closed) & (s.unused > 0)
    post: invariant(_)
    post: keeps(s, _)
    """
    s = s._replace(old=s.current, kept=s.current, exclusive=False, ahead=s.ahead - 1, unused=s.unused - 1)
    s = s._replace(at=At.LIVE, attention=True) if s.ahead == 0 else s
    return s._replace(current=s.ahead == 0, locked=True, operator=Operator.PUBLISHING)


def retire(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.operator == Operator.PUBLISHING
    post: invariant(_)
    post: keeps(s, _)
    """
    s = take_back(s) if s.old else s
    return settle(s._replace(operator=Operator.RETIRING))


def shut_gate(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.operator == Operator.REST) & no(s.locked) & no(s.closed) & (s.unused > 0)
    post: invariant(_)
    post: keeps(s, _)
    """
    s = take_back(s) if s.current else s
    s = s._replace(old=s.current, kept=s.current, exclusive=True, ahead=s.ahead - 1, unused=s.unused - 1)
    return settle(s._replace(shut=True, operator=Operator.RETIRING))


def check_drain(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.operator == Operator.DRAIN) & no(s.locked) & no(s.closed)
    post: invariant(_)
    post: keeps(s, _)
    """
    return settle(s._replace(operator=Operator.CHECKING))


def time_out(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.operator == Operator.PARKED
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(operator=Operator.DECIDE)


def commit(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.operator == Operator.DECIDE) & no(s.locked) & no(s.closed)
    pre: no(s.exclusive & s.old) | (s.gathered == s.size)
    post: invariant(_)
    post: keeps(s, _)
    post: implies(s.exclusive & s.old, leased(_) == 0)
    """
    if s.exclusive:
        s = s._replace(at=At.LIVE, attention=True) if s.ahead == 0 else s
        s = s._replace(current=s.ahead == 0, shut=False)
    return settle(s._replace(kept=False, operator=Operator.FINISHING))


def roll_back(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.operator == Operator.DECIDE) & no(s.locked) & no(s.closed)
    post: invariant(_)
    post: keeps(s, _)
    """
    s = s._replace(at=At.LIVE) if s.old else s
    return s._replace(operator=Operator.RESTORING, locked=True)


def restore(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.operator == Operator.RESTORING) & implies(s.old, s.gathered > 0)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(free=s.free + s.old, gathered=s.gathered - s.old)


def reinstate(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.operator == Operator.RESTORING) & implies(s.old, s.gathered == 0)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(current=s.old, operator=Operator.REVERTING)


def drop_candidate(s: Counted) -> Counted:
    """
    The last step of a rollback: the old version is as it was (S4), with all leases that are nobody's.

    pre: invariant(s)
    pre: s.operator == Operator.REVERTING
    post: invariant(_)
    post: keeps(s, _)
    post: (_.current == s.old) & no(_.shut) & implies(s.old, (_.at == At.LIVE) & (_.free == _.size - leased(_)))
    """
    s = take_back(s) if s.ahead == 0 else s
    return settle(s._replace(kept=False, shut=False, operator=Operator.FINISHING))


def yield_to_close(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: among(s.operator, Operator.DRAIN, Operator.DECIDE) & no(s.locked) & s.closed
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(operator=Operator.REST)


def close(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.closers > 0) & no(s.locked)
    post: invariant(_)
    post: keeps(s, _)
    """
    s = s._replace(closed=True, kept=False, closers=s.closers - 1, closing=s.closing + 1)
    s = take_back(s) if (s.ahead <= 0) & among(s.at, At.LIVE, At.FRESH) else s
    return settle(wake(s))


def return_closed(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.draining > 0) & among(s.at, At.FRESH, At.RECLAIMED)
    post: invariant(_)
    post: keeps(s, _) & (leased(_) == 0)
    """
    return s._replace(draining=s.draining - 1)
