"""What `impl_view.real` takes for granted beside the invariant: it holds at the start, and every step keeps it."""

from __future__ import annotations

from proofs._contracts import Way
from proofs._logic import no
from proofs.impl_asks import WAYS
from proofs.impl_cases import real
from proofs.upgrade import Counted, invariant
from proofs.upgrade_steps import start

STEPS = tuple(WAYS.values())


def begins(here: bool, callers: int, upgraders: int, cancellers: int, closers: int) -> Counted:
    """
    pre: (callers >= 0) & (upgraders >= 0) & (cancellers >= 0) & (closers >= 0)
    post: real(_)
    """
    return start(here, False, callers, upgraders, cancellers, closers)


def goes_on(s: Counted, step: int) -> Counted:
    """
    pre: invariant(s) & real(s) & no(s.endless) & (0 <= step) & (step < len(STEPS))
    pre: chosen(step).can(s)
    post: real(_)
    """
    t: Counted = chosen(step).does(s)
    return t


def chosen(step: int) -> Way:
    return next(way for n, way in enumerate(STEPS) if step == n)
