"""Every state that a level can reach, breadth first, so that the first counterexample found is a shortest one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hotswap_spec._model import MAY, Holds, Level, Transition, threads


class Step(NamedTuple):
    """Thread number `i` does `transition`, which leads to `state`."""

    transition: Transition
    i: int
    state: Any

    @property
    def label(self) -> str:
        """Who does what: `caller 1 take`."""
        return f"{self.transition.row.who} {self.i + 1} {self.transition.row.name}"


class Failure(NamedTuple):
    """A property that does not hold, and a shortest way there; `loop` is what can go on for ever."""

    what: str
    start: Any
    steps: list[Step]
    loop: list[Step] | None = None


@dataclass
class Result:
    """What an exploration found: counts of distinct states and of steps, and the first failure, if any."""

    states: int = 0
    edges: int = 0
    failure: Failure | None = None
    seen: set[str] = field(default_factory=set)
    """Which `sometimes` were met."""
    done: set[str] = field(default_factory=set)
    """Which steps were done at all."""


class Program:
    """A level's transitions, looked up by field and place; and what makes two states one."""

    def __init__(self, level: Level, fields: tuple[str, ...], *, symmetry: bool = False) -> None:
        groups: dict[int, dict[str, list[Transition]]] = {}
        for one in level.transitions:
            for at in one.row.at.split():
                groups.setdefault(fields.index(f"{one.row.who}s"), {}).setdefault(at, []).append(one)
        self._groups = sorted(groups.items())
        self.symmetric = [fields.index(name) for name in level.symmetric] if symmetry else []

    def steps(self, state: Any) -> Iterator[Step]:
        """Every step that is possible in a state."""
        for group, at in self._groups:
            for i, thread in enumerate(state[group]):
                for one in at.get(thread[0], ()):
                    if one.guard is None or one.guard(state, i):
                        yield Step(one, i, one.effect(state, i))

    def canonical(self, state: Any) -> Any:
        """The one state that stands for all that differ only in which of interchangeable threads is which."""
        for group in self.symmetric:
            if len(state[group]) > 1:
                state = state._replace(**{state._fields[group]: tuple(sorted(state[group]))})
        return state


def explore(
    level: Level, start: Any, *, symmetry: bool = False, progress: Callable[[Result, int], None] | None = None
) -> Result:
    """Visit every reachable state once and check every property but leads-to; stops at the first failure."""
    program, result = Program(level, start._fields, symmetry=symmetry), Result()
    canonical = program.canonical if program.symmetric else None
    always, step_checks, sometimes = list(level.always.items()), list(level.steps.items()), dict(level.sometimes)
    start = canonical(start) if canonical else start
    parents: dict[Any, Any] = {start: None}
    frontier = [start]

    def fail(what: str, state: Any, last: Step | None = None) -> Result:
        result.states = len(parents)
        result.failure = Failure(what, start, [*path(program, parents, state), *([last] if last else [])])
        return result

    while frontier:
        following: list[Any] = []
        for state in frontier:
            for what, holds in always:
                if not holds(state):
                    return fail(what, state)
            for what in [what for what, holds in sometimes.items() if holds(state)]:
                result.seen.add(what)
                del sometimes[what]
            must = False
            for step in program.steps(state):
                result.edges += 1
                row, target = step.transition.row, step.state
                must = must or row.fair != MAY
                result.done.add(row.name)
                for what, keeps in step_checks:
                    if not keeps(state, row.name, target):
                        return fail(what, state, step)
                if canonical:
                    target = canonical(target)
                if target not in parents:
                    parents[target] = state
                    following.append(target)
            if not must and any(one.at not in level.rest for _, _, one in threads(state)):
                return fail("no deadlock: who is on the way can go on", state)
        frontier = following
        if progress:
            result.states = len(parents)
            progress(result, len(frontier))
    result.states = len(parents)
    return result


def path(program: Program, parents: dict[Any, Any], end: Any) -> list[Step]:
    """The steps by which `end` was reached. Threads keep their numbers, also where symmetric states were merged."""
    chain = [end]
    while (state := parents[chain[-1]]) is not None:
        chain.append(state)
    state, steps = chain[-1], []
    for target in reversed(chain[:-1]):
        step = next(one for one in program.steps(state) if program.canonical(one.state) == target)
        steps.append(step)
        state = step.state
    return steps


def refute(level: Level, start: Any, claim: Holds) -> Failure | None:
    """A shortest way to a state where `claim` does not hold; None if there is none."""
    only = Level(level.name, level.initial, level.bounds, level.transitions, level.rest, {"claim": claim}, {})
    failure = explore(only, start).failure
    return failure if failure and failure.what == "claim" else None
