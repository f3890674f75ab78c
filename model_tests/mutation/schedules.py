"""Search cases of the scheduler, in a process of its own: `python -m mutation.schedules [CASE ...]`; without one, all.

All cases are searched with no preemption before any is with one, so what is found has the fewest preemptions. A search
is cut off after so many runs; if nothing was found and one case is small enough, it is searched exhaustively at last.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Final

from interleaved import Case
from interleaved_workloads import CASES
from mutation._answer import Answer, say
from mutation.workloads import MORE
from scheduler import explore
from scheduler._watch import watched

RUNS_MAX: Final = 3_000
ALL: Final[dict[str, Case]] = CASES | MORE


def search(names: list[str], preemptions_max: int) -> Answer | None:
    for name, bound in order(names, preemptions_max):
        try:
            verdict = explore(ALL[name].program, ALL[name].limits, preemptions=bound, runs_max=RUNS_MAX)
        except Exception as error:  # noqa: BLE001  in the set-up or the check of a case, where only a defect raises
            return Answer(name, f"the case ended with {type(error).__name__}: {str(error).partition(chr(10))[0]}")
        if (failure := verdict.failure) is not None:
            told = f"{failure.kind.__name__}: {failure.message}"
            return Answer(name, told, failure.schedule, bound, failure.story)
    return None


def order(names: list[str], preemptions_max: int) -> Iterator[tuple[str, int | None]]:
    for bound in range(preemptions_max + 1):
        for name in names:
            yield name, bound
    if preemptions_max > 1:
        yield names[0], None


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--preemptions", type=int, default=1)
    parser.add_argument("cases", nargs="*")
    asked = parser.parse_args()
    with watched(checked=False):
        return say(search(asked.cases or list(ALL), asked.preemptions))


if __name__ == "__main__":
    sys.exit(main())
