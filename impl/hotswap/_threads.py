"""The real `Sync` and `Clock` ports: threads of this process and its monotonic clock.

Nothing here relies on the GIL: the methods of a `list` that a `Bag` has are atomic with it, and hold the list's own
lock without it.
`Parker` is a bare lock and not a `threading.Event`, because waking must be possible from a finalizer that
interrupts anything, also a wait on that very event; and because a Python-level `Condition` can be left locked
when Ctrl-C strikes inside its `__enter__`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class ThreadParker:
    __slots__ = ("_permit",)

    def __init__(self) -> None:
        self._permit = threading.Lock()
        self._permit.acquire()

    def park(self, timeout: float | None) -> bool:
        if timeout is None:
            return self._permit.acquire()
        return self._permit.acquire(timeout=min(max(timeout, 0.0), threading.TIMEOUT_MAX))

    def unpark(self) -> None:
        try:
            self._permit.release()
        except RuntimeError:
            pass  # the permit is there already


class ThreadAtomic(Generic[T]):
    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


class ThreadSync:
    def lock(self) -> threading.Lock:
        return threading.Lock()

    def parker(self) -> ThreadParker:
        return ThreadParker()

    def atomic(self, value: T) -> ThreadAtomic[T]:
        return ThreadAtomic(value)

    def bag(self, items: Iterable[T]) -> list[T]:
        """The type itself and no subclass: the interpreter's quick way to call a method is for exact types only."""
        return list(items)

    def spawn(self, work: Callable[[], None], name: str) -> None:
        threading.Thread(target=work, name=name, daemon=True).start()


class MonotonicClock:
    def now(self) -> float:
        return time.monotonic()


THREADS = ThreadSync()
MONOTONIC = MonotonicClock()
