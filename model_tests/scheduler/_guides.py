"""Who chooses: a given schedule, the throw of a die, or all schedules depth first (`_reduction.py` leaves some out)."""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from scheduler._errors import Nondeterministic
from scheduler._story import spelled

CHOICE_SHIFT: Final = 16
"""A step as a number: its choice, and below that what its task had announced: `2 * object`, plus 1 for a change."""
OBJECTS_MAX: Final = (1 << CHOICE_SHIFT - 1) - 1


class Did(NamedTuple):
    """What one step did."""

    footprint: tuple[int, ...] | None
    """`2 * object`, plus 1 if it was changed; None if it is not known."""
    needs: int = 0
    """The object that it could have waited for, with no other way to go on."""
    gives: int = 0
    """The objects for which it may have ended a wait, as bits."""
    tasks: int = 0
    """How many tasks there are since."""
    announced: int = 0
    """The access that it had announced, as in a footprint; 0 if it is the task's first step."""


class Pruned(Exception):
    """Every step that is possible sleeps: this schedule is another one in a different order."""


class Guide:
    """Makes the choices of one run after the other."""

    def script(self, careful: bool) -> list[int]:
        """The steps at the beginning of the coming run that need no choice, since an earlier run has made them.

        They are replayed without a look at what is possible, and what they do is not told; `choose` is asked from
        there on. None of them if the run is to be `careful`.
        """
        return []

    def choose(self, enabled: list[int]) -> int:
        """One of the choices. Raises `Pruned`."""
        raise NotImplementedError

    def made(self, did: Did) -> None:
        """What the step did that was chosen last."""

    def again(self) -> bool:
        """The run has ended. Whether there is another one to make."""
        return False

    def anew(self) -> None:
        """The search begins again."""


class Sampled(Guide):
    """Schedules by the throw of a die. Each run stays with a task for a while, as real ones do."""

    def __init__(self, seed: int, runs: int) -> None:
        self._random, self._left, self._last = random.Random(seed), runs, -1

    def choose(self, enabled: list[int]) -> int:
        if self._last not in enabled or self._random.random() < 0.25:
            self._last = self._random.choice(enabled)
        return self._last

    def again(self) -> bool:
        self._left, self._last = self._left - 1, -1
        return self._left > 0


class Scripted(Guide):
    """One schedule that is given; when it ends early, whoever ran last goes on."""

    def __init__(self, choices: list[int]) -> None:
        self._choices, self._at, self._last = choices, 0, -1

    def choose(self, enabled: list[int]) -> int:
        if self._at < len(self._choices):
            self._last = self._choices[self._at]
            if self._last not in enabled:
                raise Nondeterministic(
                    f"step {self._at + 1} of the schedule is {spelled([self._last])}, "
                    f"possible are {', '.join(spelled([choice]) for choice in enabled)}"
                )
        elif self._last not in enabled:
            self._last = enabled[0]
        self._at += 1
        return self._last
