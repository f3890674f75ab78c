"""What a level of the specification is made of: threads that move through a table, and properties.

A *state* is a NamedTuple. Its threads stand in fields that are tuples of records; the first field of such a record,
`at`, is the place in its program where the thread is. A *table* says how threads go from place to place, one shared
access a step. A row names its *guard*, a function of the state and the thread's number, and its *effect*, the method
of the state that bears the row's name; a row without such a method only moves its thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

MAY, MUST, AGAIN = range(3)
"""How a step is scheduled. MAY: it need never happen. MUST: a thread that is never without such a step does one (weak
fairness). AGAIN: the step happens, if it is possible again and again (strong fairness)."""

T = TypeVar("T")
Guard = Callable[[Any, int], bool]
Effect = Callable[[Any, int], Any]
Holds = Callable[[Any], bool]


class Row(NamedTuple):
    """One line of a table: a thread that is `at` a place may do this step `when` its guard holds, and goes `to`."""

    who: str
    at: str  # several places, if the step is the same
    name: str
    to: str  # several places, if it depends
    when: str
    says: str
    fair: int = MUST
    does: str = ""  # the method, where it is that of another step


class Transition(NamedTuple):
    row: Row
    guard: Guard | None
    effect: Effect


class LeadsTo(NamedTuple):
    """Whenever `cause` holds, `effect` holds then or later."""

    cause: Holds
    effect: Holds


class Refuted(NamedTuple):
    """What one would like to believe and is false: as a state's property, or a leads-to; with its counterexample."""

    claim: Holds | LeadsTo
    counterexample: str


@dataclass(frozen=True)
class Level:
    """One level of the specification, ready to be explored."""

    name: str
    initial: Callable[..., Any]
    bounds: Mapping[str, Mapping[str, Any]]
    """What `initial` takes: `small` for every run, `live` for leads-to, `large` for the deeper run."""
    transitions: tuple[Transition, ...]
    rest: frozenset[str]
    """Places where a thread may stay for good. If nobody must move and somebody is elsewhere, that is a deadlock."""
    always: Mapping[str, Holds]
    sometimes: Mapping[str, Holds]
    steps: Mapping[str, Callable[[Any, str, Any], bool]] = field(default_factory=dict)
    """What every step keeps, a property of the state before, the step's name, and the state after."""
    leads_to: Mapping[str, LeadsTo] = field(default_factory=dict)
    refuted: Mapping[str, Refuted] = field(default_factory=dict)
    symmetric: tuple[str, ...] = ()
    """Fields whose threads are interchangeable."""

    def changed(self, name: str, guard: Guard | None = None, effect: Effect | None = None) -> Level:
        """The same level with another guard or effect for one step: a mutant."""
        if not any(one.row.name == name for one in self.transitions):
            raise ValueError(f"{self.name} has no step {name!r}")
        swap = (
            Transition(one.row, guard or one.guard, effect or one.effect) if one.row.name == name else one
            for one in self.transitions
        )
        return replace(self, transitions=tuple(swap))


def read(table: tuple[Row, ...], guards: Mapping[str, Guard], state: type) -> tuple[Transition, ...]:
    """The transitions of a table; raises `TypeError` for a guard that is missing or left over."""
    named = {row.when for row in table if row.when}
    if wrong := named ^ guards.keys():
        raise TypeError(f"in the table or among the guards only: {', '.join(sorted(wrong))}")
    return tuple(
        Transition(row, guards.get(row.when), getattr(state, row.does or row.name, move(row))) for row in table
    )


def move(row: Row) -> Effect:
    """The effect of a step that changes nothing but the place of its thread."""
    group = f"{row.who}s"
    return lambda s, i: s._replace(**{group: put(getattr(s, group), i, getattr(s, group)[i]._replace(at=row.to))})


def put(items: tuple[T, ...], i: int, item: T) -> tuple[T, ...]:
    """The same tuple with another item at `i`."""
    return (*items[:i], item, *items[i + 1 :])


def threads(state: Any) -> Iterator[tuple[str, int, Any]]:
    """Every thread of a state: what it is, its number from 0, and its record."""
    for name, value in zip(state._fields, state, strict=True):
        if isinstance(value, tuple) and value and hasattr(value[0], "at"):
            yield from ((name.removesuffix("s"), i, one) for i, one in enumerate(value))
