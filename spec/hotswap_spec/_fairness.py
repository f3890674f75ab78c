"""Leads-to under fairness: can what was begun go on for ever without coming to its end?

A run is fair if each thread, again and again, does a step that it must do or has none; and if each step that happens
again is done again and again, or some day is possible no more. The states from which a run can be fair are a greatest
fixed point (Emerson and Lei): keep those from which, for each such demand, a place that meets it can be reached among
those that are kept. From one that is left, the way from demand to demand comes round in the end: a lasso, shown.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from itertools import chain, combinations
from typing import Any

from hotswap_spec._explore import Exploration, Failure
from hotswap_spec._model import Holds, LeadsTo, Level, Step

Demand = tuple[str, int, str]  # of a thread: the step that happens again, by name; without a name, what it must do


class Fairness:
    def __init__(self, level: Level, start: Any) -> None:
        alone = replace(
            level, always={}, sometimes={}, steps={}, rest="", symmetric=()
        )  # symmetry is wrong for leads-to
        self.found = Exploration(alone, start)
        number = {state: n for n, state in enumerate(self.found.states)}
        self.steps = [[(row, i, number[to]) for row, i, to in level.next(state)] for state in number]
        self.into: list[list[Step]] = [[] for _ in number]
        self.moves: dict[Demand, dict[int, list[Step]]] = defaultdict(lambda: defaultdict(list))
        for n, (row, i, m) in ((n, step) for n, steps in enumerate(self.steps) for step in steps):
            self.into[m].append((row, i, n))
            for name in {"may": (), "must": ("",), "again": ("", row.name)}[row.fair]:
                self.moves[row.who, i, name][n].append((row, i, m))

    def check(self, what: str, cause: Holds, effect: Holds) -> Failure | None:
        """A fair run in which the cause is never followed by the effect; None if there is none."""
        without = {n for n, state in enumerate(self.found.states) if not effect(state)}
        pending = reach([n for n in without if cause(self.found.states[n])], self.steps, without)
        again = [demand for demand in self.moves if demand[2]]
        for done in chain.from_iterable(combinations(again, k) for k in range(len(again) + 1)):
            demands = [demand for demand in self.moves if not demand[2] or demand in done]
            never = {n for demand in again if demand not in done for n in self.moves[demand]}
            if kept := self.core(pending.keys() - never, demands):
                return self.lasso(what, *trail(pending, kept), kept, demands)
        return None

    def core(self, kept: set[int], demands: list[Demand]) -> set[int]:
        """The states from which a run can meet every demand again and again, and stay among them."""
        size = -1
        while len(kept) != size:
            size = len(kept)
            for demand in demands:
                kept = set(reach([n for n in kept if self.meets(n, demand, kept)], self.into, kept))
        return kept

    def meets(self, n: int, demand: Demand, kept: set[int]) -> Step | bool:
        """Whether a demand is met in a state: by doing nothing there (True), or by the step."""
        mine = self.moves[demand].get(n)
        return next((step for step in mine if step[2] in kept), False) if mine else not demand[2]

    def lasso(self, what: str, begin: int, steps: list[Step], kept: set[int], demands: list[Demand]) -> Failure:
        """Go on from where `steps` have led, from demand to demand, until it comes round."""
        n, rounds = steps[-1][2] if steps else begin, dict[int, int]()
        while n not in rounds:
            rounds[n] = len(steps)
            for demand in demands:
                steps += trail(reach([n], self.steps, kept), {m for m in kept if self.meets(m, demand, kept)})[1]
                n = steps[-1][2] if steps else n
                step = self.meets(n, demand, kept)
                steps, n = ([*steps, step], step[2]) if isinstance(step, tuple) else (steps, n)
        shown, prefix = [(row, i, self.found.states[n]) for row, i, n in steps], self.found.path(begin)
        return Failure(what, self.found.states[0], [*prefix, *shown[: rounds[n]]], shown[rounds[n] :])


def reach(seeds: Iterable[int], steps: list[list[Step]], within: Container[int]) -> dict[int, Step | None]:
    """What can be reached from the seeds, nearest first, and the step by which it is, with where that comes from."""
    ways: dict[int, Step | None] = dict.fromkeys(seeds)
    for n in (todo := list(ways)):
        for row, i, m in steps[n]:
            if m in within and m not in ways:
                ways[m] = row, i, n
                todo.append(m)
    return ways


def trail(ways: dict[int, Step | None], there: Container[int]) -> tuple[int, list[Step]]:
    """The seed, and the steps from it to the nearest state that is `there`."""
    n, steps = next(n for n in ways if n in there), list[Step]()
    while came := ways[n]:
        steps.insert(0, (came[0], came[1], n))
        n = came[2]
    return n, steps


def leads_to(level: Level, start: Any, claims: Mapping[str, LeadsTo]) -> list[Failure]:
    """The claims that do not hold, each with a fair run against it."""
    fairness = Fairness(level, start)
    return [failure for what, claim in claims.items() if (failure := fairness.check(what, *claim))]


def counterexample(level: Level, what: str) -> Failure | None:
    """How a claim that is refuted fails, or how what should happen sometimes does happen: a shortest way."""
    claim: Any = level.refuted.get(what) or (lambda state: not level.sometimes[what](state))
    if isinstance(claim, tuple):
        return next(iter(leads_to(level, level.initial(**level.bounds["live"][0]), {what: claim})), None)
    only = replace(level, always={what: claim}, sometimes={}, steps={}, rest="")
    return Exploration(only, level.initial(**level.bounds["small"][0])).failure
