"""Tells one schedule of a case step by step: `python model_tests/replay.py CASE SCHEDULE [MUTANT]`."""

from __future__ import annotations

import sys

from interleaved_workloads import CASES, MUTANTS
from scheduler import Nondeterministic, tell
from scheduler._watch import watched


def main(case: str, schedule: str, mutant: str = "") -> str:
    """The story, and at its end what it shows. Raises `KeyError`, `ValueError`, `Nondeterministic`."""
    patches = MUTANTS[mutant].patches if mutant else ()
    kept = [(owner, name, owner.__dict__[name]) for owner, name, _ in patches]
    try:
        for owner, name, value in patches:
            setattr(owner, name, value)
        with watched(checked=False):
            return tell(CASES[case].program, schedule, CASES[case].limits)
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:]))  # noqa: T201
    except (KeyError, TypeError, ValueError, Nondeterministic) as error:
        names = "\n  ".join(CASES)
        sys.exit(f"{type(error).__name__}: {error}\n{__doc__}\nCases:\n  {names}")
