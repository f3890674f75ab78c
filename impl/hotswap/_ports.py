"""The seams of the protocol: time, threads and wasm enter through these and nowhere else.

The real ports are `_threads.py` and the package `_runtime`; the fakes are in `hotswap.testing`. Everything that
two threads can touch at once is an `Atomic`, a `Bag`, or guarded by a `Lock` of this module, so that a
scheduler which implements `Sync` sees every step that matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from hotswap._host import NO_IMPORTS, Imports

if TYPE_CHECKING:
    from types import TracebackType

    from hotswap._compat import ModuleFacts
    from hotswap._manifest import PluginManifest

T = TypeVar("T")

Number = int | float
Data = bytes | bytearray | memoryview
Value = int | float | tuple[int | float, ...] | None
"""What a numeric call returns: nothing, one value, or several."""


class Lock(Protocol):
    """Mutual exclusion. Not re-entrant; held for a few steps only, never while waiting."""

    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Parker(Protocol):
    """One thread waits, any thread wakes it. A permit, not a counter: two wakes are one."""

    def park(self, timeout: float | None) -> bool:
        """Wait for the permit and take it; False after `timeout` seconds (None: no limit)."""

    def unpark(self) -> None:
        """Give the permit. Never blocks and takes no lock, so a finalizer may call it."""


class Atomic(Protocol[T]):
    """One shared reference; a read sees the latest write."""

    value: T


class Bag(Protocol[T]):
    """Shared items. Every method is one atomic step, and sees all that happened before earlier steps."""

    def append(self, item: T, /) -> None: ...
    def pop(self) -> T:
        """Take any one item; `IndexError` when there is none."""

    def remove(self, item: T, /) -> None:
        """Take this item; `ValueError` when it is not there."""

    def copy(self) -> Iterable[T]:
        """The items at this moment."""

    def __len__(self) -> int: ...


class Sync(Protocol):
    """Where every lock, wait, shared reference and thread comes from."""

    def lock(self) -> Lock: ...
    def parker(self) -> Parker: ...
    def atomic(self, value: T) -> Atomic[T]: ...
    def bag(self, items: Iterable[T]) -> Bag[T]: ...
    def spawn(self, work: Callable[[], None], name: str) -> None:
        """Run `work` on a thread of its own, which does not keep the process alive."""


class Clock(Protocol):
    def now(self) -> float:
        """Seconds, monotonic, from an arbitrary start."""


class Trace(Protocol):
    def __call__(self, event: str, **facts: object) -> None:
        """Told of what has happened, in the past tense; must not raise or block."""


class Instance(Protocol):
    """One wasm instance. At most one thread is inside at a time: the lease sees to that."""

    @property
    def broken(self) -> bool:
        """Whether a call trapped or was cut short, so that the instance must not be used again."""

    def call(self, func: str, args: tuple[Number, ...]) -> Value:
        """Call a numeric export; typed errors of `hotswap._errors`."""

    def call_bytes(self, func: str, data: Data) -> bytes:
        """Call a bytes export; typed errors of `hotswap._errors`."""

    def close(self) -> None:
        """Give the instance's memory back. Only when nobody is inside; a second close does nothing."""


class Code(Protocol):
    """A compiled module under its manifest's limits: what a version's instances are made from."""

    @property
    def facts(self) -> ModuleFacts: ...
    def instantiate(self, *, probe: bool) -> Instance:
        """Make and initialise one instance, and probe it if asked to. Raises `ModuleRejected` or `Overloaded`."""

    def interrupt(self, stop: bool) -> None:
        """While `stop` holds, calls inside any instance of this code get `CallInterrupted`, soon."""


class Runtime(Protocol):
    def load(self, wasm: object, manifest: PluginManifest, imports: Imports = NO_IMPORTS) -> Code:
        """Read, compile and check `wasm` (bytes, a path, or WAT text). Slow; called outside every lock."""


@dataclass(frozen=True, slots=True)
class Ports:
    runtime: Runtime
    sync: Sync
    clock: Clock
    trace: Trace
    imports: Imports = NO_IMPORTS
    """What the plugin may call of the host."""


def silent(event: str, **facts: object) -> None:
    """A `Trace` to which nobody listens."""
