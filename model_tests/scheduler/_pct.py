"""Probabilistic concurrency testing: schedules by random priorities (Burckhardt, Kothari, Musuvathi, Nagarakatte 2010).

Each task has a priority by chance, and the highest that can go on goes on. At `depth - 1` steps, chosen by chance among
the `steps` of a run, the task that would go on falls below all others. A defect that needs `depth` orders between steps
to come out right is then found by one run with a probability of at least

    1 / (n * k ** (depth - 1))      with n tasks and at most k steps

whatever the defect, and however many schedules there are. A wait that may end by itself (a timeout that passes, a
wake-up for no reason) counts as a task of its own here.
"""

from __future__ import annotations

import random

from scheduler._guides import Guide


class Pct(Guide):
    def __init__(self, runs: int, depth: int, steps: int, seed: int) -> None:
        if runs < 1 or depth < 1 or steps < depth - 1:
            raise ValueError(f"expected a run, a depth and as many steps as it has changes: {runs}, {depth}, {steps}")
        self._left, self._depth, self._steps = runs, depth, steps
        self._random = random.Random(seed)
        self._begin()

    def _begin(self) -> None:
        places = self._random.sample(range(1, self._steps + 1), self._depth - 1)
        self._falls = {place: priority for priority, place in enumerate(places)}
        """By the number of a step: the priority to which who would make it falls; the lower, the later it goes on."""
        self._priorities: dict[int, float] = {}
        """By choice. Those that have not fallen are above all that have."""
        self._at = 0

    def choose(self, enabled: list[int]) -> int:
        self._at += 1
        for choice in enabled:
            if choice not in self._priorities:
                self._priorities[choice] = self._depth + self._random.random()
        first = max(enabled, key=self._priorities.__getitem__)
        if self._at in self._falls:
            self._priorities[first] = self._falls[self._at]
            first = max(enabled, key=self._priorities.__getitem__)
        return first

    def again(self) -> bool:
        self._left -= 1
        self._begin()
        return self._left > 0
