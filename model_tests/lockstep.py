"""A level of the specification, advanced by named steps beside a running implementation.

What an operation must do is what its step in the table makes of the state; what it must be told is which of its steps
is possible there. Nothing here knows the protocol: it reads the same table that is explored and proved.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hotswap_spec._explore import changes
from hotswap_spec._model import Level


class NotInTheTable(AssertionError):
    """The implementation has done what the specification does not let anybody do there."""


def after(level: Level, state: Any, who: str, i: int, name: str) -> Any | None:
    """The state after that step of thread `i` of the group `who`; None if it is not possible."""
    for k, places in level.program:
        if state._fields[k] != f"{who}s":
            continue
        for row, when, effect in places.get(state[k][i][0], ()):
            if row.name == name and all(guard(state, i) == wanted for guard, wanted in when):
                return effect(state, i)
    return None


class Lockstep:
    """One level and where it is; counts the steps that it has taken."""

    def __init__(self, level: Level, state: Any, taken: Counter[str] | None = None) -> None:
        self.level, self.start, self.state = level, state, state
        self.taken = Counter[str]() if taken is None else taken

    def can(self, who: str, i: int, name: str) -> bool:
        return after(self.level, self.state, who, i, name) is not None

    def take(self, who: str, i: int, name: str) -> None:
        """Raises `NotInTheTable` if the step is not possible, or would break a property of the level."""
        state = after(self.level, self.state, who, i, name)
        if state is None:
            there = sorted(row.name for row, j, _ in self.level.next(self.state) if (row.who, j) == (who, i))
            raise NotInTheTable(
                f"{self.level.name}: {who} {i} cannot {name}; it can: {', '.join(there) or 'nothing'}; since the start:"
                + "\n".join(["", *changes(self.start, self.state)])
            )
        for what, kept in self.level.steps.items():
            assert kept(self.state, name, state), f"{what}: broken by {who} {i} {name}"
        for what, holds in self.level.always.items():
            assert holds(state), f"{what}: broken by {who} {i} {name}"
        self.state = state
        self.taken[name] += 1

    def take_if_possible(self, who: str, i: int, name: str) -> bool:
        if not self.can(who, i, name):
            return False
        self.take(who, i, name)
        return True

    def at(self, who: str, i: int) -> str:
        place: str = getattr(self.state, f"{who}s")[i][0]
        return place
