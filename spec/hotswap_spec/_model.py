"""What a level of the specification is made of: threads that move through a table, and properties.

A *state* is a NamedTuple. Its threads stand in fields that are tuples of records; the first field of such a record,
`at`, is the place in its program where the thread is. A *table* says how threads go from place to place, one shared
access a step: who it is, and then in each line where a thread must be, the step (and whose effect it has, if that is
another's), where it goes, what guards the step, how it is scheduled, and what it means. A guard is a function of the
state and the thread's number. So is an effect, which says what a step does beside moving its thread: the function of
the step's name, or else the state's method. Where a step leads to one place or another, its effect moves the thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, NamedTuple, TypeVar

S = TypeVar("S", bound=tuple[Any, ...])
Guard = Callable[[Any, int], bool]
Effect = Callable[[Any, int], Any]
Holds = Callable[[Any], bool]


class Row(NamedTuple):
    """One line of a table, read. May: the step need never happen. Must: a thread that is never without such a step does
    one (weak fairness). Again: the step happens, if it is possible again and again (strong fairness)."""

    who: str
    at: str  # several places, if the step is the same
    name: str
    does: str  # the step that has the effect
    to: str  # several places, if it depends
    when: str  # `a, not b`: the guard a, and the opposite of the guard b
    fair: str  # may, must or again
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
    steps: Mapping[str, Callable[[Any, str, Any], bool]]  # of the state before, the step's name, the state after
    leads_to: Mapping[str, LeadsTo] = field(default_factory=dict)
    refuted: Mapping[str, Holds | LeadsTo] = field(default_factory=dict)  # one would like to believe it; it is false
    symmetric: tuple[str, ...] = ()  # fields whose threads are interchangeable

    def changed(self, name: str, guard: Guard | None = None, effect: Effect | None = None) -> Level:
        """The same level with another guard or effect for one step: a mutant."""
        new = [(one.row, guard or one.guard, effect or one.effect) for one in self.transitions]
        pairs = zip(self.transitions, new, strict=True)
        return replace(self, transitions=tuple(Transition(*b) if a.row.name == name else a for a, b in pairs))


def rows(table: str) -> Iterator[Row]:
    who = ""
    for line in table.strip().splitlines():
        if line.startswith(" "):
            at, step, *rest = re.split(" {2,}", line.strip())
            name, _, does = step.rstrip(")").partition(" (")
            yield Row(who, at, name, does or name, *rest)
        else:
            who = line


def read(table: str, guards: dict[str, Guard], effects: dict[str, Effect], state: type) -> tuple[Transition, ...]:
    """The transitions of a table; raises `KeyError` for a guard that is missing."""

    def guard(name: str) -> Guard:
        one = guards[name.removeprefix("not ")]
        return one if name in guards else lambda s, i: not one(s, i)

    def both(one: Guard, other: Guard) -> Guard:
        return lambda s, i: one(s, i) and other(s, i)

    def effect(row: Row, nothing: Effect = lambda s, _: s) -> Effect:
        does: Effect = effects[row.does] if row.does in effects else getattr(state, row.does, nothing)
        return does if " " in row.to else lambda s, i: does(go(s, f"{row.who}s", i, at=row.to), i)

    whens = [(row, [guard(name) for name in row.when.split(", ") if name != "-"]) for row in rows(table)]
    return tuple(Transition(row, reduce(both, when) if when else None, effect(row)) for row, when in whens)


def go(state: S, group: str, i: int, **change: Any) -> S:
    """The state in which the record of thread `i` of a group has changed so."""
    threads = getattr(state, group)
    return but(state, group, (*threads[:i], threads[i]._replace(**change), *threads[i + 1 :]))


def but(state: S, name: str, value: Any) -> S:
    """The state with another value in one field; twice as fast as `_replace`."""
    k = state._fields.index(name)  # type: ignore[attr-defined]
    return state._make((*state[:k], value, *state[k + 1 :]))  # type: ignore[attr-defined,no-any-return]
