"""Every state that a level can reach, breadth first, so that the first counterexample found is a shortest one."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from hotswap_spec._model import Holds, Level, Transition, but

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
        self.groups = sorted(groups.items())
        self.symmetric = [(name, fields.index(name)) for name in level.symmetric if symmetry]

    def steps(self, state: Any) -> Iterator[Step]:
        """Every step that is possible in a state."""
        for group, at in self.groups:
            for i, thread in enumerate(state[group]):
                for one in at.get(thread[0], ()):
                    if one[1] is None or one[1](state, i):
                        yield one, i, one[2](state, i)

    def canonical(self, state: Any) -> Any:
        """The one state that stands for all that differ only in which of interchangeable threads is which."""
        for name, group in self.symmetric:
            if (in_order := tuple(sorted(state[group]))) != state[group]:
                state = but(state, name, in_order)
        return state

    def path(self, parents: dict[Any, Any], end: Any) -> list[Step]:
        """The steps by which `end` was reached. Threads keep their numbers, also where symmetric states were merged."""
        chain, steps = [end], list[Step]()
        while (state := parents[chain[-1]]) is not None:
            chain.append(state)
        state = chain.pop()
        for target in reversed(chain):
            steps.append(next(step for step in self.steps(state) if self.canonical(step[2]) == target))
            state = steps[-1][2]
        return steps


def explore(
    level: Level, start: Any, *, symmetry: bool = False, progress: Callable[[int], object] = lambda _: None
) -> Result:
    """Visit every reachable state once and check every property but leads-to; stops at the first failure."""
    program, result, collects = Program(level, start._fields, symmetry=symmetry), Result(), gc.isenabled()
    parents: dict[Any, Any] = {program.canonical(start): None}
    gc.disable()  # no state is part of a cycle, and to look for cycles takes a third of the time
    try:
        for state, what, *last in _failures(level, program, parents, result, progress):
            result.failure = Failure(what, start, [*program.path(parents, state), *last])
            break
    finally:
        result.states = len(parents)
        if collects:
            gc.enable()
    return result


def _failures(
    level: Level, program: Program, parents: dict[Any, Any], result: Result, progress: Callable[[int], object]
) -> Iterator[tuple[Any, ...]]:
    always, keeps, unseen = list(level.always.items()), list(level.steps.items()), dict(level.sometimes)
    frontier = list(parents)
    while frontier:
        following: list[Any] = []
        for state in frontier:
            for what, holds in always:
                if not holds(state):
                    yield state, what
            for what in [what for what, holds in unseen.items() if holds(state)]:
                result.seen.add(what)
                del unseen[what]
            stuck = True
            for step in program.steps(state):
                row, target = step[0][0], step[2]
                result.edges += 1
                result.done.add(row.name)
                stuck = stuck and row.fair == "may"
                for what, kept in keeps:
                    if not kept(state, row.name, target):
                        yield state, what, step
                if (target := program.canonical(target)) not in parents:
                    parents[target] = state
                    following.append(target)
            if stuck and any(thread[0] not in level.rest for group, _ in program.groups for thread in state[group]):
                yield state, "no deadlock: who is on the way can go on"
        frontier = following
        progress(len(parents))


def refute(level: Level, start: Any, claim: Holds) -> Failure | None:
    """A shortest way to a state where `claim` does not hold; None if there is none."""
    rest = level.rest.union(*(f"{one.row.at} {one.row.to}".split() for one in level.transitions))
    return explore(replace(level, always={"claim": claim}, sometimes={}, steps={}, rest=rest), start).failure
