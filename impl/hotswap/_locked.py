"""How a method of the core takes the lock, and what happens when an exception strikes inside.

`with lock` on a bare lock is safe from Ctrl-C on CPython 3.11 to 3.13, which does not look for signals between taking
it and the body. (Releases of 3.14 are reported to have lost that: CPython issue 148874.)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from hotswap._errors import HotswapError
from hotswap._ports import Lock


class HasLock(Protocol):
    _lock: Lock

    def wake(self) -> None:
        """Everyone who waits looks again."""


C = TypeVar("C", bound=HasLock)
P = ParamSpec("P")
R = TypeVar("R")


def locked(method: Callable[Concatenate[C, P], R]) -> Callable[Concatenate[C, P], R]:
    """Run `method` under its object's lock. If it is cut short, all who wait look again; a refusal wakes nobody."""

    def run(self: C, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with self._lock:
                return method(self, *args, **kwargs)
        except HotswapError:
            raise
        except BaseException:
            self.wake()
            raise

    update_wrapper(run, method)
    return run
