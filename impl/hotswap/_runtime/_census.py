"""How many instances this process has made and closed (S8), and the cap on those alive at once.

Each memory reserves address space, of which a process has room for some 32,000 with wasmtime's defaults; past
that, wasmtime fails with an error about mmap. The cap lies well below and gives an error that says what to do.
"""

from __future__ import annotations

import threading

from hotswap._errors import Overloaded

MAX_INSTANCES = 16_000


class Place:
    """One instance's in the counts. No signal handler runs between a change of it and that of the count."""

    __slots__ = ("counted", "ticking")

    def __init__(self) -> None:
        self.counted = self.ticking = False


class Census:
    """Counts of instances. `created == closed + alive`, always."""

    def __init__(self, cap: int = MAX_INSTANCES) -> None:
        self._lock = threading.RLock()  # a finalizer may close an instance in here
        self._cap = cap
        self.created = 0
        self.closed = 0

    @property
    def alive(self) -> int:
        return self.created - self.closed

    def enter(self, place: Place) -> None:
        """Count one more instance. Raises `Overloaded` at the cap."""
        with self._lock:
            if self.alive >= self._cap:
                raise _full(self.alive)
            place.counted = True
            self.created += 1

    def leave(self, place: Place) -> None:
        """May be done again."""
        with self._lock:
            if place.counted:
                place.counted = False
                self.closed += 1


def _full(alive: int) -> Overloaded:
    return Overloaded(
        f"this process has {alive} wasm instances, which is the cap; expected fewer. Close plugins, "
        "or lower resources.max_instances in their manifests"
    )


CENSUS = Census()
