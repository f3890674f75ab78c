"""How a method of the core takes the lock, and what happens when an exception strikes inside.

`with lock` on a bare lock is safe from Ctrl-C: CPython does not look for signals between taking it and the body.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from hotswap._ports import Lock


class HasLock(Protocol):
    _lock: Lock

    def wake(self) -> None:
        """Everyone who waits looks again."""


C = TypeVar("C", bound=HasLock)
P = ParamSpec("P")
R = TypeVar("R")


def locked(method: Callable[Concatenate[C, P], R]) -> Callable[Concatenate[C, P], R]:
    """Run `method` under its object's lock; whatever exception strikes, everyone who waits looks again."""

    def run(self: C, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with self._lock:
                return method(self, *args, **kwargs)
        except BaseException:
            self.wake()
            raise

    update_wrapper(run, method)
    return run
