"""Tells one schedule of a case step by step: `python model_tests/replay.py CASE SCHEDULE [MUTANT]`.

With `--races` instead of a case it writes the golden races anew (`golden_races.py`).
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from unittest import mock

from golden_races import write_all
from interleaved_workloads import CASES, MUTANTS
from scheduler import Nondeterministic, tell
from scheduler._watch import watched


def main(case: str, schedule: str = "", mutant: str = "") -> str:
    """The story, and at its end what it shows. Raises `KeyError`, `ValueError`, `Nondeterministic`."""
    if case == "--races":
        with watched(checked=False):
            write_all()
        return "The golden races are written anew; look at what has changed."
    with ExitStack() as stack:
        for owner, name, value in MUTANTS[mutant].patches if mutant else ():
            stack.enter_context(mock.patch.object(owner, name, value))
        stack.enter_context(watched(checked=False))
        return tell(CASES[case].program, schedule, CASES[case].limits)


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:]))  # noqa: T201
    except (KeyError, TypeError, ValueError, Nondeterministic) as error:
        names = "\n  ".join(CASES)
        sys.exit(f"{type(error).__name__}: {error}\n{__doc__}\nCases:\n  {names}")
