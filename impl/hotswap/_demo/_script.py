"""The script: which upgrades are tried under load, how each must end, and the run that plays it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hotswap._demo._load import Load, Sample, Tally, now, under_load
from hotswap._errors import DeadlineExceeded, HotswapError, InitFailed, ProbeFailed
from hotswap._manager import HotReloadManager
from hotswap._plugin import HotReloadablePlugin
from hotswap._protocol import Watches
from hotswap._state import Cutover, HotReloadState, HotReloadStats

NAME = "crc32"
ANSWERS = {"1.0.0": 1, "2.0.0": 2, "2.1.0": 3, "2.2.0": 4}
"""What each version's `version()` answers, or would if it served."""


@dataclass(frozen=True, slots=True)
class Step:
    """One upgrade that is tried."""

    version: str
    error: type[HotswapError] | None = None
    """What it must raise; None for an upgrade that must succeed."""
    cause: type[HotswapError] | None = None
    """What must be the cause of that error; None: it may be any."""
    allow_downgrade: bool = False


@dataclass(frozen=True, slots=True)
class Act:
    """Upgrades of one plugin, under one cutover."""

    cutover: Cutover
    first: str
    steps: tuple[Step, ...]

    def course(self) -> Iterator[tuple[str, Step, str]]:
        """Each step between the version that serves before it and the one that must serve after it."""
        old = self.first
        for step in self.steps:
            serves = step.version if step.error is None else old
            yield old, step, serves
            old = serves


SCRIPT = (
    Act(Cutover.OVERLAP, "1.0.0", (Step("2.0.0"), Step("1.0.0", allow_downgrade=True))),
    Act(
        Cutover.EXCLUSIVE,
        "1.0.0",
        (
            Step("2.0.0"),
            Step("2.1.0", error=ProbeFailed),
            Step("2.2.0", error=InitFailed, cause=DeadlineExceeded),
            Step("1.0.0", allow_downgrade=True),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class StepRun:
    """How a step went. Steady calls, the upgrade, steady calls: four moments, in seconds of the load's clock."""

    act: Act
    step: Step
    old: str
    serves: str
    """The version that must serve afterwards."""
    calls: int
    """How many ended from the first moment to the last."""
    begun: float
    upgrade_begun: float
    upgrade_ended: float
    ended: float
    problems: tuple[str, ...]

    @property
    def upgrade_ms(self) -> float:
        return (self.upgrade_ended - self.upgrade_begun) * 1000


@dataclass(frozen=True, slots=True)
class ActRun:
    """How an act went."""

    steps: tuple[StepRun, ...]
    tally: Tally
    stats: HotReloadStats


class Audience(Protocol):
    """Is told of the play while it runs; must not hold it up."""

    def act_begun(self, act: Act, load: Load) -> None: ...
    def step_begun(self, step: Step) -> None: ...
    def step_ended(self, run: StepRun) -> None: ...


@dataclass(frozen=True, slots=True)
class Stage:
    """What a script is played with."""

    plugins: Path
    """The folder of `crc32-<version>.wasm` and `.toml`."""
    samples: Sequence[Sample]
    threads: int
    steady_s: float
    """How long calls go on before and after each upgrade."""
    monitor: Watches | None = None

    def files(self, version: str) -> tuple[Path, Path]:
        return self.plugins / f"{NAME}-{version}.wasm", self.plugins / f"{NAME}-{version}.toml"


def play(script: Sequence[Act], stage: Stage, audience: Audience) -> list[ActRun]:
    """Play all acts. What goes wrong with a call or an upgrade is in the result; raises if an act cannot begin."""
    return [_play_act(act, stage, audience) for act in script]


def _play_act(act: Act, stage: Stage, audience: Audience) -> ActRun:
    with HotReloadManager(monitor=stage.monitor) as manager:
        plugin = manager.register(NAME, *stage.files(act.first), cutover=act.cutover)
        with under_load(plugin, stage.samples, stage.threads) as load:
            audience.act_begun(act, load)
            runs: list[StepRun] = []
            for old, step, serves in act.course():
                audience.step_begun(step)
                runs.append(_play_step(act, old, step, serves, stage, load))
                audience.step_ended(runs[-1])
        return ActRun(tuple(runs), Tally.sum(load.tallies), plugin.stats())


def _play_step(act: Act, old: str, step: Step, serves: str, stage: Stage, load: Load) -> StepRun:
    begun, ended_before = now(), load.ended
    load.steady(stage.steady_s)
    upgrade_begun, error = now(), None
    try:
        load.plugin.upgrade(*stage.files(step.version), allow_downgrade=step.allow_downgrade)
    except HotswapError as failure:
        error = failure
    upgrade_ended = now()
    problems = (*_error_problems(step, error), *_serving_problems(load.plugin, serves))
    load.steady(stage.steady_s)
    calls = load.ended - ended_before
    return StepRun(act, step, old, serves, calls, begun, upgrade_begun, upgrade_ended, now(), problems)


def _error_problems(step: Step, error: HotswapError | None) -> list[str]:
    expected = "success" if step.error is None else step.error.__name__
    if (None if error is None else type(error)) is not step.error:
        found = "success" if error is None else f"{type(error).__name__}: {error}"
        return [f"upgrade to {step.version}: expected {expected}, found {found}"]
    if error is not None and step.cause is not None and not isinstance(error.__cause__, step.cause):
        found = f"the cause {error.__cause__!r}"
        return [f"upgrade to {step.version}: expected {expected} because of {step.cause.__name__}, found {found}"]
    return []


def _serving_problems(plugin: HotReloadablePlugin, version: str) -> list[str]:
    """What speaks against this version serving now."""
    problems = []
    if plugin.manifest.plugin.version != version:
        problems.append(f"expected {version} to serve, found {plugin.manifest.plugin.version}")
    if plugin.state is not HotReloadState.ACTIVE:
        problems.append(f"expected the phase ACTIVE after the upgrade, found {plugin.state.name}")
    try:
        answer = plugin.call("version")
    except HotswapError as error:
        return [*problems, f"version() of {version}: expected an answer, found {type(error).__name__}: {error}"]
    if answer != ANSWERS[version]:
        problems.append(f"version() of {version}: expected {ANSWERS[version]}, found {answer}")
    return problems
