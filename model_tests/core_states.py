"""Every state of a small program on the core: a search that knows where it has been.

Schedules grow too fast for three callers: one caller and one upgrader have some hundred classes, two have more than
300,000. Most of them meet again in the same states, so this search remembers states (a hash of each) and goes on from
each once. What makes two states one:

- what every task has seen of shared things, step by step, from its start on. Tasks do nothing but look, decide and
  change, so a task that has seen the same stands at the same place with the same in hand. A task that has ended
  counts by its result;
- what every shared thing holds: locks, atomics, bags, parkers, and the attributes that `scheduler/_watch.py` lists.

*Steps* are larger than the scheduler's (Lipton 1975). Under the lock a task stops only before an access that someone
without the lock might not commute with: a change of an atomic, any access to a bag or a parker. It does not stop
before it reads an atomic (atomics change under the lock only), before a store of what is there, nor before it gives
the lock back. This discipline is checked: an atomic that changes without the lock is `Unannounced`, and so is an
unlocked read of an atomic that was declared `quiet`, whose changes are no steps at all.

*Sleep sets* go together with the memory of states when each state keeps what slept at every visit, and a visit at which
less sleeps explores the difference (Godefroid 1996, chapter 5). They leave out steps, not states.

What must hold is looked at in states (two inside an instance, say), or by a step that says what it reads; the vector
clocks of `scheduler/_races.py` know a path, not a state, and are of no use here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from types import FunctionType
from typing import Any, Final, TypeVar

from hotswap import HotReloadStats
from hotswap._core import Core
from hotswap._lifecycle import Lifecycle
from hotswap._protocol import HotReloadProtocol
from hotswap._version import Version, Waiter
from scheduler import Limits, Program, Run, Unannounced, Verdict
from scheduler import _ports as ports
from scheduler._guides import Did, Pruned
from scheduler._reduction import Footprint, conflict
from scheduler._search import search
from scheduler._watch import CHECKED, WATCHED, WatchedList, watched

T = TypeVar("T")
SET_UP: Final = 999
NAMES_EACH: Final = 100_000


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
        self._places: dict[tuple[int, int], tuple[Any, _Seen]] = {}
        run.number = self._number  # type: ignore[method-assign]  # a name must not depend on who else made something
        run.at_end.append(self._leave)

    def _leave(self) -> None:
        Memory.here = None

    def _number(self) -> int:
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

    def place(self, owner: Any, index: int, attribute: _Seen) -> None:
        self._places.setdefault((self.name(owner), index), (owner, attribute))

    def key(self) -> int:
        run, done = self.run, {task.index for task in self.run.tasks if task.done}
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
        return hash((*tasks, *left, *sorted(objects), *sorted(places), self.code(list(self.more()))))


def saw(value: T) -> T:
    if Memory.here is not None:
        Memory.here.saw(value)
    return value


# Ports ------------------------------------------------------------------------------------------------------------


def _locked(run: Run) -> bool:
    return run.current is None or run.over or run.current.held > 0


class Lock(ports.Lock):
    __slots__ = ()

    def holds(self) -> object:
        return self._free

    def __exit__(self, *_: object) -> None:
        """No step: whatever this task did under the lock commutes with this."""
        if self.run.current is not None and not self.run.over:
            self._free = True
            self.run.current.held -= 1
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
        if not _locked(self.run):
            if self.quiet:
                _undisciplined(self.run, "an atomic that was said to be read under the lock only is read without it")
            self.run.announce(self, False, "reads")
            self.run.touch(self, False)
        return saw(self._value)

    @value.setter
    def value(self, value: T) -> None:
        if not _locked(self.run):
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


class _Seen:
    """Around an attribute of a production class: who looks at it has seen what it holds."""

    def __init__(self, owner: type, name: str, index: int) -> None:
        self._inner: Any = owner.__dict__.get(name)
        self._name, self._index = name, index

    def __get__(self, owner: Any, kind: type) -> Any:
        if owner is None:
            return self
        value = owner.__dict__[self._name] if self._inner is None else self._inner.__get__(owner, kind)
        if (memory := Memory.here) is not None:
            memory.place(owner, self._index, self)
            # An unlocked look at a list is a step of its own, and comes after this.
            memory.saw(-4 if type(value) is WatchedList and not _locked(memory.run) else value)
        return value

    def __set__(self, owner: Any, value: Any) -> None:
        if self._inner is None:
            owner.__dict__[self._name] = value
        else:
            self._inner.__set__(owner, value)
        if Memory.here is not None:
            Memory.here.place(owner, self._index, self)

    def load(self, owner: Any) -> Any:
        """Without being seen to look."""
        if self._inner is None:
            return owner.__dict__.get(self._name)
        return getattr(self._inner, "_load", lambda o: self._inner.__get__(o, type(o)))(owner)


def _returns(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a function saw on its way is gone when it returns, but for what it returns."""

    def run(*args: Any, **kwargs: Any) -> Any:
        memory = Memory.here
        if memory is None or memory.run.current is None:
            return function(*args, **kwargs)
        before = memory.seen()
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            memory.holds_only(before, type(error).__name__)
            raise
        memory.holds_only(before, value)
        return value

    return run


def _in_place(owner: type, name: str) -> Any:
    found = owner.__dict__[name]
    if isinstance(found, property):
        assert found.fget is not None
        return property(_returns(found.fget))
    return _returns(found)


@contextmanager
def remembered() -> Iterator[None]:
    """Production classes are watched, and what is seen of them is remembered."""
    with watched(checked=False):
        kept = [(owner, name, owner.__dict__.get(name)) for owner, name in (*WATCHED, *CHECKED)]
        methods = [
            (owner, name, found)
            for owner in (Core, Lifecycle, HotReloadProtocol, Version)
            for name, found in owner.__dict__.items()
            if isinstance(found, FunctionType | property) and not name.startswith("__")
        ]
        try:
            for index, (owner, name, _) in enumerate(kept):
                setattr(owner, name, _Seen(owner, name, index))
            for owner, name, _ in methods:
                setattr(owner, name, _in_place(owner, name))
            kept += methods
            yield
        finally:
            for owner, name, inner in kept:
                if inner is None:
                    delattr(owner, name)
                else:
                    setattr(owner, name, inner)


# The search -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    enabled: list[int]
    sleep: dict[int, Footprint]
    left: list[int]
    chosen: int = -1
    explored: dict[int, Footprint] = field(default_factory=dict)


class States:
    """Implements `Guide`: depth first, from each state once."""

    def __init__(self) -> None:
        self.slept: dict[int, frozenset[int]] = {}
        """What slept at every visit, by state."""
        self.steps = 0
        self._path: list[_Node] = []
        self._depth = 0

    def choose(self, enabled: list[int]) -> int:
        if self._depth == len(self._path):
            node = self._arrive(enabled)
            self._path.append(node)
            if not node.left:
                raise Pruned
            node.chosen = node.left.pop()
        node = self._path[self._depth]
        assert node.enabled == enabled, "the same choices led elsewhere"
        self._depth += 1
        return node.chosen

    def _arrive(self, enabled: list[int]) -> _Node:
        sleep: dict[int, Footprint] = {}
        last = -1
        if self._path:
            before = self._path[-1]
            did, last = before.explored[before.chosen], before.chosen // 3
            asleep = before.sleep | {
                choice: what for choice, what in before.explored.items() if choice != before.chosen
            }
            sleep = {choice: what for choice, what in asleep.items() if choice // 3 != last and not conflict(what, did)}
        assert Memory.here is not None
        key = Memory.here.key()
        slept = self.slept.get(key)
        if slept is None:
            left = [choice for choice in enabled if choice not in sleep]
            self.slept[key] = frozenset(sleep)
        else:
            left = [choice for choice in enabled if choice in slept and choice not in sleep]
            self.slept[key] = slept & sleep.keys()
            sleep = {choice: what for choice, what in sleep.items() if choice in slept}
        left.sort(key=lambda choice: (choice == 3 * last, -choice))  # who ran last goes on first
        return _Node(enabled.copy(), sleep, left)

    def made(self, did: Did) -> None:
        node = self._path[self._depth - 1]
        assert Memory.here is not None
        Memory.here.stepped(node.chosen)
        self.steps += node.chosen not in node.explored
        node.explored[node.chosen] = did.footprint

    def again(self) -> bool:
        self._depth = 0
        while self._path:
            node = self._path[-1]
            if node.left:
                node.chosen = node.left.pop()
                return True
            self._path.pop()
        return False


def states(program: Program, limits: Limits | None = None, *, runs_max: int | None = None) -> tuple[Verdict, States]:
    """The verdict, and the states that there are. `schedules` are the runs that came to an end, not all schedules."""
    guide = States()
    return search(program, guide, "exhaustive in states", limits or Limits(), runs_max), guide
