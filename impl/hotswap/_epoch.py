"""Epochs, counted: a public tool for embedders who guard resources of their own as the seed did.

The plugins here do not count their calls with it: a lease is its own count (`_core.py`, docs/adr/0001).

Rules. `enter` reads the epoch and counts the guard in one critical section, so that a guard can never count for an
epoch that was drained before it entered. Epoch numbers never repeat: the counts are kept by number, and a
count that reaches zero is forgotten. A guard that is dropped releases, from its finalizer, which may run
anywhere, also inside a critical section of the same tracker: so a release takes no lock. It hands in what the guard
holds and wakes the waiters; whoever looks next, under the lock, subtracts it. What a guard holds is a bag of one,
emptied in the same step in which its count is known to have been subtracted; so handing it in twice does no harm.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from hotswap._ports import Bag, Clock, Parker, Sync
from hotswap._threads import MONOTONIC, THREADS


class EpochGuard:
    """One reference to an epoch; released once, by `release`, by leaving its `with`, or by being dropped."""

    __slots__ = ("_held", "_tracker", "epoch")

    def __init__(self, tracker: EpochTracker) -> None:
        self._tracker = tracker
        self._held: Bag[int] = tracker._sync.bag(())  # noqa: SLF001  its epoch, until it is released
        self.epoch = tracker._count(self._held)  # noqa: SLF001

    def release(self) -> None:
        """Give the reference back. A second release does nothing, from whatever thread."""
        if len(self._held):
            self._tracker._release(self._held)  # noqa: SLF001

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        if hasattr(self, "_held"):
            self.release()


class EpochTracker:
    """Counts references by epoch, and waits until an epoch has none. Thread-safe."""

    def __init__(self, *, sync: Sync = THREADS, clock: Clock = MONOTONIC) -> None:
        self._sync, self._clock = sync, clock
        self._lock = sync.lock()
        self._current = sync.atomic(0)
        self._refs: dict[int, int] = {}
        self._released: Bag[Bag[int]] = sync.bag(())
        self._parked: Bag[Parker] = sync.bag(())

    @property
    def current(self) -> int:
        """The current epoch; the first is 0."""
        return self._current.value

    def enter(self) -> EpochGuard:
        """A reference to the current epoch."""
        return EpochGuard(self)

    def advance(self) -> int:
        """Begin the next epoch and return its number."""
        with self._lock:
            self._current.value += 1
            return self._current.value

    def refs_for_epoch(self, epoch: int) -> int:
        """How many guards of that epoch are held; 0 for an epoch that is drained or has not begun."""
        with self._lock:
            self._settle()
            return self._refs.get(epoch, 0)

    def wait_drain(self, epoch: int, timeout: float) -> bool:
        """Wait until no guard of `epoch` is held, the current epoch included; False after `timeout` seconds."""
        deadline = self._clock.now() + timeout
        parker = self._sync.parker()
        try:
            self._parked.append(parker)
            while self.refs_for_epoch(epoch):
                left = deadline - self._clock.now()
                if left <= 0:
                    return False
                parker.park(left)
            return True
        finally:
            self._parked.remove(parker)

    def _count(self, held: Bag[int]) -> int:
        with self._lock:
            self._settle()
            epoch = self._current.value
            self._refs[epoch] = self._refs.get(epoch, 0) + 1
            held.append(epoch)
            return epoch

    def _release(self, held: Bag[int]) -> None:
        """Linearizes at the append. Takes no lock: finalizers call it."""
        self._released.append(held)
        for parker in self._parked.copy():
            parker.unpark()

    def _settle(self) -> None:
        """Subtract what was handed in. No call stands between the subtraction and the step that empties the bag."""
        for held in self._released.copy():
            for epoch in held.copy():
                left = self._refs[epoch] - 1
                if left:
                    self._refs[epoch] = left
                else:
                    del self._refs[epoch]
                held.pop()
            self._released.remove(held)
