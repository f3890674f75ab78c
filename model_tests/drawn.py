"""Workloads that nobody thought of: plugins, options and up to six parties, drawn by Hypothesis.

What is drawn is the workload and nothing else. The schedules of each are explored, with no preemption first, then one,
then two, up to a number of runs; so whether a workload fails is a function of the workload, and Hypothesis can shrink
it. What is left then has the fewest parties, and its schedule the fewest preemptions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from hotswap import Cutover, OnDrainTimeout
from interleaved import Workload
from scheduler import Limits, Program, Run, Verdict, explore, pct, sample

PARTIES_MAX: Final = 6
BOUNDS: Final = 0, 1, 2
DEPTH: Final = 3


@dataclass(frozen=True)
class Act:
    """What one party does, and to which plugin."""

    what: str
    plugin: int = 0

    def __repr__(self) -> str:
        return f"{self.what} {self.plugin}" if self.plugin else self.what


@dataclass(frozen=True)
class Drawn:
    acts: tuple[Act, ...]
    exclusive: bool = False
    detaches: bool = False
    instances: int = 1
    timeouts: int = 0

    def __str__(self) -> str:
        more = [
            "exclusive" if self.exclusive else "",
            "detaches" if self.detaches else "",
            f"{self.instances} instances" if self.instances > 1 else "",
            f"{self.timeouts} timeouts" if self.timeouts else "",
        ]
        return "; ".join([", ".join(map(repr, self.acts)), *filter(None, more)])

    @property
    def limits(self) -> Limits:
        return Limits(timeouts=self.timeouts)

    @property
    def program(self) -> Program:
        return self._made

    def _made(self, run: Run) -> Callable[[], Hashable]:
        options: dict[str, Any] = {
            "cutover": Cutover.EXCLUSIVE if self.exclusive else Cutover.OVERLAP,
            "on_drain_timeout": OnDrainTimeout.DETACH if self.detaches else OnDrainTimeout.ROLLBACK,
            "instances": self.instances,
        }
        works = [Workload(run, **options) for _ in range(1 + max((act.plugin for act in self.acts), default=0))]
        number = 1
        for act in self.acts:
            work = works[act.plugin]
            match act.what:
                case "call":
                    work.caller()
                case "call twice":
                    work.caller(2)
                case "upgrade":
                    number += 1
                    work.upgrader(number)
                case "cancel":
                    work.canceller()
                case "close":
                    work.closer()
        return lambda: tuple(work.check(*self._allowed(index)) for index, work in enumerate(works))

    def _allowed(self, plugin: int) -> list[str]:
        """The errors that parties of this plugin may meet, given what the others do."""
        there = [act.what for act in self.acts if act.plugin == plugin]
        return [
            *(["PluginClosed"] if "close" in there else []),
            *(["UpgradeCancelled", "Busy"] if "cancel" in there else []),
            *(["Busy", "IncompatibleUpgrade"] if there.count("upgrade") > 1 else []),
            *(["DrainTimeout", "Overloaded"] if self.timeouts else []),
        ]


ACTS: Final = st.builds(
    Act, st.sampled_from(["call", "upgrade", "cancel", "close", "call twice"]), st.integers(min_value=0, max_value=1)
)


@st.composite
def workloads(draw: st.DrawFn, parties_max: int = PARTIES_MAX) -> Drawn:
    acts = tuple(draw(st.lists(ACTS, min_size=1, max_size=parties_max)))
    exclusive = draw(st.booleans())
    return Drawn(
        acts,
        exclusive,
        detaches=draw(st.booleans()) and not exclusive,
        instances=draw(st.integers(min_value=1, max_value=2)),
        timeouts=draw(st.integers(min_value=0, max_value=1)),
    )


def looked_at(drawn: Drawn, runs_max: int, *, sampled: int = 0, bounds: tuple[int, ...] = BOUNDS) -> list[Verdict]:
    """Every schedule with few preemptions, fewest first, and some others; ends with the first defect."""
    verdicts: list[Verdict] = []
    for bound in bounds:
        verdicts.append(explore(drawn.program, drawn.limits, preemptions=bound, runs_max=runs_max))
        if verdicts[-1].failure is not None:
            return verdicts
    seed = len(drawn.acts)
    if sampled:
        verdicts.append(sample(drawn.program, drawn.limits, runs=sampled // 2, seed=seed))
    if sampled and verdicts[-1].failure is None:
        verdicts.append(pct(drawn.program, drawn.limits, runs=sampled // 2, depth=DEPTH, seed=seed))
    return verdicts


def told(drawn: Drawn, verdicts: list[Verdict]) -> str:
    """The workload, how it was looked at, and the schedule and story of the defect."""
    return f"workload: {drawn}\nlooked at: {verdicts[-1]}"
