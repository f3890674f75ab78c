"""Tasks on threads of the system: what greenlets cannot run (a switch below a call into wasm) runs here.

Each worker waits at a lock of its own, and hands over by releasing the other's. So one of them runs at any time, and
the memory of one is seen by the next. Threads are kept for later runs; there are never more of them than one run
had tasks. They are daemons, idle between runs, and hold nothing then.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

CTRL_C_S: Final = 10.0
"""Who is interrupted waits this long for the task that runs, since a run cannot be unwound under it."""


class ThreadWorker:
    """Whoever runs on a thread."""

    __slots__ = ("has_turn", "turn")

    def __init__(self) -> None:
        self.turn = threading.Lock()
        """Free for a moment when this one may go on."""
        self.turn.acquire()
        self.has_turn = False

    def hand_over(self, to: ThreadWorker) -> None:
        to.has_turn = True
        to.turn.release()
        self.turn.acquire()


class _Hub(ThreadWorker):
    """Who makes the run; on the main thread, where Ctrl-C and the time limits of tests strike."""

    __slots__ = ()

    def hand_over(self, to: ThreadWorker) -> None:
        self.has_turn = False
        to.turn.release()
        try:
            self.turn.acquire()
        except BaseException:
            self.turn.acquire(timeout=0 if self.has_turn else CTRL_C_S)
            raise


class _PoolWorker(ThreadWorker):
    __slots__ = ("_thread", "hub", "work")

    def __init__(self) -> None:
        super().__init__()
        self.hub: ThreadWorker | None = None
        self.work: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._serve, name="scheduled", daemon=True)
        self._thread.start()

    def move(self, processors: set[int]) -> None:
        if self._thread.native_id is not None:
            os.sched_setaffinity(self._thread.native_id, processors)

    def _serve(self) -> None:
        while True:
            self.turn.acquire()
            work, hub = self.work, self.hub
            self.work = self.hub = None
            assert work is not None
            assert hub is not None
            work()
            del work  # it holds the run
            hub.has_turn = True
            hub.turn.release()


_IDLE: Final[list[_PoolWorker]] = []


def _move(processors: set[int]) -> None:
    """This thread and all that are idle; new ones go where this one is."""
    os.sched_setaffinity(0, processors)
    for worker in _IDLE:
        worker.move(processors)


class Threads:
    """Threads of the system. Implements `Backend`."""

    def __init__(self) -> None:
        self.hub = _Hub()
        self._busy: list[_PoolWorker] = []

    def worker(self, work: Callable[[], None]) -> ThreadWorker:
        worker = _IDLE.pop() if _IDLE else _PoolWorker()
        worker.work, worker.hub = work, self.hub
        self._busy.append(worker)
        return worker

    @staticmethod
    @contextmanager
    def together() -> Iterator[None]:
        """All on one processor: they take turns, and to hand over to a thread on another one takes longer."""
        if not hasattr(os, "sched_setaffinity"):
            yield
            return
        before = os.sched_getaffinity(0)
        one = {sorted(before)[os.getpid() % len(before)]}
        _move(one)
        try:
            yield
        finally:
            _move(before)

    def end(self) -> None:
        for worker in self._busy:
            worker.work = worker.hub = None  # of those that never began
        _IDLE.extend(self._busy)
        self._busy.clear()
