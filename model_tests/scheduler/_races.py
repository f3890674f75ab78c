"""Whether plain attributes are ordered by announced steps: what the reduction takes for granted, checked.

Sleep sets leave out a schedule when another one orders every two conflicting *announced* accesses alike. That is sound
only if everything else that tasks share is ordered by those: an attribute under a lock, say, or an object that goes
from hand to hand through a bag. Here each task and each object carries a vector clock: how much of every task's past
it has seen. A read learns from the last change; a change learns from all reads and changes before it. So the
clocks order exactly the steps whose order the reduction keeps. A plain access must have seen the last change of
its attribute, and a change all reads as well; otherwise `Unannounced` names the two.

A pair that is unordered is so in every schedule of the same class, so looking at one schedule of each is enough.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from scheduler._errors import Unannounced

Clock = dict[int, int]


def learn(clock: Clock, other: Clock) -> None:
    for task, count in other.items():
        if clock.get(task, 0) < count:
            clock[task] = count


class Races:
    def __init__(self) -> None:
        self._tasks: list[Clock] = []
        self._changed: defaultdict[int, Clock] = defaultdict(dict)
        self._read: defaultdict[int, Clock] = defaultdict(dict)
        self._plain: dict[tuple[int, str], tuple[tuple[int, int] | None, Clock]] = {}
        self._keep: dict[int, Any] = {}  # so that no identity is used twice, where that keeps no finalizer from running

    def begin(self, task: int, parent: int | None) -> None:
        self._tasks.append({**({} if parent is None else self._tasks[parent]), task: 1})

    def reached(self, task: int, key: int, write: bool) -> None:
        """An announced access happens."""
        clock = self._tasks[task]
        learn(clock, self._changed[key])
        if write:
            learn(clock, self._read[key])
            self._changed[key] = clock.copy()
        else:
            learn(self._read[key], clock)
        clock[task] += 1  # what follows is seen by those only who learn from a later step

    def plain(self, task: int, owner: object, attribute: str, write: bool) -> None:
        """A plain access happens. Raises `Unannounced`."""
        clock, place = self._tasks[task], (id(owner), attribute)
        if not hasattr(owner, "__del__"):
            self._keep[id(owner)] = owner
        change, reads = self._plain.get(place, (None, {}))
        seen = change is None or clock.get(change[0], 0) >= change[1]
        if seen and write:
            seen = all(clock.get(reader, 0) >= count for reader, count in reads.items())
        if not seen:
            what = f"{type(owner).__name__}.{attribute}"
            raise Unannounced(f"{what}: two tasks touch it, and no announced step orders them")
        if write:
            self._plain[place] = (task, clock[task]), {}
        else:
            self._plain[place] = change, {**reads, task: clock[task]}
