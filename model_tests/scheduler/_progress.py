"""How far a long search is, told now and then.

`SCHED_PROGRESS=10` in the environment has every search say so each 10 seconds, on the error output of the process
itself. (`conftest.py` sees to it that pytest does not keep that to itself.)
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

Progress = Callable[[int, float], None]
"""Told how many runs there have been, and after how many seconds."""

EVERY: Final = "SCHED_PROGRESS"
RUNS_BETWEEN_LOOKS: Final = 64


uncaptured: Callable[[], AbstractContextManager[object]] = nullcontext
"""Around what is told."""


def to_stderr(runs: int, seconds: float) -> None:
    if sys.__stderr__ is not None:
        name = os.environ.get("PYTEST_CURRENT_TEST", "a search").rpartition("::")[2].removesuffix(" (call)")
        with uncaptured():
            print(f"\n{name}: {runs:,} schedules, {runs / seconds:,.0f} a second", file=sys.__stderr__, flush=True)


def from_environment() -> tuple[Progress | None, float]:
    every_s = float(os.environ.get(EVERY) or 0)
    return (to_stderr, every_s) if every_s > 0 else (None, 0.0)


class Teller:
    """Looks at the clock once in a while."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._every_s = (progress, 0.0) if progress is not None else from_environment()
        self._began = self._told = time.monotonic()

    def ran(self, runs: int) -> None:
        if self._progress is None or runs % RUNS_BETWEEN_LOOKS:
            return
        now = time.monotonic()
        if now - self._told >= self._every_s and now > self._began:
            self._told = now
            self._progress(runs, now - self._began)
