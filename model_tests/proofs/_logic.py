"""Words for conditions that a prover can take in as one formula.

`and`, `or`, `not` and chained comparisons make Python choose, and the prover follow each choice: an invariant of
twenty conjuncts would be a thousand ways through it. `&`, `|` and these functions choose nothing.
"""

from __future__ import annotations


def no(p: bool) -> bool:
    return p ^ True


def implies(p: bool, q: bool) -> bool:
    return no(p) | q


def either(p: bool, then: bool, otherwise: bool) -> bool:
    return implies(p, then) & (p | otherwise)


def among(x: int, *values: int) -> bool:
    found = False
    for value in values:
        found = found | (x == value)
    return found


def from_to(x: int, first: int, last: int) -> bool:
    return (first <= x) & (x <= last)
