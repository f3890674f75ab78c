"""Every state of a small program on the core: a search that knows where it has been.

Schedules grow too fast for three callers: one caller and one upgrader have some hundred classes, two have more than
300,000. Most of them meet again in the same states, so this search remembers states (a hash of each) and goes on from
each once. What makes two states one:

- what every task has seen of shared things, step by step, since it last said what it goes on with. Tasks do nothing but
  look, decide and change, so a task that has seen the same stands at the same place with the same in hand. What a
  function has seen is gone when it returns, but for what it returns. A task that has ended counts by its result;
- what every shared thing holds: locks, atomics, bags, parkers, and the attributes that `scheduler/_watch.py` lists.

*Steps* are larger than the scheduler's: one is made of accesses that can go before whatever others do meanwhile, one
that cannot, and accesses that can go after it (Lipton 1975).

- The first access under a lock joins the acquire: nobody can have touched the lock in between.
- The release joins what is before it.
- To read an atomic under the lock, to read an attribute under it, and to store what is there, is no step, since atomics
  and attributes change under the lock only.
- To wake somebody joins what is before it, if he has no permit yet: only who holds the lock gives permits, and he
  cannot go on without one, as no wait ends by itself. (Where waits do, it is a step.)
- To be inside begins with the pop of the lease and ends with its append. A call's beginning joins its first access and
  its end its last: to have begun earlier or ended later promises less.

That atomics change and parkers are woken under the lock only is checked: otherwise it is `Unannounced`. So is an
unlocked read of an atomic that was declared `quiet`, whose changes are no steps at all, and a change of a bag that was
declared `constant`. With `remembered(each_access=True)` each access is a step.

*Sleep sets* go together with the memory of states when each state keeps what slept at every visit, and a visit at which
less sleeps explores the difference (Godefroid 1996, chapter 5). They leave out steps, not states.

*Callers are alike*, so of the states that differ in who of them is where, one stands for all (`core_memory.py`).

What must hold is looked at in states (two inside an instance, say), or by a step that says what it reads; the vector
clocks of `scheduler/_races.py` know a path, not a state, and are of no use here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import pytest

from core_memory import Memory, Place, Snapshot, is_locked
from hotswap._core import Core
from hotswap._lifecycle import Lifecycle
from hotswap._protocol import HotReloadProtocol
from hotswap._version import Attempt, Lease, Version, Waiter
from scheduler import Limits, Program, Verdict, _watch
from scheduler._guides import CHOICE_SHIFT, Did, Guide, Pruned
from scheduler._merge import Guarded
from scheduler._reduction import RUNS_BETWEEN_CAREFUL, Footprint, as_bits, conflict
from scheduler._search import search
from scheduler._story import PORTS
from scheduler._watch import CHECKED, WATCHED, WatchedList, watched

PORTS.add(__file__)


class _Seen:
    """Around an attribute of a production class: who looks at it has seen what it holds."""

    def __init__(self, owner: type, name: str) -> None:
        self._inner: Any = owner.__dict__.get(name)
        self._is_read = hasattr(type(self._inner), "__get__")  # otherwise it is in the instance's dictionary
        self._name = name

    def __get__(self, owner: Any, kind: type) -> Any:
        if owner is None:
            return self
        value = self._inner.__get__(owner, kind) if self._is_read else owner.__dict__[self._name]
        if (memory := Memory.here) is not None and not memory.replays:
            # An unlocked look at a list is a step of its own, and comes after this.
            memory.saw(-4 if type(value) is WatchedList and not is_locked(memory.run) else self._told(value))
        return value

    def __set__(self, owner: Any, value: Any) -> None:
        if self._inner is None:
            owner.__dict__[self._name] = value
        else:
            self._inner.__set__(owner, value)

    def load(self, owner: Any) -> Any:
        """Without being seen to look."""
        if not self._is_read:
            return self._told(owner.__dict__.get(self._name))
        return getattr(self._inner, "_load", lambda o: self._inner.__get__(o, type(o)))(owner)

    def _told(self, value: Any) -> Any:
        """The queue has an order that matters, which other lists have not."""
        return tuple(value) if self._name == "_waiters" and value is not None else value


def _returns(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a function saw on its way is gone when it returns, but for what it returns."""

    def run(*args: Any, **kwargs: Any) -> Any:
        memory = Memory.here
        if memory is None:
            return function(*args, **kwargs)
        memory.enters()
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            memory.returns(type(error).__name__)
            raise
        memory.returns(value)
        return value

    return run


def _in_place(owner: type, name: str) -> Any:
    found = owner.__dict__[name]
    if isinstance(found, property):
        assert found.fget is not None
        return property(_returns(found.fget))
    return _returns(found)


def _named(make: Callable[..., None]) -> Callable[..., None]:
    """A constructor of things that have names."""

    def init(self: object, *args: Any, **kwargs: Any) -> None:
        if Memory.here is not None:
            Memory.here.made(self)
        make(self, *args, **kwargs)

    return init


def _access(shared: Guarded, write: bool) -> None:
    """To an attribute that is read without the lock; reads under it are ordered by it."""
    run = shared.run
    if Memory.here is not None and run.current is not None and (write or not run.held or Memory.each_access):
        Memory.here.access(shared, write, "changes" if write else "reads")


@contextmanager
def remembered(*, each_access: bool = False) -> Iterator[None]:
    """Production classes are watched, and what is seen of them is remembered. `each_access` is a step of its own."""
    with watched(checked=False), pytest.MonkeyPatch.context() as patch:
        patch.setattr(_watch, "_access", _access)
        places: list[tuple[type, Place]] = []
        for owner, name in (*WATCHED, *CHECKED):
            place = _Seen(owner, name)
            places.append((owner, place))
            patch.setattr(owner, name, place, raising=False)
        patch.setattr(Memory, "places", places)
        patch.setattr(Memory, "each_access", each_access)
        for owner in (Core, Lifecycle, HotReloadProtocol, Version):
            for name, found in list(owner.__dict__.items()):
                if isinstance(found, FunctionType | property) and not name.startswith("__"):
                    patch.setattr(owner, name, _in_place(owner, name))
        for owner in (Version, Lease, Waiter, Attempt):
            patch.setattr(owner, "__init__", _named(owner.__init__))
        yield


# The search -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    enabled: list[int]
    sleep: dict[int, Footprint]
    left: list[int]
    seen: Snapshot
    chosen: int = -1
    explored: dict[int, Footprint] = field(default_factory=dict)


class States(Guide):
    """Depth first, from each state once. In a careful run all that is seen must be what was seen before."""

    def __init__(self, *, alike: bool = True) -> None:
        self.alike = alike
        """Whether a state with callers that have changed places is the same state."""
        self.slept: dict[int, int] = {}
        """What slept at every visit, by state; as bits."""
        self.stand_for_all: set[int] = set()
        """If they are not alike: the states that there were if they were."""
        self.steps = 0
        self._path: list[_Node] = []
        self._made: list[int] = []
        """The steps between the states of the path, as a script has them."""
        self._depth = self._runs = 0

    def script(self, careful: bool) -> list[int]:
        self._runs += 1
        if careful or not self._runs % RUNS_BETWEEN_CAREFUL or not self._path:
            self._depth = 0
            return []
        self._depth = len(self._path) - 1
        assert Memory.here is not None
        Memory.here.replays = self._depth > 0
        return self._made[: self._depth]

    def choose(self, enabled: list[int]) -> int:
        memory = Memory.here
        assert memory is not None
        if self._depth == len(self._path):
            node = self._arrive(memory, enabled)
            self._path.append(node)
            if not node.left:
                raise Pruned
            node.chosen = node.left.pop()
        else:
            node = self._path[self._depth]
            assert node.enabled == enabled, "the same choices led elsewhere"
            if memory.replays:
                memory.restore(node.seen)
            assert memory.snapshot() == node.seen, "the same choices led to something else being seen"
        self._depth += 1
        return node.chosen

    def _arrive(self, memory: Memory, enabled: list[int]) -> _Node:
        sleep: dict[int, Footprint] = {}
        last = -1
        if self._path:
            before = self._path[-1]
            did, last = before.explored[before.chosen], before.chosen // 3
            asleep = before.sleep | {
                choice: what for choice, what in before.explored.items() if choice != before.chosen
            }
            sleep = {choice: what for choice, what in asleep.items() if choice // 3 != last and not conflict(what, did)}
        keys = memory.keys()
        if self.alike:
            key, order = min(keys)
        else:
            key, order = keys[0]
            self.stand_for_all.add(min(keys)[0])

        def named(choice: int) -> int:
            """As the task is named in the state that stands for this one."""
            task, how = divmod(choice, 3)
            return 3 * (order[task] if task < len(order) else task) + how

        now = as_bits(map(named, sleep))
        slept = self.slept.get(key)
        if slept is None:
            left = [choice for choice in enabled if choice not in sleep]
            self.slept[key] = now
        else:
            left = [choice for choice in enabled if slept >> named(choice) & 1 and choice not in sleep]
            self.slept[key] = slept & now
            sleep = {choice: what for choice, what in sleep.items() if slept >> named(choice) & 1}
        left.sort(key=lambda choice: (choice == 3 * last, -choice))  # who ran last goes on first
        return _Node(enabled.copy(), sleep, left, memory.snapshot())

    def made(self, did: Did) -> None:
        node = self._path[self._depth - 1]
        assert Memory.here is not None
        Memory.here.stepped(node.chosen)
        self.steps += node.chosen not in node.explored
        node.explored[node.chosen] = did.footprint
        del self._made[self._depth - 1 :]
        self._made.append(node.chosen << CHOICE_SHIFT | did.announced)

    def again(self) -> bool:
        self._depth = 0
        while self._path:
            node = self._path[-1]
            if node.left:
                node.chosen = node.left.pop()
                return True
            self._path.pop()
        return False


def states(program: Program, limits: Limits | None = None, *, alike: bool = True) -> tuple[Verdict, States]:
    """The verdict, and the states that there are. `schedules` are the runs that came to an end, not all schedules."""
    guide = States(alike=alike)
    return search(program, guide, "exhaustive in states", limits or Limits()), guide
