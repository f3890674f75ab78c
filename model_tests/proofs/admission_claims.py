"""What the admission level promises, as claims about the watched version, and that the invariant implies each.

S1 is about steps and no claim about states: it is `keeps`, which the steps' own contracts promise.
"""

from __future__ import annotations

from proofs._logic import implies, no
from proofs.admission import At, Counted, invariant, leased


def s3(s: Counted) -> bool:
    """
    pre: invariant(s)
    post: _
    """
    there = s.free + s.gathered + leased(s)
    exact = implies(s.at == At.RECLAIMED, there == 0) & implies(s.at != At.RECLAIMED, there == s.size)
    return (s.free >= 0) & exact & implies(s.current & no(s.closed), s.at != At.RECLAIMED)


def s8(s: Counted) -> bool:
    """
    pre: invariant(s)
    post: _
    """
    return implies(s.at == At.LIVE, s.current | s.kept | s.locked)
