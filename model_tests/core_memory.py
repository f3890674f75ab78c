"""What every task has seen, and what every shared thing holds: what makes two states of a run one.

The ports in `core_ports.py` take each access down in the memory of their run.

*Names.* A thing is named when it is made, after the task that makes it and how many that one has made before; so its
name does not depend on what others do meanwhile.

*Callers are alike.* A state in which two of them have changed places is the same state, so of all such the one with the
least number stands for all (Emerson and Jha; with sleep sets too, which are kept under the names of that one). What
depends on which caller is which has a number for each order of the callers.

*A replay* takes nothing down: the search keeps what had been seen at a state and gives it back when the replay has led
there.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from types import FunctionType, MethodType
from typing import Any, ClassVar, Final, Protocol, TypeVar

from hotswap import HotReloadStats
from hotswap._version import Version, Waiter
from scheduler import Run, Shared
from scheduler._ports import Parker
from scheduler._story import PORTS
from scheduler._watch import WatchedList

T = TypeVar("T")
PORTS.add(__file__)
SET_UP: Final = 999
NAMES_EACH: Final = 100_000
PLAIN: Final = frozenset({bool, int, float})

Code = int | tuple[int, ...]
"""A number for a value, the same in every process; or one for each order of the callers, if it depends on that."""
Snapshot = tuple[dict[int, Code], dict[int, Any]]


def mixed(*parts: Code) -> Code:
    """One for several."""
    for part in parts:
        if type(part) is not int:
            break
    else:
        return hash(parts)
    several = next(len(part) for part in parts if isinstance(part, tuple))
    return tuple(hash(tuple(each(part, k) for part in parts)) for k in range(several))


def each(part: Code, k: int) -> int:
    return part if isinstance(part, int) else part[k]


class Place(Protocol):
    """An attribute of a production class."""

    def load(self, owner: Any) -> Any:
        """Without being seen to look."""


class Memory:
    """What tasks have seen, and what there is: of one run."""

    here: ClassVar[Memory | None] = None
    places: ClassVar[list[tuple[type, Place]]] = []
    """The attributes that count, and whose they are."""
    each_access: ClassVar[bool] = False
    """Whether each access is a step of its own."""

    def __init__(self, run: Run, orders: list[tuple[int, ...]]) -> None:
        """The first tasks are callers, who begin in that order and are alike; `orders` are all orders of them."""
        Memory.here = self
        self.run = run
        self.callers, self.orders = len(orders[0]), orders
        self.begun = 0
        """So many callers have begun."""
        self.results: dict[int, object] = {}
        """What a task that has ended came to; it counts as that."""
        self.more: Callable[[], list[object]] = list
        """What else belongs to the state: marks of the program's own."""
        self.at_append: Callable[[object], None] = _no_item
        """Told what a bag gets, in the step in which it gets it."""
        self.replays = False
        self.joins_next = False
        """The next access joins the step under way."""
        self._seen: dict[int, Code] = {}
        self._outer: dict[int, Any] = {}
        """By task: what it had seen when it entered the functions it is in, innermost first."""
        self._names: dict[int, int] = {}
        self._codes: dict[int, Code] = {}
        """Of the names."""
        self._keep: list[object] = []  # so that no identity is used twice
        self._born: dict[int, int] = {}
        self._objects: list[tuple[int, Any]] = []
        self._places: list[tuple[int, Any, int, Place]] = []
        run.at_end.append(self._leave)

    def _leave(self) -> None:
        """The run is over: nothing here points to anything that points back, so no garbage is left to look for."""
        Memory.here = None
        for thing in self._keep:
            if isinstance(thing, Version):
                thing.live._value = False  # type: ignore[attr-defined]
                thing.wake = _gone
                del thing.free, thing.tombs
        self.more, self.at_append = list, _no_item
        self._keep.clear()
        self._places.clear()

    # -- names -------------------------------------------------------------------------------------------------

    def made(self, thing: object) -> int:
        """Name a thing that is made just now."""
        task = self.run.current.index if self.run.current is not None else SET_UP
        number = self._born[task] = self._born.get(task, 0) + 1
        name = self._names[id(thing)] = task * NAMES_EACH + number
        if task < self.callers:
            self._codes[id(thing)] = tuple(hash((6, order[task] * NAMES_EACH + number)) for order in self.orders)
        else:
            self._codes[id(thing)] = hash((6, name))
        self._keep.append(thing)
        for index, (owner, place) in enumerate(self.places):
            if isinstance(thing, owner):
                self._places.append((name, thing, index, place))
        return name

    def add(self, shared: T) -> T:
        self._objects.append((self.made(shared), shared))
        return shared

    def name(self, thing: object) -> int:
        return self._names[id(thing)]

    def code(self, value: Any) -> Code:
        if value is None:
            return -2
        if type(value) in PLAIN:
            return hash((1, value))
        if (code := self._codes.get(id(value))) is not None:
            return code
        match value:
            case Enum():
                return hash((2, list(type(value)).index(value)))
            case list() if type(value) is not WatchedList:  # what was gathered, or copied: in no order that matters
                codes = [self.code(item) for item in value]
                if all(type(code) is int for code in codes):
                    return hash((7, *sorted(codes)))
                return tuple(hash((7, *sorted(each(code, k) for code in codes))) for k in range(len(self.orders)))
            case list() | tuple():
                return mixed(3, *map(self.code, value))
            case HotReloadStats():
                counts = value.attempts, value.successful_upgrades, value.failed_upgrades, value.cancelled_upgrades
                return hash((4, *counts))
            case str():
                return hash((5, int.from_bytes(value.encode())))
            case MethodType():  # one is made anew whenever somebody looks
                return mixed(8, self._codes[id(value.__self__)], self.code(value.__name__))
            case BaseException():
                return self.code(type(value).__name__)
            case FunctionType():
                return mixed(9, self.code(value.__qualname__))
        raise TypeError(f"nobody has named {value!r} when it was made")

    # -- what tasks have seen ----------------------------------------------------------------------------------

    def saw(self, value: object) -> None:
        if not self.replays and self.run.current is not None and not self.run.over:
            task = self.run.current.index
            self._seen[task] = mixed(self._seen.get(task, 0), self.code(value))

    def holds_only(self, *values: object) -> None:
        """The task says that it has returned from everything, and goes on with these in hand and nothing else."""
        if not self.replays and self.run.current is not None:
            self._seen[self.run.current.index] = mixed(-5, *map(self.code, values))

    def enters(self) -> None:
        """A function."""
        if not self.replays and self.run.current is not None:
            task = self.run.current.index
            self._outer[task] = self._seen.get(task, 0), self._outer.get(task)

    def returns(self, value: object) -> None:
        """What a function saw on its way is gone when it returns, but for what it returns."""
        if not self.replays and self.run.current is not None and not self.run.over:
            task = self.run.current.index
            before, self._outer[task] = self._outer[task]
            self._seen[task] = mixed(-5, before, self.code(value))

    def stepped(self, choice: int) -> None:
        self._seen[choice // 3] = mixed(self._seen.get(choice // 3, 0), -3, choice % 3)

    def snapshot(self) -> Snapshot:
        return self._seen.copy(), self._outer.copy()

    def restore(self, snapshot: Snapshot) -> None:
        """A replay has led to where this was taken."""
        seen, outer = snapshot
        self._seen, self._outer, self.replays = seen.copy(), outer.copy(), False

    def keys(self) -> list[tuple[int, tuple[int, ...]]]:
        """The state under each order of the callers who have begun, the present one first."""
        run, done = self.run, {task.index for task in self.run.tasks if task.done}
        assert not self.joins_next, "a step is cut in two"
        tasks = [
            self.code(self.results.get(task.index)) if task.done else self._seen.get(task.index, 0)
            for task in run.tasks
        ]
        # A parker or a waiter of a task that has ended is looked at by nobody any more.
        parts = [
            mixed(self._codes[id(shared)], self.code(shared.holds()))
            for name, shared in self._objects
            if not (isinstance(shared, Parker) and name // NAMES_EACH in done)
        ]
        parts += [
            mixed(self._codes[id(owner)], index, self.code(place.load(owner)))
            for name, owner, index, place in self._places
            if not (type(owner) is Waiter and name // NAMES_EACH in done)
        ]
        parts += [run.timeouts, run.spurious, hash(run.now), self.code(self.more())]
        shared_by_all = hash(tuple(sorted(part for part in parts if isinstance(part, int))))
        others = [part for part in parts if isinstance(part, tuple)]
        found: list[tuple[int, tuple[int, ...]]] = []
        for k, order in enumerate(self.orders):
            if any(order[i] != i for i in range(self.begun, self.callers)):
                continue  # who has not begun is known by his turn
            placed = [0] * len(tasks)
            for i, seen in enumerate(tasks):
                placed[order[i] if i < self.callers else i] = each(seen, k)
            found.append((hash((shared_by_all, *placed, *sorted(other[k] for other in others))), order))
        return found

    # -- accesses ----------------------------------------------------------------------------------------------

    def stops(self, shared: Shared, write: bool, what: str) -> None:
        """Stop before an access, unless it joins the step under way. `run.joins` must follow."""
        if self.joins_next:
            self.joins_next = False
        else:
            self.run.announce(shared, write, what)

    def access(self, shared: Shared, write: bool, what: str) -> None:
        """An access that reads or changes just this, whatever else happens."""
        self.stops(shared, write, what)
        self.run.joins(shared, write)


def _no_item(item: object) -> None:
    """Nobody wants to be told."""


def _gone() -> None:
    """Nobody waits for a version whose run is over."""


def saw(value: T) -> T:
    if Memory.here is not None:
        Memory.here.saw(value)
    return value


def is_locked(run: Run) -> bool:
    return run.current is None or run.over or run.held > 0
