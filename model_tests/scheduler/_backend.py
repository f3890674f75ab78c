"""What a task runs on. Greenlets are the fast way; a backend on threads of the system needs these two classes only.

A backend hands control back and forth, and decides nothing: who runs next is the scheduler's business. So a schedule
found on one backend replays on any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import greenlet as _greenlet  # type: ignore[import-untyped]


class Worker(Protocol):
    """The thread of control of one task."""

    def resume(self) -> None:
        """Called by the scheduler: go on until the task pauses or ends."""

    def pause(self) -> None:
        """Called by the task: back to the scheduler, until it resumes this one."""


class Greenlets:
    """Greenlets, around the one that makes this object. Nothing runs but what was resumed.

    A greenlet cannot be switched out of while C code that does not know of greenlets is on its stack and will be
    resumed out of order (a host function of wasmtime, say): programs with real wasm need another backend.
    """

    def __init__(self) -> None:
        self.hub: Any = _greenlet.getcurrent()

    def worker(self, work: Callable[[], None]) -> Worker:
        return _GreenletWorker(self.hub, work)


class _GreenletWorker:
    __slots__ = ("_greenlet", "_hub")

    def __init__(self, hub: Any, work: Callable[[], None]) -> None:
        self._hub: Any = hub
        self._greenlet: Any = _greenlet.greenlet(work, hub)

    def resume(self) -> None:
        self._greenlet.switch()

    def pause(self) -> None:
        self._hub.switch()
