"""A deterministic scheduler: it runs the project's own code on ports of its own, one access at a time."""

from __future__ import annotations

from scheduler._backend import Greenlets
from scheduler._errors import (
    CheckFailed,
    Deadlock,
    Found,
    Livelock,
    LostWakeup,
    Nondeterministic,
    TaskFailed,
    Unannounced,
    UnknownFootprint,
)
from scheduler._ports import Cell, SchedulerClock, SchedulerSync
from scheduler._reduction import Reduction
from scheduler._run import Run
from scheduler._search import Check, Failure, Program, Verdict, explore, pct, replay, sample, shortest, tell
from scheduler._task import Limits, Shared
from scheduler._threads import Threads

__all__ = [
    "Cell",
    "Check",
    "CheckFailed",
    "Deadlock",
    "Failure",
    "Found",
    "Greenlets",
    "Limits",
    "Livelock",
    "LostWakeup",
    "Nondeterministic",
    "Program",
    "Reduction",
    "Run",
    "SchedulerClock",
    "SchedulerSync",
    "Shared",
    "TaskFailed",
    "Threads",
    "Unannounced",
    "UnknownFootprint",
    "Verdict",
    "explore",
    "pct",
    "replay",
    "sample",
    "shortest",
    "tell",
]
