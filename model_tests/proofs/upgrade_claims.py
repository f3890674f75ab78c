"""What the upgrade level promises, as claims about the watched version, and that the invariant implies each.

S1 is about steps and no claim about states: it is `keeps` and `stay`, which the steps' own contracts promise.
"""

from __future__ import annotations

from proofs._logic import among, implies, no
from proofs.upgrade import At, Counted, Phase, as_before, invariant, undecided


def s3(s: Counted) -> bool:
    """
    pre: invariant(s)
    post: _
    """
    inside = implies(s.inside > 0, among(s.at, At.LIVE, At.RETIRED))
    return inside & implies(s.current.code & no(s.closed), s.at != At.RECLAIMED)


def s4(s: Counted) -> bool:
    """
    pre: invariant(s)
    post: _
    """
    return implies(s.phase == Phase.ROLLED_BACK, as_before(s))


def s5(s: Counted) -> bool:
    """
    pre: invariant(s)
    post: _
    """
    return (s.owners <= 1) & (among(s.phase, Phase.ACTIVE, Phase.CLOSED) == (s.owners == 0))


def s6(s: Counted) -> bool:
    """
    pre: invariant(s)
    post: _
    """
    return (s.current.code == s.current.manifest) & (s.new.code == s.new.manifest) & (s.torn == 0)


def s7(s: Counted) -> bool:
    """
    pre: invariant(s)
    post: _
    """
    under_way = undecided(s) & (s.owners > 0)
    exact = s.attempts == s.successes + s.failures + s.cancelled + under_way
    return (s.endless | exact) & (s.inside >= 0) & (s.elsewhere >= 0)


def s8(s: Counted) -> bool:
    """
    pre: invariant(s)
    post: _
    """
    return implies(s.at == At.LIVE, s.current.code | s.kept) & implies(s.at == At.CANDIDATE, s.new.code)
