"""What a task runs on. Greenlets are the fast way; `_threads.py` is a way on threads of the system.

A backend hands control from one worker to another, and decides nothing: who runs next is the scheduler's business.
So a schedule found on one backend replays on any other.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Protocol

import greenlet as _greenlet  # type: ignore[import-untyped]


class Worker(Protocol):
    """A thread of control: that of one task, or the one which makes the run."""

    def hand_over(self, to: Any) -> None:
        """Called by this worker itself: `to`, of the same backend, goes on. Returns when this one is handed over to."""


class Backend(Protocol):
    """The workers of one run."""

    @property
    def hub(self) -> Worker:
        """Who makes the run, and goes on whenever a task's work has ended."""

    def worker(self, work: Callable[[], None]) -> Worker:
        """One that begins with `work` when it is handed over to first. `work` must not raise."""

    @staticmethod
    def together() -> AbstractContextManager[None]:
        """Around a search."""

    def end(self) -> None:
        """All work has ended or never began."""


class Greenlets:
    """Greenlets, around the one that makes this object. Nothing runs but what was handed over to.

    A greenlet cannot be switched out of while C code that does not know of greenlets is on its stack and will be
    resumed out of order (a host function of wasmtime, say). They are kept for later runs, which is faster.
    """

    _idle: ClassVar[list[_TaskGreenlet]] = []

    def __init__(self) -> None:
        self.hub = _GreenletWorker(_greenlet.getcurrent())
        self._busy: list[_TaskGreenlet] = []

    def worker(self, work: Callable[[], None]) -> _GreenletWorker:
        worker = self._idle.pop() if self._idle else _TaskGreenlet(self.hub)
        if worker.hub.greenlet is not self.hub.greenlet:
            self._idle.clear()  # those were of another thread
            worker = _TaskGreenlet(self.hub)
        worker.work = work
        self._busy.append(worker)
        return worker

    @staticmethod
    def together() -> AbstractContextManager[None]:
        return nullcontext()

    def end(self) -> None:
        for worker in self._busy:
            worker.work = None
        self._idle.extend(self._busy)
        self._busy.clear()


class _GreenletWorker:
    __slots__ = ("greenlet", "switch")

    def __init__(self, greenlet: Any) -> None:
        self.greenlet: Any = greenlet
        self.switch: Callable[[], object] = greenlet.switch

    def hand_over(self, to: _GreenletWorker) -> None:
        to.switch()


class _TaskGreenlet(_GreenletWorker):
    __slots__ = ("hub", "work")

    def __init__(self, hub: _GreenletWorker) -> None:
        super().__init__(_greenlet.greenlet(self._serve, hub.greenlet))
        self.hub = hub
        self.work: Callable[[], None] | None = None

    def _serve(self) -> None:
        while True:
            work, self.work = self.work, None
            assert work is not None
            work()
            del work  # it holds the run
            self.hub.switch()
