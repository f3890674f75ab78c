"""Try mutants: apply one in a copy, run its likely checks and then the others, stop at the first that finds it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from time import monotonic
from typing import Final

from mutation._answer import MARK, Answer, heard
from mutation._checks import Check, others, resolved
from mutation._copy import SOURCES, Copy
from mutation._mutant import Mutant

CONTROL: Final = Mutant("none", "The code as it is", (), ())
"""No mutant: no check may find anything."""


@dataclass(frozen=True, slots=True)
class Result:
    mutant: Mutant
    check: str
    """The check that found it; empty if it survived."""
    answer: Answer | None
    seconds: float
    """With all checks that passed before."""

    @property
    def killed(self) -> bool:
        return self.answer is not None


def judged(check: Check, status: int | None, output: str) -> Answer | None:
    """What a check has found, from what its command did."""
    if status is None:
        return Answer(unfinished(output), f"hangs: not done after {check.limit_s} s (time limit)")
    if MARK in output:
        return heard(output)
    if status == 0:
        return None
    if failed := re.search(r"^(?:FAILED|ERROR) (?:\S+::)?([\w./]+(?:\[.*?\])?)(?: - (.*))?$", output, re.MULTILINE):
        return Answer(failed[1], failed[2] or "fails")
    if "+ Timeout +" in output:
        return Answer(unfinished(output), "hangs: the test was ended")
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "it says nothing")
    if status == 5 or "usage:" in output:
        raise RuntimeError(f"the check {check.name!r} did not run: {last}")
    return Answer(unfinished(output), f"ends with status {status}: {last}")


def unfinished(output: str) -> str:
    """The test that was under way."""
    begun = re.findall(r"^\S+::(\w+(?:\[[^\n]*?\])?) (?!PASSED|SKIPPED)", output, re.MULTILINE)
    return begun[-1] if begun else "-"


def tried(copy: Copy, mutant: Mutant, *, thorough: bool = True) -> Result:
    """Put the mutant into the copy and look for it. Not `thorough`: by its likely checks only."""
    began = monotonic()
    checks = resolved(mutant.tries)
    if thorough:
        checks += [check for check in others(mutant.of_the_specification) if check not in checks]
    with copy.changed(mutant.applied(copy.root)):
        for check in checks:
            answer = judged(check, *copy.run(check.argv, check.limit_s))
            if answer is not None:
                return Result(mutant, check.name, answer, monotonic() - began)
    return Result(mutant, "", None, monotonic() - began)


def control(copy: Copy, checks: Iterable[Check] | None = None) -> Result:
    """The same without a mutant: all checks, or these."""
    began = monotonic()
    for check in [*others(False), *others(True)] if checks is None else checks:
        answer = judged(check, *copy.run(check.argv, check.limit_s))
        if answer is not None:
            return Result(CONTROL, check.name, answer, monotonic() - began)
    return Result(CONTROL, "", None, monotonic() - began)


def run(
    mutants: Iterable[Mutant],
    *,
    workers: int = 2,
    thorough: bool = True,
    with_control: bool = False,
    progress: Callable[[Result], object] = lambda _: None,
) -> list[Result]:
    """All of them, so many at a time, each worker in a copy of its own; in their order."""
    copies: SimpleQueue[Copy] = SimpleQueue()
    made: list[Copy] = []
    telling = threading.Lock()

    def one(mutant: Mutant) -> Result:
        copy = copies.get()
        try:
            result = control(copy) if mutant is CONTROL else tried(copy, mutant, thorough=thorough)
        finally:
            copies.put(copy)
        with telling:
            progress(result)
        return result

    try:
        for _ in range(workers):
            made.append(copy := Copy())
            copies.put(copy)
            require_own(copy)
        with ThreadPoolExecutor(workers) as pool:
            try:
                return list(pool.map(one, [*([CONTROL] if with_control else []), *mutants]))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for copy in made:
                    copy.stop()
                raise
    finally:
        for copy in made:
            copy.__exit__()


def require_own(copy: Copy) -> None:
    """Raises `RuntimeError` if something else than the copy would be imported and checked."""
    foreign = [file for file in copy.whose() if not any(file.is_relative_to(copy.root / one) for one in SOURCES)]
    if foreign:
        raise RuntimeError(f"expected packages of {copy.root}, found {foreign}")
