"""The ports `Sync` and `Clock` for the search of states: as the scheduler's, with larger steps, which are taken down.

`core_states.py` says what joins what, why that is sound, and how it is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

from core_memory import Memory, is_locked, saw
from scheduler import Run, Shared, Unannounced
from scheduler import _ports as ports
from scheduler._story import PORTS

T = TypeVar("T")
PORTS.add(__file__)


def _undisciplined(run: Run, what: str) -> None:
    run.problem = Unannounced(f"{run.current.name if run.current else ''}: {what}")
    raise run.problem


class Lock(Shared):
    """Its first access under it joins the acquire; the release joins what is before it."""

    __slots__ = ("_bit", "_free", "_memory")

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory.run, "lock")
        self._memory, self._bit, self._free = memory, 1 << self.key, True

    def holds(self) -> object:
        return self._free

    def _is_free(self) -> bool:
        return self._free

    def __enter__(self) -> bool:
        run = self.run
        if run.announce(self, True, "acquires", self._is_free):
            run.touch(self, True)
        self._free = False
        run.held |= self._bit
        self._memory.joins_next = run.current is not None and not Memory.each_access
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        run = self.run
        if Memory.each_access:
            if run.announce(self, True, "releases"):
                run.touch(self, True)
        elif run.current is not None and not run.over:
            run.releases(self)
        self._memory.joins_next = False
        self._free = True
        run.held &= ~self._bit


class Parker(ports.Parker):
    __slots__ = ("_memory",)

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory.run)
        self._memory = memory

    def holds(self) -> object:
        return self._permit

    def park(self, timeout: float | None) -> bool:
        return saw(super().park(timeout))

    def unpark(self) -> None:
        """Joins what is before it if nobody can have looked at the permit in between."""
        run = self.run
        if not is_locked(run):
            _undisciplined(run, "somebody is woken without the lock")
        by_itself = run.limits.timeouts or run.limits.spurious or Memory.each_access
        if not self._permit and not by_itself and run.current is not None:
            self._memory.joins_next = False
            run.joins(self, True, gives=True)
        else:
            self._memory.stops(self, True, "unparks")
            run.joins(self, not self._permit)
        self._permit = True


class Atomic(Shared, Generic[T]):
    __slots__ = ("_memory", "_value", "quiet")

    def __init__(self, memory: Memory, value: T) -> None:
        super().__init__(memory.run, "atomic")
        self._memory, self._value, self.quiet = memory, value, False

    def holds(self) -> object:
        return self._value

    @property
    def value(self) -> T:
        if not (locked := is_locked(self.run)) and self.quiet:
            _undisciplined(self.run, "an atomic that was said to be read under the lock only is read without it")
        if not locked or Memory.each_access:
            self._memory.access(self, False, "reads")
        return saw(self._value)

    @value.setter
    def value(self, value: T) -> None:
        if not is_locked(self.run):
            _undisciplined(self.run, "an atomic changes without the lock")
        if self.run.current is not None and (Memory.each_access or not (self.quiet or value is self._value)):
            self._memory.stops(self, True, "stores to")
            self.run.joins(self, value is not self._value)
        self._value = value


class Bag(Shared, Generic[T]):
    """Gives back any item, says its contract; this one the one with the least name, so that order is no state."""

    __slots__ = ("_items", "_memory", "constant")

    def __init__(self, memory: Memory, items: Iterable[T]) -> None:
        super().__init__(memory.run, "bag")
        self._memory, self._items, self.constant = memory, list(items), False

    def holds(self) -> object:
        return self._items  # in no order that matters

    def append(self, item: T, /) -> None:
        if self.constant:
            _undisciplined(self.run, "a bag changes that was said not to")
        self._memory.access(self, True, "appends to")
        self._memory.at_append(item)
        self._items.append(item)

    def pop(self) -> T:
        self._memory.stops(self, True, "pops from")
        self.run.joins(self, bool(self._items))
        if not self._items:
            saw(-1)
            raise IndexError("pop from an empty bag")
        item = min(self._items, key=self._memory.name)
        self._items.remove(item)
        return saw(item)

    def remove(self, item: T, /) -> None:
        self._memory.stops(self, True, "removes from")
        self.run.joins(self, item in self._items)
        self._items.remove(item)

    def copy(self) -> list[T]:
        self._memory.access(self, False, "copies")
        return saw(sorted(self._items, key=self._memory.name))

    def __len__(self) -> int:
        if Memory.each_access or not self.constant:
            self._memory.access(self, False, "counts")
        return saw(len(self._items))


@dataclass
class StateSync:
    """Implements the port `Sync`."""

    memory: Memory

    def lock(self) -> Lock:
        return self.memory.add(Lock(self.memory))

    def parker(self) -> Parker:
        return self.memory.add(Parker(self.memory))

    def atomic(self, value: T) -> Atomic[T]:
        return self.memory.add(Atomic(self.memory, value))

    def bag(self, items: Iterable[T]) -> Bag[T]:
        return self.memory.add(Bag(self.memory, items))

    def spawn(self, work: Callable[[], None], name: str) -> None:
        raise NotImplementedError


@dataclass
class StateClock:
    """Implements the port `Clock`."""

    memory: Memory

    def now(self) -> float:
        run = self.memory.run
        self.memory.access(run.clock_object, False, "reads")
        return saw(run.now)
