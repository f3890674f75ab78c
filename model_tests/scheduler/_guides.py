"""Who chooses: a given schedule, the throw of a die, or all schedules depth first (`_reduction.py` leaves some out)."""

from __future__ import annotations

import random
from typing import NamedTuple, Protocol

from scheduler._errors import Nondeterministic
from scheduler._story import spelled


class Did(NamedTuple):
    """What one step did."""

    footprint: tuple[int, ...] | None
    """`2 * object`, plus 1 if it was changed; None if it is not known."""
    needs: int = 0
    """The object that it could have waited for, with no other way to go on."""
    gives: int = 0
    """The object for which it may have ended a wait."""
    tasks: int = 0
    """How many tasks there are since."""


class Pruned(Exception):
    """Every step that is possible sleeps: this schedule is another one in a different order."""


class Guide(Protocol):
    """Makes the choices of one run after the other."""

    def choose(self, enabled: list[int]) -> int:
        """One of the choices. Raises `Pruned`."""

    def made(self, did: Did) -> None:
        """What the step did that was chosen last."""

    def again(self) -> bool:
        """The run has ended. Whether there is another one to make."""


class Sampled:
    """Schedules by the throw of a die. Each run stays with a task for a while, as real ones do."""

    def __init__(self, seed: int, runs: int) -> None:
        self._random, self._left, self._last = random.Random(seed), runs, -1

    def choose(self, enabled: list[int]) -> int:
        if self._last not in enabled or self._random.random() < 0.25:
            self._last = self._random.choice(enabled)
        return self._last

    def made(self, did: Did) -> None:
        """It does not matter."""

    def again(self) -> bool:
        self._left, self._last = self._left - 1, -1
        return self._left > 0


class Scripted:
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

    def made(self, did: Did) -> None:
        """Nothing is compared."""

    def again(self) -> bool:
        return False
