"""What every task has seen, and what every shared thing holds: what makes two states of a run one.

The ports here are the scheduler's, with larger steps (`core_states.py` says why that is sound, and how it is checked),
and each access is taken down in the memory of its run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from types import MethodType
from typing import Any, Final, Protocol, TypeVar

from hotswap import HotReloadStats
from hotswap._version import Waiter
from scheduler import Run, Unannounced
from scheduler import _ports as ports
from scheduler._watch import WatchedList

T = TypeVar("T")
SET_UP: Final = 999
NAMES_EACH: Final = 100_000


class Place(Protocol):
    """An attribute of a production class."""

    def load(self, owner: Any) -> Any:
        """Without being seen to look."""


class Memory:
    """What tasks have seen, and what there is: of one run."""

    here: Memory | None = None

    def __init__(self, run: Run) -> None:
        Memory.here = self
        self.run = run
        self.results: dict[int, object] = {}
        """What a task that has ended came to; it counts as that."""
        self.more: Callable[[], Iterable[object]] = tuple
        """What else belongs to the state: marks of the program's own."""
        self._seen: dict[int, int] = {}
        self._names: dict[int, int] = {}
        self._keep: list[object] = []  # so that no identity is used twice
        self._born: dict[int, int] = {}
        self._objects: list[tuple[int, Any]] = []
        self._places: dict[tuple[int, int], tuple[Any, Place]] = {}
        run.at_end.append(self._leave)

    def _leave(self) -> None:
        Memory.here = None

    def _number(self) -> int:
        """A name must not depend on what others make in the meantime, as the run's own numbers do."""
        task = self.run.current.index if self.run.current is not None else SET_UP
        self._born[task] = self._born.get(task, 0) + 1
        return task * NAMES_EACH + self._born[task]

    def add(self, shared: T) -> T:
        self._objects.append((self.name(shared), shared))
        return shared

    def name(self, thing: object) -> int:
        """The same for the same thing in every run: its maker, and which of what that one made it is."""
        known = self._names.get(id(thing))
        if known is None:
            known = self._names[id(thing)] = self._number()
            self._keep.append(thing)
        return known

    def code(self, value: Any) -> int:
        """A number for a value, the same in every process."""
        match value:
            case None:
                return -2
            case bool() | int() | float():
                return hash((1, value))
            case Enum():
                return hash((2, list(type(value)).index(value)))
            case list() if type(value) is not WatchedList:  # what was gathered, or copied: in no order that matters
                return hash((7, *sorted(map(self.code, value))))
            case list() | tuple() | deque():
                return hash((3, *map(self.code, value)))
            case HotReloadStats():
                counts = value.attempts, value.successful_upgrades, value.failed_upgrades, value.cancelled_upgrades
                return hash((4, *counts))
            case str():
                return hash((5, int.from_bytes(value.encode())))
            case MethodType():  # one is made anew whenever somebody looks
                return hash((8, self.name(value.__self__), self.code(value.__name__)))
        return hash((6, self.name(value)))

    def saw(self, value: object) -> None:
        if self.run.current is not None and not self.run.over:
            task = self.run.current.index
            self._seen[task] = hash((self._seen.get(task, 0), self.code(value)))

    def holds_only(self, *values: object) -> None:
        """The task says that it has returned from everything, and goes on with these in hand and nothing else."""
        if self.run.current is not None:
            self._seen[self.run.current.index] = hash((-5, *map(self.code, values)))

    def seen(self) -> int:
        return self._seen.get(self.run.current.index, 0) if self.run.current is not None else 0

    def stepped(self, choice: int) -> None:
        self._seen[choice // 3] = hash((self._seen.get(choice // 3, 0), -3, choice % 3))

    def place(self, owner: Any, index: int, attribute: Place) -> None:
        self._places.setdefault((self.name(owner), index), (owner, attribute))

    def key(self) -> int:
        """The state. All that is here has its name from whoever made it or saw it first."""
        run, done, named = self.run, {task.index for task in self.run.tasks if task.done}, len(self._names)
        tasks = [
            self.code(self.results.get(task.index)) if task.done else self._seen.get(task.index, 0)
            for task in run.tasks
        ]
        # A parker or a waiter of a task that has ended is looked at by nobody any more.
        objects = [
            hash((name, self.code(shared.holds())))
            for name, shared in self._objects
            if not (type(shared) is Parker and name // NAMES_EACH in done)
        ]
        places = [
            hash((name, index, self.code(attribute.load(owner))))
            for (name, index), (owner, attribute) in self._places.items()
            if not (type(owner) is Waiter and name // NAMES_EACH in done)
        ]
        left = run.timeouts, run.spurious, run.now
        key = hash((*tasks, *left, *sorted(objects), *sorted(places), self.code(list(self.more()))))
        assert len(self._names) == named, "a name that depends on when a state was looked at"
        return key


def saw(value: T) -> T:
    if Memory.here is not None:
        Memory.here.saw(value)
    return value


# Ports ------------------------------------------------------------------------------------------------------------


def is_locked(run: Run) -> bool:
    return run.current is None or run.over or run.held > 0


class Lock(ports.Lock):
    __slots__ = ()

    def holds(self) -> object:
        return self._free

    def __exit__(self, *_: object) -> None:
        """No step: whatever this task did under the lock commutes with this."""
        run = self.run
        if run.current is not None and not run.over:
            run.releases(self)
            self._free = True
            run.held &= ~self._bit
        else:
            super().__exit__(None, None, None)


class Parker(ports.Parker):
    __slots__ = ()

    def holds(self) -> object:
        return self._permit

    def park(self, timeout: float | None) -> bool:
        return saw(super().park(timeout))


class Atomic(ports.Atomic[T]):
    __slots__ = ("quiet",)

    def __init__(self, run: Run, value: T) -> None:
        super().__init__(run, value)
        self.quiet = False

    def holds(self) -> object:
        return self._value

    @property
    def value(self) -> T:
        if not is_locked(self.run):
            if self.quiet:
                _undisciplined(self.run, "an atomic that was said to be read under the lock only is read without it")
            self.run.announce(self, False, "reads")
            self.run.touch(self, False)
        return saw(self._value)

    @value.setter
    def value(self, value: T) -> None:
        if not is_locked(self.run):
            _undisciplined(self.run, "an atomic changes without the lock")
        if self.run.current is not None and not self.quiet and value is not self._value:
            self.run.announce(self, True, "stores to")
            self.run.touch(self, True)
        self._value = value


def _undisciplined(run: Run, what: str) -> None:
    run.problem = Unannounced(f"{run.current.name if run.current else ''}: {what}")
    raise run.problem


class Bag(ports.Bag[T]):
    """Gives back any item, says its contract; this one the one with the least name, so that order is no state."""

    __slots__ = ()

    def holds(self) -> object:
        self._sort()
        return self._items

    def _sort(self) -> None:
        if Memory.here is not None:
            self._items.sort(key=Memory.here.name, reverse=True)

    def pop(self) -> T:
        try:
            self._sort()
            return saw(super().pop())
        except IndexError:
            saw(-1)
            raise

    def copy(self) -> list[T]:
        items = super().copy()
        if Memory.here is not None:
            items.sort(key=Memory.here.name)
        return saw(items)

    def __len__(self) -> int:
        return saw(super().__len__())


@dataclass
class StateSync:
    """Implements the port `Sync`."""

    memory: Memory

    def lock(self) -> Lock:
        return self.memory.add(Lock(self.memory.run))

    def parker(self) -> Parker:
        return self.memory.add(Parker(self.memory.run))

    def atomic(self, value: T) -> Atomic[T]:
        return self.memory.add(Atomic(self.memory.run, value))

    def bag(self, items: Iterable[T]) -> Bag[T]:
        return self.memory.add(Bag(self.memory.run, items))

    def spawn(self, work: Callable[[], None], name: str) -> None:
        raise NotImplementedError
