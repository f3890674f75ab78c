"""The demo from end to end: play the script under load, show it, judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from hotswap._demo._display import display_for, say, show
from hotswap._demo._load import Sample
from hotswap._demo._report import Checked, Report
from hotswap._demo._script import SCRIPT, Act, Stage, play
from hotswap.monitor import Monitor

PLUGINS = Path(__file__).with_name("plugins")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run can vary; the defaults are those of `hotswap demo`."""

    steady_s: float = 1.0
    threads: int = 4
    plugins: Path = PLUGINS
    script: Sequence[Act] = SCRIPT


def _shown_later(_: object) -> None:
    """The report shows it."""


def run_demo(console: Console, samples: Sequence[Sample], settings: Settings) -> Report:
    """Play and show everything, with the monitor on; the demo has succeeded if the report holds no problems.

    Raises `HotswapError` if an act cannot begin, and `KeyboardInterrupt` once all threads and plugins are closed.
    """
    size_mb = sum(len(sample.data) for sample in samples) / 1e6
    say(console, f"{settings.threads} threads compute CRC-32 of {len(samples)} files ({size_mb:.1f} MB), over and over")
    with Monitor(_shown_later) as monitor:
        stage = Stage(settings.plugins, samples, settings.threads, settings.steady_s, monitor)
        with display_for(console, settings.script) as audience:
            acts = play(settings.script, stage, audience)
        report = Report.of(acts, Checked.by(monitor))
    show(console, report)
    return report
