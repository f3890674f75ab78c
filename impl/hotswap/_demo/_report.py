"""What the play proved: counts, latencies around each upgrade, and everything that speaks against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from hotswap._demo._load import Call, Latency
from hotswap._demo._script import ActRun, StepRun
from hotswap.monitor import Monitor


@dataclass(frozen=True, slots=True)
class StepReport:
    """The calls around one upgrade. `during`: those in flight at any moment of it."""

    run: StepRun
    before: Latency
    during: Latency
    after: Latency

    @classmethod
    def of(cls, run: StepRun, calls: Sequence[Call]) -> Self:
        return cls(
            run,
            before=Latency.of(_within(calls, run.begun, run.upgrade_begun)),
            during=Latency.of(call for call in calls if call[0] < run.upgrade_ended and call[1] > run.upgrade_begun),
            after=Latency.of(_within(calls, run.upgrade_ended, run.ended)),
        )


def _within(calls: Sequence[Call], begin: float, end: float) -> list[Call]:
    return [call for call in calls if begin <= call[0] and call[1] <= end]


@dataclass(frozen=True, slots=True)
class Checked:
    """What the monitor has to say of a play: how many steps it has checked, and what was not as specified."""

    steps: int = 0
    problems: tuple[str, ...] = ()

    @classmethod
    def by(cls, monitor: Monitor) -> Self:
        checked = monitor.flush() and not monitor.lost and not monitor.unfollowed
        given_up = () if checked else ("the monitor has not checked everything",)
        return cls(monitor.steps, (*map(str, monitor.divergences), *given_up))


@dataclass(frozen=True, slots=True)
class Report:
    """All acts together."""

    steps: tuple[StepReport, ...]
    calls: int
    bytes: int
    wrong: int
    dropped: int
    upgrades: int
    rollbacks: int
    calls_by_version: dict[str, int]
    """Calls wholly between two upgrades, when one version alone can have answered."""
    checked: Checked
    problems: tuple[str, ...]
    """Everything that is not as scripted or specified; the demo has succeeded if there is nothing."""

    @classmethod
    def of(cls, acts: Sequence[ActRun], checked: Checked = Checked()) -> Self:
        steps = tuple(StepReport.of(run, act.tally.calls) for act in acts for run in act.steps)
        by_version: Counter[str] = Counter()
        for step in steps:
            by_version.update({step.run.old: step.before.calls, step.run.serves: step.after.calls})
        return cls(
            steps=steps,
            calls=sum(len(act.tally.calls) for act in acts),
            bytes=sum(act.tally.bytes for act in acts),
            wrong=sum(act.tally.wrong for act in acts),
            dropped=sum(act.tally.dropped for act in acts),
            upgrades=sum(act.stats.successful_upgrades for act in acts),
            rollbacks=sum(act.stats.failed_upgrades for act in acts),
            calls_by_version=dict(sorted(by_version.items())),
            checked=checked,
            problems=(
                *checked.problems,
                *(problem for act in acts for problem in _act_problems(act)),
                *(problem for step in steps for problem in _step_problems(step)),
            ),
        )


def _act_problems(act: ActRun) -> list[str]:
    """A dropped call, a wrong result, or a count that does not agree with the script."""
    problems = list(act.tally.faults)
    if act.tally.wrong or act.tally.dropped:
        problems.append(
            f"expected 0 wrong and 0 dropped, found {act.tally.wrong} wrong and {act.tally.dropped} dropped"
        )
    errors = [run.step.error for run in act.steps]
    expected = (errors.count(None), Counter(error.__name__ for error in errors if error is not None))
    found = (act.stats.successful_upgrades, Counter(act.stats.failures))
    if found != expected:
        problems.append(f"expected {_counted(*expected)}, found {_counted(*found)}")
    return [f"{act.steps[0].act.cutover.value}: {problem}" for problem in problems]


def _counted(upgrades: int, failures: Counter[str]) -> str:
    return f"{upgrades} upgrades and the failures {dict(failures)}"


def _step_problems(step: StepReport) -> list[str]:
    """What the step itself found, and a window without calls, which would prove nothing."""
    place = f"{step.run.act.cutover.value}, {step.run.old} to {step.run.step.version}"
    windows = {"before": step.before, "during": step.during, "after": step.after}
    empty = [f"expected calls {when} the upgrade, found none" for when, latency in windows.items() if not latency.calls]
    return [f"{place}: {problem}" for problem in (*step.run.problems, *empty)]
