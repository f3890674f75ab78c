"""Leads-to under fairness: can what was begun go on for ever without coming to its end?

Between a cause and its effect, an endless run stays in one strongly connected component of the states without the
effect in the end. It is fair if every thread that could always do a step it MUST do does such a step: that is, each
thread has in the component a step that it does, or a state in which there is nothing that it must do. If one thread
has neither, no run in the component is fair; if all have, there is a fair one, and it is shown: a lasso. Where a step
happens AGAIN (strong fairness), the states in which it is possible and not done are taken out of the component first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hotswap_spec._explore import Failure, Program, Step
from hotswap_spec._model import AGAIN, LeadsTo, Level

Graph = dict[Any, list[Step]]


def reachable(level: Level, start: Any) -> Graph:
    """Every reachable state and its steps; no two states are merged, since symmetry is unsound for leads-to."""
    program, graph, queue = Program(level, start._fields), Graph(), deque([start])
    while queue:
        if (state := queue.popleft()) not in graph:
            graph[state] = list(program.steps(state))
            queue.extend(step.state for step in graph[state] if step.state not in graph)
    return graph


def check(graph: Graph, start: Any, claim: LeadsTo) -> Failure | None:
    """A fair run in which the cause is never followed by the effect; None if there is none."""
    within = {state for state in graph if not claim.effect(state)}
    causes = {state for state in within if claim.cause(state)}
    pending = spread(causes, lambda state: [step.state for step in graph[state] if step.state in within])
    into: dict[Any, list[Any]] = {}
    for state in pending:
        for step in graph[state]:
            into.setdefault(step.state, []).append(state)
    for component in just(graph, pending):
        if (witnesses := fair(graph, component)) is not None:
            doomed = spread(component, lambda state: [one for one in into.get(state, ()) if one in pending])
            steps = walk(graph, start, (causes & doomed).__contains__, graph.__contains__)
            steps += walk(graph, last(start, steps), component.__contains__, pending.__contains__)
            return Failure("it need never come", start, steps, loop(graph, last(start, steps), component, witnesses))
    return None


def spread(seeds: Iterable[Any], following: Callable[[Any], Iterable[Any]]) -> set[Any]:
    """The seeds, and whatever follows from them."""
    found = set(seeds)
    todo = list(found)
    while todo:
        fresh = set(following(todo.pop())) - found
        found |= fresh
        todo.extend(fresh)
    return found


def just(graph: Graph, among: set[Any]) -> Iterator[set[Any]]:
    """The components in which every step that happens AGAIN, if it is possible at all, is done."""
    for component in components(graph, among):
        possible: dict[tuple[str, int], set[Any]] = {}
        done = set()
        for state in component:
            for step in graph[state]:
                if step.transition.row.fair == AGAIN:
                    possible.setdefault((step.transition.row.name, step.i), set()).add(state)
                    done |= {(step.transition.row.name, step.i)} if step.state in component else set()
        starved = {state for key, states in possible.items() if key not in done for state in states}
        yield from just(graph, component - starved) if starved else [component]


def fair(graph: Graph, component: set[Any]) -> list[tuple[Any, Step | None]] | None:
    """For each thread a state in which it need do nothing, or else a step that it does; None if one has neither."""
    busy: dict[tuple[str, int], int] = {}
    for state in component:
        for thread in {(step.transition.row.who, step.i) for step in graph[state] if step.transition.row.fair}:
            busy[thread] = busy.get(thread, 0) + 1
    witnesses: dict[tuple[str, int], tuple[Any, Step | None]] = {}
    for state in component:
        must = {(step.transition.row.who, step.i) for step in graph[state] if step.transition.row.fair}
        for thread in busy.keys() - must - witnesses.keys():
            witnesses[thread] = (state, None)
        for step in graph[state]:
            if step.state in component and step.transition.row.fair:
                witnesses.setdefault((step.transition.row.who, step.i), (state, step))
    return list(witnesses.values()) if busy.keys() <= witnesses.keys() else None


def loop(graph: Graph, start: Any, component: set[Any], witnesses: list[tuple[Any, Step | None]]) -> list[Step]:
    """A way round in the component that visits every witness."""
    steps: list[Step] = []
    for state, step in witnesses:
        steps += walk(graph, last(start, steps), state.__eq__, component.__contains__)
        steps += [step] if step else []
    return steps + walk(graph, last(start, steps), start.__eq__, component.__contains__)


def last(start: Any, steps: list[Step]) -> Any:
    return steps[-1].state if steps else start


def walk(graph: Graph, start: Any, there: Callable[[Any], bool], within: Callable[[Any], bool]) -> list[Step]:
    """A shortest way to a state that is `there`."""
    ways: dict[Any, list[Step]] = {start: []}
    queue = deque([start])
    while not there(state := queue.popleft()):
        for step in graph[state]:
            if step.state not in ways and within(step.state):
                ways[step.state] = [*ways[state], step]
                queue.append(step.state)
    return ways[state]


def components(graph: Graph, among: set[Any]) -> Iterator[set[Any]]:
    """The strongly connected components (Tarjan's algorithm, without recursion)."""
    index: dict[Any, int] = {}
    low: dict[Any, int] = {}
    stack: list[Any] = []
    open_: set[Any] = set()
    for root in among:
        work = [] if root in index else [(root, iter(graph[root]))]
        while work:
            state, steps = work[-1]
            if state not in index:
                index[state] = low[state] = len(index)
                stack.append(state)
                open_.add(state)
            for step in steps:
                if step.state in among and step.state not in index:
                    work.append((step.state, iter(graph[step.state])))
                    break
                if step.state in open_:
                    low[state] = min(low[state], index[step.state])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[state])
                if low[state] == index[state]:
                    component = {stack.pop()}
                    while state not in component:
                        component.add(stack.pop())
                    open_ -= component
                    yield component
