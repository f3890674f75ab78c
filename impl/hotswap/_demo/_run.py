"""The demo from end to end: play the script under load, show it, judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from hotswap._demo._display import display_for, say, show
from hotswap._demo._load import Sample
from hotswap._demo._report import Report
from hotswap._demo._script import SCRIPT, Act, Stage, play

PLUGINS = Path(__file__).with_name("plugins")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run can vary; the defaults are those of `hotswap demo`."""

    steady_s: float = 1.0
    threads: int = 4
    plugins: Path = PLUGINS
    script: Sequence[Act] = SCRIPT


def run_demo(console: Console, samples: Sequence[Sample], settings: Settings) -> Report:
    """Play and show everything; the demo has succeeded if the report holds no problems.

    Raises `HotswapError` if an act cannot begin, and `KeyboardInterrupt` once all threads and plugins are closed.
    """
    size_mb = sum(len(sample.data) for sample in samples) / 1e6
    say(console, f"{settings.threads} threads compute CRC-32 of {len(samples)} files ({size_mb:.1f} MB), over and over")
    stage = Stage(settings.plugins, samples, settings.threads, settings.steady_s)
    with display_for(console, settings.script) as audience:
        report = Report.of(play(settings.script, stage, audience))
    show(console, report)
    return report
