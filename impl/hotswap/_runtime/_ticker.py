"""The thread that advances the engines' tick, so that calls can be stopped.

It runs while instances are alive and ends with the last. It is supervised: it stamps `beat`, and every call
compares that stamp with the clock it reads anyway; a stamp older than `STALE_S` starts a new thread. In a
forked child there is no such thread and no safe way to run what the parent compiled, so calls are refused.
"""

from __future__ import annotations

import os
import threading
import time

from hotswap._errors import HotswapError, Overloaded
from hotswap._runtime._engine import engines

TICK_S = 0.005
STALE_S = 1.0


class _Shift:
    """One thread's turn at the tick. Not an `Event`: a Ctrl-C inside `Event.set` leaves its lock locked for ever."""

    __slots__ = ("over",)

    def __init__(self) -> None:
        self.over = False


class Ticker:
    def __init__(self) -> None:
        self.beat = -float("inf")
        """When the tick last advanced, on the monotonic clock."""
        self._lock = threading.RLock()  # a finalizer may close an instance in here
        self._users = 0
        self._thread: threading.Thread | None = None
        self._shift = _Shift()
        self._forked = False

    def enter(self) -> None:
        """One more instance needs the tick."""
        with self._lock:
            self._refuse_fork()
            if self._thread is None:
                self._start()
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._thread is not None:
                self._shift.over = True
                self._thread = None
                self.beat = -float("inf")

    def revive(self) -> None:
        """The stamp is stale: start a new thread, unless another call just did. Raises `HotswapError` after a fork."""
        with self._lock:
            self._refuse_fork()
            if time.monotonic() - self.beat > STALE_S:
                self._start()

    def _start(self) -> None:
        self._shift.over = True
        self._shift = shift = _Shift()
        thread = threading.Thread(target=self._run, args=(shift,), name="hotswap-ticker", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise Overloaded(
                f"the thread that stops overlong calls cannot start: {error}; calls are refused until it can"
            ) from error
        except BaseException:
            shift.over = True
            raise
        self.beat = time.monotonic()
        self._thread = thread

    def _run(self, shift: _Shift) -> None:
        while True:
            time.sleep(TICK_S)
            if shift.over:
                return
            for engine in engines():
                engine.increment_epoch()
            self.beat = time.monotonic()

    def _refuse_fork(self) -> None:
        if self._forked:
            raise HotswapError(
                "this process was forked from one that runs plugins, which wasmtime does not survive; "
                "make the plugins after the fork, or start the process with subprocess or a spawning pool"
            )

    def forked(self) -> None:
        """In the child of a fork."""
        self._lock = threading.RLock()  # a finalizer may close an instance in here
        self._forked = self._users > 0
        self._thread = None
        self.beat = -float("inf")


TICKER = Ticker()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TICKER.forked)
