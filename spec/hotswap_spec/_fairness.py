"""Leads-to under fairness: can what was begun go on for ever without coming to its end?

A run is fair if each thread, again and again, does a step or has none that it must do; and if each step that happens
again is done again and again, or some day is possible no more. The states from which a run can be fair are a greatest
fixed point (Emerson and Lei): keep those from which, for each such demand, a place that meets it can be reached
without leaving what is kept, until all can stay. From one that is left, the way to a place for the first demand, then
to one for the second, and so on, comes round in the end: that is a lasso, and it is shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain, combinations
from typing import Any

from hotswap_spec._explore import Failure, Program, Step, refute
from hotswap_spec._model import LeadsTo, Level

Demand = tuple[str, int, str]
"""Of a thread: the step that happens again, by name; without a name, what it must do."""


class Graph:
    """Every reachable state, by number. No two are merged, since symmetry is unsound for leads-to."""

    def __init__(self, level: Level, start: Any) -> None:
        program, number = Program(level, start._fields), {start: 0}
        self.states, self.steps, self.into = [start], list[list[Step]](), defaultdict[int, list[int]](list)
        self.moves = defaultdict[Demand, defaultdict[int, list[Step]]](lambda: defaultdict(list))
        for n, state in enumerate(self.states):  # which grows meanwhile
            self.steps.append([])
            for one, i, target in program.steps(state):
                if (m := number.setdefault(target, len(number))) == len(self.states):
                    self.states.append(target)
                self.into[m].append(n)
                self.steps[n].append((one, i, m))
                for name in {"may": (), "must": ("",), "again": ("", one.row.name)}[one.row.fair]:
                    self.moves[one.row.who, i, name][n].append((one, i, m))

    def meets(self, n: int, demand: Demand, kept: set[int]) -> Step | bool:
        """Whether a demand is met in a state: by doing nothing there (True), or by the step."""
        mine = self.moves[demand].get(n)
        return next((step for step in mine if step[2] in kept), False) if mine else not demand[2]

    def core(self, kept: set[int], demands: list[Demand]) -> set[int]:
        """The states from which a run can meet every demand again and again, and stay among them."""
        size = -1
        while len(kept) != size:
            size = len(kept)
            for demand in demands:
                kept = spread([n for n in kept if self.meets(n, demand, kept)], self.into.__getitem__, kept)
        return kept

    def walk(self, start: int, there: set[int], within: set[int]) -> list[Step]:
        """A shortest way to a state that is `there`."""
        ways: dict[int, list[Step]] = {start: []}
        for n in (todo := [start]):
            if n in there:
                return ways[n]
            for step in self.steps[n]:
                if step[2] in within and step[2] not in ways:
                    ways[step[2]] = [*ways[n], step]
                    todo.append(step[2])
        raise ValueError("there is no way")

    def check(self, claim: LeadsTo) -> Failure | None:
        """A fair run in which the cause is never followed by the effect; None if there is none."""
        without = {n for n, state in enumerate(self.states) if not claim.effect(state)}
        causes = {n for n in without if claim.cause(self.states[n])}
        pending = spread(causes, lambda n: [step[2] for step in self.steps[n]], without)
        again = [demand for demand in self.moves if demand[2]]
        for done in chain.from_iterable(combinations(again, k) for k in range(len(again) + 1)):
            demands = [demand for demand in self.moves if not demand[2] or demand in done]
            never = {n for demand in again if demand not in done for n in self.moves[demand]}
            if kept := self.core(pending - never, demands):
                steps = self.walk(
                    0, causes & spread(kept, self.into.__getitem__, pending), set(range(len(self.states)))
                )
                steps += self.walk(last(steps), kept, pending)
                return self.lasso(steps, kept, demands)
        return None

    def lasso(self, steps: list[Step], kept: set[int], demands: list[Demand]) -> Failure:
        """Go on from where `steps` have led, from demand to demand, until it comes round."""
        rounds: dict[int, int] = {}
        while last(steps) not in rounds:
            rounds[last(steps)] = len(steps)
            for demand in demands:
                steps += self.walk(last(steps), {n for n in kept if self.meets(n, demand, kept)}, kept)
                step = self.meets(last(steps), demand, kept)
                steps += [step] if isinstance(step, tuple) else []
        shown, round_ = [(one, i, self.states[n]) for one, i, n in steps], rounds[last(steps)]
        return Failure("it need never come", self.states[0], shown[:round_], shown[round_:])


def last(steps: list[Step]) -> int:
    return steps[-1][2] if steps else 0


def spread(seeds: Iterable[int], following: Callable[[int], Iterable[int]], within: set[int]) -> set[int]:
    """The seeds, and whatever follows from them within."""
    found = set(seeds)
    for n in (todo := list(found)):
        fresh = {m for m in following(n) if m in within} - found
        found |= fresh
        todo += fresh
    return found


def counterexample(level: Level, what: str) -> Failure | None:
    """How a claim that is refuted fails, or how what should happen sometimes does happen: a shortest way."""
    claim: Any = level.refuted.get(what) or (lambda state: not level.sometimes[what](state))
    start = level.initial(**level.bounds["live" if isinstance(claim, LeadsTo) else "small"].size)
    found = Graph(level, start).check(claim) if isinstance(claim, LeadsTo) else refute(level, start, claim)
    return found and found._replace(what=what)
