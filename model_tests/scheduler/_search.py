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
from scheduler._reduction import DepthFirst, Reduction
from scheduler._run import Run
from scheduler._story import Story, parsed, spelled
from scheduler._task import Limits, first_line

Check = Callable[[], Hashable]
Program = Callable[[Run], Check]
"""Sets a run up and adds its tasks. What it returns is run when all have ended: it asserts, and gives the outcome."""

RUNS_BETWEEN_COLLECTIONS = 200


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


def run_once(
    program: Program, limits: Limits, guide: Guide, story: Story | None = None
) -> tuple[Run, list[int], object]:
    """One run. The last item is its outcome, or the `Found` or `Pruned` that ended it."""
    run = Run(limits, story)
    result: object
    try:
        check = program(run)
        run.go(guide)
        try:
            result = check()
        except AssertionError as error:
            raise CheckFailed(first_line(error)) from error
    except (Found, Pruned) as found:
        result = found
    finally:
        run.abandon()
    return run, run.chosen, result


@contextmanager
def quiet() -> Iterator[None]:
    """No garbage collection but between runs; runs that are given up leave plugins open, and need not say so."""
    enabled = gc.isenabled()
    gc.disable()
    gc.collect()
    gc.freeze()
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


def search(program: Program, guide: Guide, coverage: str, limits: Limits, runs_max: int | None = None) -> Verdict:
    """Make runs until the guide has no more, or one of them shows a defect."""
    schedules = pruned = steps = 0
    outcomes: Counter[Hashable] = Counter()
    failure = None
    with quiet():
        while True:
            run, choices, result = run_once(program, limits, guide)
            steps += len(choices)
            if isinstance(result, Pruned):
                pruned += 1
            else:
                schedules += 1
                if isinstance(result, Found):
                    coverage, failure = "stopped", Failure(type(result), str(result), spelled(choices))
                    break
                assert isinstance(result, Hashable)
                outcomes[result] += 1
            del run, result
            if not guide.again():
                break
            if runs_max is not None and schedules + pruned >= runs_max:
                coverage = f"cut off after {runs_max:,} runs, {coverage} otherwise"
                break
            if (schedules + pruned) % RUNS_BETWEEN_COLLECTIONS == 0:
                gc.collect()
    if failure is not None:
        failure = replay(program, failure.schedule, limits)
        assert failure is not None, "a defect was found, and its schedule did not show it again"
    return Verdict(coverage, schedules, pruned, steps, outcomes, failure)


def _again(program: Program, schedule: str, limits: Limits) -> tuple[object, Failure]:
    """What one schedule ends in, and the same told as a failure."""
    story = Story()
    with quiet():
        _, choices, result = run_once(program, limits, Scripted(parsed(schedule)), story)
    kind = type(result) if isinstance(result, Found) else Found
    return result, Failure(kind, str(result), spelled(choices), tuple(story.lines()))


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
) -> Verdict:
    """Exhaustive; or exhaustive up to a number of preemptions, and then without a reduction."""
    coverage = "exhaustive" if preemptions is None else f"bounded to {preemptions} preemptions"
    guide = DepthFirst(reduction, preemptions)
    return search(program, guide, coverage, limits or Limits(), runs_max)


def sample(program: Program, limits: Limits | None = None, *, runs: int, seed: int = 0) -> Verdict:
    return search(program, Sampled(seed, runs), f"sampled with seed {seed}", limits or Limits())


def shortest(program: Program, limits: Limits | None = None, *, preemptions_max: int = 3) -> Failure | None:
    """A defect's schedule with the fewest preemptions."""
    for preemptions in range(preemptions_max + 1):
        verdict = explore(program, limits, preemptions=preemptions)
        if verdict.failure is not None:
            return verdict.failure
    return None
