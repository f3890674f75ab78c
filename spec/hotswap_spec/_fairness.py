"""Leads-to under fairness: can what was begun go on for ever without coming to its end?

A run is fair if each thread, again and again, does a step or has none that it MUST do; and if each step that happens
AGAIN is done again and again, or some day is possible no more. The states from which a run can be fair are a greatest
fixed point (Emerson and Lei): keep those from which, for each such demand, a place that meets it can be reached
without leaving what is kept, until all can stay. From one that is left, the way to a place for the first demand, then
to one for the second, and so on, comes round in the end: that is a lasso, and it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, combinations
from typing import Any

from hotswap_spec._explore import Failure, Program, Step, refute
from hotswap_spec._model import AGAIN, MAY, LeadsTo, Level

Demand = tuple[str, int, str]
"""Of a thread: the step that happens AGAIN, by name; without a name, what it MUST do."""


class Graph:
    """Every reachable state, by number. No two are merged, since symmetry is unsound for leads-to."""

    def __init__(self, level: Level, start: Any) -> None:
        program, number = Program(level, start._fields), {start: 0}
        self.states, self.steps = [start], list[list[Step]]()
        self.into: list[list[int]] = [[]]
        self.moves: dict[
            Demand, dict[int, list[Step]]
        ] = {}  # what a demand asks for, by the state where it can be done
        for n, state in enumerate(self.states):  # which grows meanwhile
            self.steps.append([])
            for one, i, target in program.steps(state):
                if (m := number.setdefault(target, len(number))) == len(self.states):
                    self.states.append(target)
                    self.into.append([])
                self.into[m].append(n)
                self.steps[n].append(step := (one, i, m))
                if one.row.fair != MAY:
                    self.moves.setdefault((one.row.who, i, ""), {}).setdefault(n, []).append(step)
                if one.row.fair == AGAIN:
                    self.moves.setdefault((one.row.who, i, one.row.name), {}).setdefault(n, []).append(step)

    def meets(self, n: int, demand: Demand, kept: set[int]) -> Step | bool:
        """Whether a demand is met in a state: by doing nothing there (True), or by the step."""
        mine = self.moves[demand].get(n, ())
        return next((step for step in mine if step[2] in kept), not mine and not demand[2])

    def core(self, kept: set[int], demands: list[Demand]) -> set[int]:
        """The states from which a run can meet every demand again and again, and stay among them."""
        size = -1
        while len(kept) != size:
            size = len(kept)
            for demand in demands:
                kept = spread([n for n in kept if self.meets(n, demand, kept)], lambda n: self.into[n], kept)
        return kept

    def walk(self, start: int, there: Callable[[int], object], within: set[int]) -> list[Step]:
        """A shortest way to a state that is `there`; step by step, with the numbers of the states."""
        ways: dict[int, list[Step]] = {start: []}
        for n in (todo := [start]):
            if there(n):
                return ways[n]
            for step in self.steps[n]:
                if step[2] in within and step[2] not in ways:
                    ways[step[2]] = [*ways[n], step]
                    todo.append(step[2])
        raise ValueError("there is no way")


def spread(seeds: Iterable[int], following: Callable[[int], Iterable[int]], within: set[int]) -> set[int]:
    """The seeds, and whatever follows from them within."""
    found = set(seeds)
    for n in (todo := list(found)):
        fresh = {m for m in following(n) if m in within and m not in found}
        found |= fresh
        todo += fresh
    return found


def check(graph: Graph, claim: LeadsTo) -> Failure | None:
    """A fair run in which the cause is never followed by the effect; None if there is none."""
    without = {n for n, state in enumerate(graph.states) if not claim.effect(state)}
    causes = {n for n in without if claim.cause(graph.states[n])}
    pending = spread(causes, lambda n: [step[2] for step in graph.steps[n]], without)
    threads = [demand for demand in graph.moves if not demand[2]]
    again = [demand for demand in graph.moves if demand[2]]
    for done in chain.from_iterable(combinations(again, k) for k in range(len(again) + 1)):
        never = {n for demand in again if demand not in done for n in graph.moves[demand]}
        demands = [*threads, *done]
        if kept := graph.core(pending - never, demands):
            doomed = causes & spread(kept, lambda n: graph.into[n], pending)
            steps = graph.walk(0, doomed.__contains__, set(range(len(graph.states))))
            steps += graph.walk(steps[-1][2] if steps else 0, kept.__contains__, pending)
            return lasso(graph, steps, kept, demands)
    return None


def lasso(graph: Graph, steps: list[Step], kept: set[int], demands: list[Demand]) -> Failure:
    """Go on from where `steps` have led, from demand to demand, until it comes round."""
    n, rounds = steps[-1][2] if steps else 0, dict[int, int]()
    while n not in rounds:
        rounds[n] = len(steps)
        for demand in demands:
            steps += graph.walk(n, {m for m in kept if graph.meets(m, demand, kept)}.__contains__, kept)
            n = steps[-1][2] if steps else 0
            if isinstance(step := graph.meets(n, demand, kept), tuple):
                steps.append(step)
                n = step[2]
    shown = [(one, i, graph.states[m]) for one, i, m in steps]
    return Failure("it need never come", graph.states[0], shown[: rounds[n]], shown[rounds[n] :])


def counterexample(level: Level, what: str) -> Failure | None:
    """How a claim that is refuted fails, or how what should happen sometimes does happen: a shortest way."""
    claim: Any = level.refuted.get(what) or (lambda state: not level.sometimes[what](state))
    start = level.initial(**level.bounds["live" if isinstance(claim, LeadsTo) else "small"].size)
    found = check(Graph(level, start), claim) if isinstance(claim, LeadsTo) else refute(level, start, claim)
    return found and found._replace(what=what)
