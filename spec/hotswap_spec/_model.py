"""What a level of the specification is made of: threads that move through a table, and properties.

A *state* is a NamedTuple. Its threads stand in fields that are tuples of records; the first field of such a record,
`at`, is the place in its program where the thread is. A *table* says how threads go from place to place, one shared
access a step: who it is, and then in each line where a thread must be, the step (and whose effect it has, if that is
another's), where it goes, what guards the step, how it is scheduled, and what it means. A guard is a function of the
state and the thread's number. The effect of a step is the function of its name, or else the method of the state; a
step that has neither only moves its thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, NamedTuple, TypeVar

MAY, MUST, AGAIN = "may", "must", "again"
"""How a step is scheduled. MAY: it need never happen. MUST: a thread that is never without such a step does one (weak
fairness). AGAIN: the step happens, if it is possible again and again (strong fairness)."""

S = TypeVar("S", bound=tuple[Any, ...])
Guard = Callable[[Any, int], bool]
Effect = Callable[[Any, int], Any]
Holds = Callable[[Any], bool]
Keeps = Callable[[Any, str, Any], bool]


class Row(NamedTuple):
    """One line of a table: a thread that is `at` a place may do this step `when` its guard holds, and goes `to`."""

    who: str
    at: str  # several places, if the step is the same
    name: str
    does: str  # the step that has the effect
    to: str  # several places, if it depends
    when: str
    fair: str
    says: str


class Transition(NamedTuple):
    row: Row
    guard: Guard | None
    effect: Effect


class LeadsTo(NamedTuple):
    """Whenever `cause` holds, `effect` holds then or later."""

    cause: Holds
    effect: Holds


class Bounds(NamedTuple):
    """What `initial` takes, and how many distinct states there are then, without symmetric ones."""

    size: Mapping[str, Any]
    states: int


@dataclass(frozen=True)
class Level:
    """One level of the specification, ready to be explored."""

    name: str
    initial: Callable[..., Any]
    bounds: Mapping[str, Bounds]  # `small` for every run, `live` for leads-to, `large` for the deeper run
    transitions: tuple[Transition, ...]
    rest: frozenset[str]  # where a thread may stay for good; if nobody must move and one is elsewhere: deadlock
    always: Mapping[str, Holds]
    sometimes: Mapping[str, Holds]  # none of `always` holds only because nothing happens
    steps: Mapping[str, Keeps] = field(default_factory=dict)  # of the state before, the step's name, the state after
    leads_to: Mapping[str, LeadsTo] = field(default_factory=dict)
    refuted: Mapping[str, Holds | LeadsTo] = field(default_factory=dict)  # one would like to believe it; it is false
    symmetric: tuple[str, ...] = ()  # fields whose threads are interchangeable

    def changed(self, name: str, guard: Guard | None = None, effect: Effect | None = None) -> Level:
        """The same level with another guard or effect for one step: a mutant."""
        swapped = tuple(
            Transition(one.row, guard or one.guard, effect or one.effect) if one.row.name == name else one
            for one in self.transitions
        )
        if swapped == self.transitions:
            raise ValueError(f"{self.name} has no step {name!r}")
        return replace(self, transitions=swapped)


def rows(table: str) -> Iterator[Row]:
    """The lines of a table, read: two spaces or more part the columns."""
    who = ""
    for line in table.strip().splitlines():
        if line.startswith(" "):
            at, step, *rest = re.split(" {2,}", line.strip())
            name, _, does = step.rstrip(")").partition(" (")
            yield Row(who, at, name, does or name, *rest)
        else:
            who = line


def read(table: str, guards: Mapping[str, Guard], effects: Mapping[str, Effect], state: type) -> tuple[Transition, ...]:
    """The transitions of a table. `a, not b` takes guard a and the opposite of guard b. Raises `TypeError` for a guard
    or an effect that is missing or left over."""
    lines = tuple(rows(table))
    named = {name.removeprefix("not ") for row in lines for name in row.when.split(", ")} - {"-"}
    if wrong := (named ^ guards.keys()) | (effects.keys() - {row.does for row in lines}):
        raise TypeError(f"in the table or outside of it only: {', '.join(sorted(wrong))}")

    def guard(name: str) -> Guard:
        return (lambda s, i: not guards[name[4:]](s, i)) if name.startswith("not ") else guards[name]

    def both(one: Guard, other: Guard) -> Guard:
        return lambda s, i: one(s, i) and other(s, i)

    def effect(row: Row) -> Effect:
        move: Effect = lambda s, i: go(s, f"{row.who}s", i, at=row.to)  # noqa: E731
        found: Effect = effects.get(row.does) or getattr(state, row.does, move)
        return found

    whens = [None if row.when == "-" else reduce(both, map(guard, row.when.split(", "))) for row in lines]
    return tuple(Transition(row, when, effect(row)) for row, when in zip(lines, whens, strict=True))


def go(state: S, group: str, i: int, **change: Any) -> S:
    """The state in which the record of thread `i` of a group has changed so."""
    threads = getattr(state, group)
    return but(state, group, (*threads[:i], threads[i]._replace(**change), *threads[i + 1 :]))


def but(state: S, name: str, value: Any) -> S:
    """The state with another value in one field; twice as fast as `_replace`."""
    k = state._fields.index(name)  # type: ignore[attr-defined]
    return state._make((*state[:k], value, *state[k + 1 :]))  # type: ignore[attr-defined,no-any-return]
