"""What a level of the specification is made of: threads that move through a table, and properties.

A *state* is a NamedTuple. Its threads stand in fields that are tuples of records; the first field of such a record,
`at`, is the place in its program where the thread is. A *table* says how threads go from place to place, one shared
access a step: who it is, and in each line where a thread must be, the step (and whose effect it has, if another's),
where it goes, when it may, how it is scheduled, and what that means. A *guard* is a function of the state and the
thread's number; `a, not b` is the guard a and the opposite of the guard b. An *effect* is what a step does beside
moving its thread; where a step leads to one place or another, it moves the thread. Both are looked up by name, in the
dictionary of those that are one line long, and then among the methods of the state. A step that is scheduled *may*
need never happen; a thread that is never without a step it *must* do does one (weak fairness); a step that is possible
*again* and again happens (strong fairness).
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

S = TypeVar("S", bound=tuple[Any, ...])
Guard = Callable[[Any, int], bool]
Effect = Callable[[Any, int], Any]
Holds = Callable[[Any], bool]
LeadsTo = tuple[Holds, Holds]  # whenever the first holds, the second holds then or later
Row = namedtuple("Row", "who at name does to when fair says")  # noqa: PYI024  one line is easier to read
"""A line of a table; `at` has several places if the step is the same there, and `to` if it depends."""
Step = tuple[Row, int, Any]
"""Thread number `i`, from 0, does what a row says, which leads to a state."""


@dataclass(frozen=True)
class Level:
    """One level of the specification, ready to be explored."""

    name: str
    state: Any
    table: str
    guards: dict[str, Guard]
    effects: dict[str, Effect]
    initial: Callable[..., Any]
    bounds: Mapping[str, tuple[dict[str, Any], int]]  # what `initial` takes; how many states, symmetric ones once
    rest: str  # where a thread may stay for good; if nobody must move and one is elsewhere: deadlock. Empty: anywhere
    always: dict[str, Any]
    sometimes: dict[str, Any]  # none of `always` holds only because nothing happens
    steps: Mapping[str, Callable[[Any, str, Any], bool]]  # of the state before, the step's name, the state after
    leads_to: Mapping[str, LeadsTo] = field(default_factory=dict)
    refuted: dict[str, Any] = field(default_factory=dict)  # one would like to believe it; it is false
    symmetric: tuple[str, ...] = ()  # fields whose threads are interchangeable

    @cached_property
    def rows(self) -> list[Row]:
        """The table, read: two spaces or more part the columns."""
        blocks = [block.splitlines() for block in re.split(r"\n(?=\S)", self.table.strip())]
        lines = [(who, *re.split(" {2,}", line.strip())) for who, *block in blocks for line in block]
        steps = [re.findall(r"\w+", step) for _, _, step, *_ in lines]
        return [Row(who, at, step[0], step[-1], *rest) for step, (who, at, _, *rest) in zip(steps, lines, strict=True)]

    @cached_property
    def program(self) -> list[tuple[int, dict[str, list[tuple[Row, list[tuple[Guard, bool]], Effect]]]]]:
        """What threads may do, by field and place. Raises `KeyError` for a guard or an effect that is missing."""
        found: dict[int, dict[str, list[tuple[Row, list[tuple[Guard, bool]], Effect]]]] = {}
        guards, effects = vars(self.state) | self.guards, vars(self.state) | self.effects
        for row in self.rows:
            names = [name for name in row.when.split(", ") if name != "-"]
            when = [(guards[name.removeprefix("not ")], not name.startswith("not ")) for name in names]
            does = effects.get(row.name, lambda s, _: s) if row.does == row.name else effects[row.does]
            k = self.state._fields.index(f"{row.who}s")
            for at in row.at.split():
                found.setdefault(k, {}).setdefault(at, []).append((row, when, moving(k, row.to, does)))
        return sorted(found.items())

    def next(self, state: Any) -> Iterator[Step]:
        """Every step that is possible in a state."""
        for k, places in self.program:
            for i, thread in enumerate(state[k]):
                for row, when, effect in places.get(thread[0], ()):
                    for guard, wanted in when:
                        if guard(state, i) != wanted:
                            break
                    else:
                        yield row, i, effect(state, i)

    def canonical(self, state: Any, before: Any = None) -> Any:
        """The one state for all that differ only in which symmetric thread is which; `before`, if given, is one."""
        for name in self.symmetric:
            group = getattr(state, name)
            if (before is None or group is not getattr(before, name)) and (in_order := tuple(sorted(group))) != group:
                state = state._replace(**{name: in_order})
        return state


def moving(k: int, to: str, effect: Effect) -> Effect:
    return effect if " " in to else lambda s, i: effect(put(s, k, put(s[k], i, put(s[k][i], 0, to))), i)


def put(items: S, i: int, item: Any) -> S:
    """The same tuple with another item at `i`; by hand, for speed."""
    changed = [*items]
    changed[i] = item
    return tuple.__new__(type(items), changed)


def go(state: S, group: str, i: int, **change: Any) -> S:
    """The state in which the record of thread `i` of a group has changed so."""
    k = state._fields.index(group)  # type: ignore[attr-defined]
    one = state[k][i]
    record = tuple.__new__(type(one), map(change.pop, one._fields, one))
    if change:
        raise TypeError(f"{type(one).__name__} has no {', '.join(change)}")
    return put(state, k, put(state[k], i, record))


def changed(before: tuple[Any, ...], after: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    """The records of a group that a step has changed: as they were, and as they are."""
    return [] if before is after else [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]


def first(group: str, places: str) -> Holds:
    return lambda s: getattr(s, group)[0].at in places.split()
