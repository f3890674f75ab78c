"""Leads-to under fairness: can what was begun go on for ever without coming to its end?

A run is fair if each thread, again and again, does a step or has none that it must do; and if each step that happens
again is done again and again, or some day is possible no more. The states from which a run can be fair are a greatest
fixed point (Emerson and Lei): keep those from which, for each such demand, a place that meets it can be reached
without leaving what is kept, until all can stay. From one that is left, the way to a place for the first demand, then
to one for the second, and so on, comes round in the end: that is a lasso, and it is shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations
from typing import Any

from hotswap_spec._explore import Exploration, Failure, refute
from hotswap_spec._model import LeadsTo, Level, Step

Demand = tuple[str, int, str]
"""Of a thread: the step that happens again, by name; without a name, what it must do."""


class Fairness:
    """What is asked of a run through the states of a live exploration, and whether it can be."""

    def __init__(self, found: Exploration) -> None:
        self.states, self.steps, self.into = found.states, found.steps, [list[Step]() for _ in found.states]
        self.moves = defaultdict[Demand, defaultdict[int, list[Step]]](lambda: defaultdict(list))
        for n, (row, i, m) in ((n, step) for n, steps in enumerate(self.steps) for step in steps):
            self.into[m].append((row, i, n))
            for name in {"may": (), "must": ("",), "again": ("", row.name)}[row.fair]:
                self.moves[row.who, i, name][n].append((row, i, m))

    def check(self, claim: LeadsTo) -> Failure | None:
        """A fair run in which the cause is never followed by the effect; None if there is none."""
        cause, effect = claim
        without = {n for n, state in enumerate(self.states) if not effect(state)}
        causes = [n for n in without if cause(self.states[n])]
        pending = set(reach(causes, self.steps, without))
        again = [demand for demand in self.moves if demand[2]]
        for done in chain.from_iterable(combinations(again, k) for k in range(len(again) + 1)):
            demands = [demand for demand in self.moves if not demand[2] or demand in done]
            never = {n for demand in again if demand not in done for n in self.moves[demand]}
            if kept := self.core(pending - never, demands):
                doomed = reach(kept, self.into, pending).keys() & causes
                return self.lasso(walk(walk([], self.steps, doomed), self.steps, kept, pending), kept, demands)
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

    def lasso(self, steps: list[Step], kept: set[int], demands: list[Demand]) -> Failure:
        """Go on from where `steps` have led, from demand to demand, until it comes round."""
        rounds: dict[int, int] = {}
        while last(steps) not in rounds:
            rounds[last(steps)] = len(steps)
            for demand in demands:
                steps = walk(steps, self.steps, {n for n in kept if self.meets(n, demand, kept)}, kept)
                step = self.meets(last(steps), demand, kept)
                steps += [step] if isinstance(step, tuple) else []
        shown, begin = [(row, i, self.states[n]) for row, i, n in steps], rounds[last(steps)]
        return Failure("it need never come", self.states[0], shown[:begin], shown[begin:])


Ways = dict[int, tuple[int, Step] | None]


def reach(seeds: Iterable[int], steps: Sequence[list[Step]], within: Container[int]) -> Ways:
    """What can be reached from the seeds, nearest first, and by which step from where."""
    ways: Ways = dict.fromkeys(seeds)
    for n in (todo := list(ways)):
        for step in steps[n]:
            if step[2] in within and step[2] not in ways:
                ways[step[2]] = n, step
                todo.append(step[2])
    return ways


def walk(
    steps: list[Step], graph: list[list[Step]], there: Container[int], within: Container[int] | None = None
) -> list[Step]:
    """The steps, and from where they lead a shortest way to a state that is `there`."""
    ways = reach([last(steps)], graph, range(len(graph)) if within is None else within)
    n, more = next(n for n in ways if n in there), list[Step]()
    while came := ways[n]:
        n, _ = came
        more.append(came[1])
    return steps + more[::-1]


def last(steps: list[Step]) -> int:
    return steps[-1][2] if steps else 0


def leads_to(level: Level, start: Any, claims: Mapping[str, LeadsTo]) -> list[Failure]:
    """The claims that do not hold, each with a fair run against it."""
    fairness = Fairness(Exploration(replace(level, always={}, steps={}, sometimes={}), start, live=True))
    found = ((what, fairness.check(claim)) for what, claim in claims.items())
    return [failure._replace(what=what) for what, failure in found if failure]


def counterexample(level: Level, what: str) -> Failure | None:
    """How a claim that is refuted fails, or how what should happen sometimes does happen: a shortest way."""
    claim: Any = level.refuted.get(what) or (lambda state: not level.sometimes[what](state))
    if isinstance(claim, tuple):
        return next(iter(leads_to(level, level.initial(**level.bounds["live"][0]), {what: claim})), None)
    found = refute(level, level.initial(**level.bounds["small"][0]), claim)
    return found and found._replace(what=what)
