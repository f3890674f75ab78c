"""Every state that a level can reach, breadth first, so that the first counterexample found is a shortest one."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from hotswap_spec._model import MAY, Holds, Level, Transition, but

Step = tuple[Transition, int, Any]
"""Thread number `i`, from 0, does a transition, which leads to a state."""


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
    seen: set[str] = field(default_factory=set)  # which `sometimes` were met
    done: set[str] = field(default_factory=set)  # which steps were done at all


class Program:
    """A level's transitions, looked up by field and place; and what makes two states one."""

    def __init__(self, level: Level, fields: tuple[str, ...], *, symmetry: bool = False) -> None:
        groups: dict[int, dict[str, list[Transition]]] = {}
        for one in level.transitions:
            for at in one.row.at.split():
                groups.setdefault(fields.index(f"{one.row.who}s"), {}).setdefault(at, []).append(one)
        self._groups = sorted(groups.items())
        self._symmetric = [(name, fields.index(name)) for name in level.symmetric if symmetry]
        self._rest, self._threads = level.rest, sorted(groups)

    def steps(self, state: Any) -> Iterator[Step]:
        """Every step that is possible in a state."""
        for group, at in self._groups:
            for i, thread in enumerate(state[group]):
                for one in at.get(thread[0], ()):
                    if one[1] is None or one[1](state, i):
                        yield one, i, one[2](state, i)

    def canonical(self, state: Any) -> Any:
        """The one state that stands for all that differ only in which of interchangeable threads is which."""
        for name, group in self._symmetric:
            if (in_order := tuple(sorted(state[group]))) != state[group]:
                state = but(state, name, in_order)
        return state

    def rests(self, state: Any) -> bool:
        return all(thread[0] in self._rest for group in self._threads for thread in state[group])


def explore(
    level: Level, start: Any, *, symmetry: bool = False, progress: Callable[[int], None] = lambda _: None
) -> Result:
    """Visit every reachable state once and check every property but leads-to; stops at the first failure."""
    collects = gc.isenabled()
    gc.disable()  # nothing here is cyclic, and looking for what is takes a third of the time
    try:
        return _explore(level, Program(level, start._fields, symmetry=symmetry), start, progress)
    finally:
        if collects:
            gc.enable()


def _explore(level: Level, program: Program, start: Any, progress: Callable[[int], None]) -> Result:
    result, start = Result(), program.canonical(start)
    always, step_checks, sometimes = list(level.always.items()), list(level.steps.items()), dict(level.sometimes)
    parents: dict[Any, Any] = {start: None}
    frontier = [start]

    def fail(what: str, state: Any, *last: Step) -> Result:
        result.states, result.failure = len(parents), Failure(what, start, [*path(program, parents, state), *last])
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
                (row, *_), _, target = step
                must = must or row.fair != MAY
                result.done.add(row.name)
                for what, keeps in step_checks:
                    if not keeps(state, row.name, target):
                        return fail(what, state, step)
                target = program.canonical(target)
                if target not in parents:
                    parents[target] = state
                    following.append(target)
            if not must and not program.rests(state):
                return fail("no deadlock: who is on the way can go on", state)
        frontier = following
        progress(len(parents))
    result.states = len(parents)
    return result


def path(program: Program, parents: dict[Any, Any], end: Any) -> list[Step]:
    """The steps by which `end` was reached. Threads keep their numbers, also where symmetric states were merged."""
    chain, steps = [end], []
    while (state := parents[chain[-1]]) is not None:
        chain.append(state)
    state = chain.pop()
    while chain:
        target = chain.pop()
        steps.append(next(step for step in program.steps(state) if program.canonical(step[2]) == target))
        state = steps[-1][2]
    return steps


def refute(level: Level, start: Any, claim: Holds) -> Failure | None:
    """A shortest way to a state where `claim` does not hold; None if there is none."""
    only = replace(level, always={"claim": claim}, sometimes={}, steps={})
    failure = explore(only, start).failure
    return failure if failure and failure.what == "claim" else None
