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
unlocked read of an atomic that was declared `quiet`, whose changes are no steps at all. What the scheduler itself
would join to a step (`scheduler/_merge.py`) it does not join in this search; in `explore` it joins accesses to bags.

*Sleep sets* go together with the memory of states when each state keeps what slept at every visit, and a visit at which
less sleeps explores the difference (Godefroid 1996, chapter 5). They leave out steps, not states.

What must hold is looked at in states (two inside an instance, say), or by a step that says what it reads; the vector
clocks of `scheduler/_races.py` know a path, not a state, and are of no use here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from core_memory import Memory, is_locked
from hotswap._core import Core
from hotswap._lifecycle import Lifecycle
from hotswap._protocol import HotReloadProtocol
from hotswap._version import Version
from scheduler import Limits, Program, Verdict
from scheduler._guides import Did, Guide, Pruned
from scheduler._reduction import Footprint, conflict
from scheduler._search import search
from scheduler._watch import CHECKED, WATCHED, WatchedList, watched


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
            memory.saw(-4 if type(value) is WatchedList and not is_locked(memory.run) else value)
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


class States(Guide):
    """Depth first, from each state once. No script: what a task sees on its way is taken down in every run."""

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
