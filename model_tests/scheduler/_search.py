"""Searching the schedules of a program: all of them, all with few preemptions, or some; and replaying one.

Garbage is collected between runs only, and what was there before the search is kept out of it, for speed.
"""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from scheduler._errors import CheckFailed, Found
from scheduler._guides import Guide, Pruned, Sampled, Scripted
from scheduler._merge import Known
from scheduler._pct import Pct
from scheduler._progress import Progress, Teller
from scheduler._reduction import DepthFirst, Reduction
from scheduler._run import Run
from scheduler._story import Story, parsed, spelled
from scheduler._task import Limits, first_line

Check = Callable[[], Hashable]
Program = Callable[[Run], Check]
"""Sets a run up and adds its tasks. What it returns is run when all have ended: it asserts, and gives the outcome."""

RUNS_BETWEEN_COLLECTIONS = 20


@dataclass(frozen=True, slots=True)
class Failure:
    """A schedule that shows a defect."""

    kind: type[Found]
    message: str
    schedule: str
    story: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.kind.__name__}: {self.message}", f"schedule: {self.schedule}", *self.story])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was looked at, and what was found. `coverage` says how much a pass means."""

    coverage: str
    schedules: int = 0
    pruned: int = 0
    steps: int = 0
    outcomes: Counter[Hashable] = field(default_factory=Counter)
    failure: Failure | None = None

    def __str__(self) -> str:
        told = f"{self.coverage}: {self.schedules:,} schedules (+ {self.pruned:,} pruned), {self.steps:,} steps"
        return told if self.failure is None else f"{told}\n{self.failure}"


class EachAccess(Exception):
    """Somebody wants to be told of each access, so none may join another."""


class Tally:
    """What the runs of a search came to."""

    def __init__(self) -> None:
        self.schedules = self.pruned = self.steps = 0
        self.outcomes: Counter[Hashable] = Counter()

    @property
    def runs(self) -> int:
        return self.schedules + self.pruned

    def add(self, run: Run, result: Hashable) -> None:
        self.steps += run.steps
        if isinstance(result, Pruned):
            self.pruned += 1
            return
        self.schedules += 1
        if not isinstance(result, Found):
            self.outcomes[result] += 1


def run_once(
    program: Program,
    limits: Limits,
    guide: Guide,
    story: Story | None = None,
    known: Known | None = None,
    *,
    full: bool = False,
) -> tuple[Run, Hashable]:
    """One run. The last item is its outcome, or the `Found`, `Pruned` or `EachAccess` that ended it."""
    run = Run(limits, story, known)
    if full:
        run.full = []
    result: Hashable
    try:
        check = program(run)
        if known is not None and run.after_step is not None:
            raise EachAccess
        run.go(guide)
        try:
            result = check()
        except AssertionError as error:
            raise CheckFailed(first_line(error)) from error
    except (Found, Pruned, EachAccess) as found:
        result = found
    finally:
        run.abandon()
    return run, result


@contextmanager
def quiet() -> Iterator[None]:
    """No garbage collection but between runs; runs that are given up leave plugins open, and need not say so."""
    enabled = gc.isenabled()
    gc.disable()
    gc.freeze()  # garbage too: to look for it would take longer than many a search
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            try:
                yield
            finally:
                gc.collect()
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()


def search(
    program: Program,
    guide: Guide,
    coverage: str,
    limits: Limits,
    runs_max: int | None = None,
    *,
    joins: bool = False,
    progress: Progress | None = None,
) -> Verdict:
    """Make runs until the guide has no more, or one of them shows a defect.

    With `joins`, accesses join the step before them where that changes nothing (`_merge.py`).
    """
    known: Known | None = {} if joins and not limits.races else None
    tally, failure, runs, teller = Tally(), None, 0, Teller(progress)
    with quiet(), limits.backend.together():
        while True:
            run, result = run_once(program, limits, guide, None, known)
            runs += 1
            teller.ran(runs)
            if runs % RUNS_BETWEEN_COLLECTIONS == 0:
                gc.collect(0)  # what came since the last time: what a search keeps grows, and need not be looked at
            if isinstance(result, Found):
                coverage = "stopped"
                tally.add(run, result)
                failure = _told(program, run.chosen, limits, known)
                break
            if isinstance(result, EachAccess):
                known = None
            elif run.learned and known is not None:
                known = {**known, **run.learned}
            else:
                tally.add(run, result)
                del run, result
                if not guide.again():
                    break
                if runs_max is not None and tally.runs >= runs_max:
                    coverage = f"cut off after {runs_max:,} runs, {coverage} otherwise"
                    break
                continue
            guide.anew()
            tally = Tally()
    return Verdict(coverage, tally.schedules, tally.pruned, tally.steps, tally.outcomes, failure)


def _told(program: Program, choices: list[int], limits: Limits, known: Known | None) -> Failure:
    """A defect's schedule with a step for each access, and its story."""
    if known is not None:
        run, _ = run_once(program, limits, Scripted(choices), None, known, full=True)
        choices = run.full or []
    failure = replay(program, spelled(choices), limits)
    assert failure is not None, f"a defect was found, and its schedule did not show it again: {spelled(choices)}"
    return failure


def _again(program: Program, schedule: str, limits: Limits) -> tuple[Hashable, Failure]:
    """What one schedule ends in, and the same told as a failure."""
    story = Story()
    with quiet():
        run, result = run_once(program, limits, Scripted(parsed(schedule)), story)
    kind = type(result) if isinstance(result, Found) else Found
    return result, Failure(kind, str(result), spelled(run.chosen), tuple(story.lines()))


def replay(program: Program, schedule: str, limits: Limits) -> Failure | None:
    """Run one schedule again, and tell its story; None if it shows no defect. Raises `Nondeterministic`."""
    result, told = _again(program, schedule, limits)
    return told if isinstance(result, Found) else None


def tell(program: Program, schedule: str, limits: Limits) -> str:
    """The story of one schedule, whether it shows a defect or not; it may be the beginning of one."""
    result, told = _again(program, schedule, limits)
    ends = f"{type(result).__name__}: {result}" if isinstance(result, Found) else f"no defect, outcome {result}"
    return "\n".join([*told.story, f"schedule: {told.schedule}", ends])


def explore(
    program: Program,
    limits: Limits | None = None,
    *,
    reduction: Reduction = Reduction.RACES,
    preemptions: int | None = None,
    runs_max: int | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Exhaustive; or exhaustive up to a number of preemptions, and then without a reduction."""
    coverage = "exhaustive" if preemptions is None else f"bounded to {preemptions} preemptions"
    guide = DepthFirst(reduction, preemptions)
    joins = reduction is Reduction.RACES
    return search(program, guide, coverage, limits or Limits(), runs_max, joins=joins, progress=progress)


def sample(program: Program, limits: Limits | None = None, *, runs: int, seed: int = 0) -> Verdict:
    return search(program, Sampled(seed, runs), f"sampled with seed {seed}", limits or Limits())


def pct(
    program: Program,
    limits: Limits | None = None,
    *,
    runs: int,
    depth: int = 3,
    steps: int | None = None,
    seed: int = 0,
) -> Verdict:
    """By random priorities: a defect of that depth is found with a known probability (`_pct.py`).

    `steps` is the length of the longest run; without it, that of one run is taken.
    """
    limits = limits or Limits()
    if steps is None:
        steps = max(depth - 1, sample(program, limits, runs=1, seed=seed).steps)
    guide = Pct(runs, depth, steps, seed)
    return search(program, guide, f"sampled: PCT of depth {depth}, {runs} runs, seed {seed}", limits)


def shortest(program: Program, limits: Limits | None = None, *, preemptions_max: int = 3) -> Failure | None:
    """A defect's schedule with the fewest preemptions."""
    for preemptions in range(preemptions_max + 1):
        verdict = explore(program, limits, preemptions=preemptions)
        if verdict.failure is not None:
            return verdict.failure
    return None
