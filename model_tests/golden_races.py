"""The famous races as text: one file each in `races/`, with the schedule that shows it, and its story.

What a race is, is written down here as the steps that must come in this order, who makes them and on what. From these
a schedule is made: whoever makes the next of them goes on until it is made. Then everybody runs to the end.
`python model_tests/replay.py --races` writes the files anew, and keeps what they say in words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from interleaved_workloads import CASES
from scheduler import Program, Run
from scheduler._guides import Guide
from scheduler._search import run_once, tell
from scheduler._story import Story, spelled

FOLDER: Final = Path(__file__).parent / "races"
BEGINS: Final = "case: "
TIMEOUT: Final = "its timeout passes"


class Step(NamedTuple):
    who: str
    what: str
    on: str = ""
    """What it is done to; anything, if empty."""
    times_out: bool = False

    def __str__(self) -> str:
        return f"{self.who} {self.what} {self.on}".rstrip() + (f" [{TIMEOUT}]" if self.times_out else "")


class Race(NamedTuple):
    case: str
    steps: tuple[Step, ...]


RACES: Final[dict[str, Race]] = {
    "late_reader": Race(
        "call, execute",
        (
            Step("caller 0", "reads", "current"),
            Step("caller 0", "reads", "old attention"),
            Step("executor 1", "stores to", "current"),
            Step("executor 1", "pops from", "old free"),
            Step("executor 1", "releases", "lock"),
            Step("caller 0", "pops from", "old free"),
            Step("caller 0", "pops from", "new free"),
            Step("caller 0", "enters", "new instance"),
        ),
    ),
    "aba_of_versions": Race(
        "two calls, execute, two instances, may time out",
        (
            Step("caller 1", "enters", "old instance"),
            Step("caller 0", "reads", "current"),
            Step("caller 0", "reads", "old attention"),
            Step("executor 2", "stores to", "current"),
            Step("executor 2", "pops from", "old free"),
            Step("executor 2", "parks on", times_out=True),
            Step("executor 2", "appends to", "old free"),
            Step("executor 2", "stores to", "current"),
            Step("executor 2", "releases", "lock"),
            Step("caller 0", "pops from", "old free"),
            Step("caller 0", "enters", "old instance"),
        ),
    ),
    "cancel_beside_execute": Race(
        "execute, cancel",
        (
            Step("canceller 1", "begins:"),
            Step("executor 0", "acquires", "lock"),
            Step("executor 0", "stores to", "phase"),
            Step("executor 0", "releases", "lock"),
            Step("canceller 1", "acquires", "lock"),
            Step("canceller 1", "reads", "phase"),
            Step("canceller 1", "ends:"),
            Step("executor 0", "stores to", "current"),
        ),
    ),
    "rollback_beside_a_held_call": Race(
        "two calls, execute, exclusive, may time out",
        (
            Step("caller 0", "enters", "old instance"),
            Step("executor 2", "appends to", "parked"),
            Step("executor 2", "releases", "lock"),
            Step("caller 1", "reads", "old attention"),
            Step("caller 1", "appends to", "parked"),
            Step("caller 1", "releases", "lock"),
            Step("executor 2", "parks on", times_out=True),
            Step("executor 2", "ends:"),
            Step("caller 0", "appends to", "old free"),
            Step("caller 0", "pops from", "old free"),
            Step("caller 0", "ends:"),
            Step("caller 1", "enters", "old instance"),
        ),
    ),
    "unregister_beside_prepare": Race(
        "upgrade, unregister",
        (
            Step("upgrader by name 0", "compiles on"),
            Step("unregisterer 1", "acquires", "lock"),
            Step("unregisterer 1", "stores to", "closed"),
            Step("unregisterer 1", "ends:"),
            Step("upgrader by name 0", "instantiates on"),
            Step("upgrader by name 0", "reads", "closed"),
            Step("upgrader by name 0", "closes"),
        ),
    ),
    "no_lost_wake_up": Race(
        "two calls",
        (
            Step("caller 0", "enters", "old instance"),
            Step("caller 1", "pops from", "old free"),
            Step("caller 0", "appends to", "old free"),
            Step("caller 0", "reads", "old attention"),
            Step("caller 1", "stores to", "old attention"),
            Step("caller 1", "pops from", "old free"),
            Step("caller 1", "enters", "old instance"),
        ),
    ),
    "close_beside_the_queue": Race(
        "two calls, close",
        (
            Step("caller 0", "enters", "old instance"),
            Step("caller 1", "appends to", "parked"),
            Step("caller 1", "releases", "lock"),
            Step("closer 2", "stores to", "closed"),
            Step("closer 2", "unparks"),
            Step("closer 2", "releases", "lock"),
            Step("caller 1", "parks on"),
            Step("caller 1", "reads", "closed"),
            Step("caller 1", "ends:"),
            Step("caller 0", "ends:"),
        ),
    ),
}


class Directed(Guide):
    """Whoever makes the next of some steps goes on until it is made."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.left = list(steps)
        self.run: Run | None = None
        self._last = -1

    def of(self, program: Program) -> Program:
        def made(run: Run) -> Callable[[], object]:
            self.run = run
            return program(run)

        return made

    def choose(self, enabled: list[int]) -> int:
        assert self.run is not None
        choice = self._wanted(enabled) if self.left else self._any(enabled)
        self._last = choice // 3
        return choice

    def _wanted(self, enabled: list[int]) -> int:
        assert self.run is not None
        step = self.left[0]
        (task,) = (task for task in self.run.tasks if task.name == step.who)
        label = task.shared.label if task.shared is not None else ""
        there = task.what == step.what and step.on in ("", label)
        choice = 3 * task.index + (1 if there and step.times_out else 0)
        if choice not in enabled:
            raise ValueError(f"{step}: cannot be made; left are {[str(each) for each in self.left]}")
        if there:
            del self.left[0]
        return choice

    def _any(self, enabled: list[int]) -> int:
        own = 3 * self._last
        return own if own in enabled else enabled[0]


def schedule_of(race: Race) -> str:
    """Raises `ValueError` when its steps cannot come in this order."""
    guide, case = Directed(race.steps), CASES[race.case]
    run, result = run_once(guide.of(case.program), case.limits, guide, Story())
    if guide.left:
        raise ValueError(f"the run ended before {guide.left[0]}: {result}")
    return spelled(run.chosen)


def told(case: str, schedule: str) -> Iterator[str]:
    """The story without numbers, which would change with every edit of the code: who, what, and the source line."""
    numbers: dict[tuple[str, str], int] = {}

    def name(match: re.Match[str]) -> str:
        kind = match[1]
        same = sum(1 for other, _ in numbers if other == kind)
        which = numbers.setdefault((kind, match[2]), same + 1)
        return kind if which == 1 else f"{kind} {which}"

    for line in tell(CASES[case].program, schedule, CASES[case].limits).splitlines():
        if not re.match(r"  +\d+ ", line):
            if not line.startswith("schedule: "):
                yield line
            continue
        step, source = line[6:50].rstrip(), line[51:]
        where = re.sub(r"^(\S+\.py):\d+ (\w+): ", r"\1 \2: ", source)
        named = re.sub(r"(\w+)#(\d+)", name, step)
        yield f"  {named}" if where.startswith("interleaved") else f"  {named:<34} {where}".rstrip()


def text_of(race: Race, words: str, schedule: str) -> str:
    shows = "\n".join(f"  {step}" for step in race.steps)
    story = "\n".join(told(race.case, schedule))
    return f"{words.rstrip()}\n\n{BEGINS}{race.case}\nschedule: {schedule}\nshows, in this order:\n{shows}\n\n{story}\n"


def words_of(name: str) -> str:
    return (FOLDER / f"{name}.txt").read_text().partition(f"\n{BEGINS}")[0]


def write_all() -> None:
    for name, race in RACES.items():
        (FOLDER / f"{name}.txt").write_text(text_of(race, words_of(name), schedule_of(race)))


__all__ = ["RACES", "Race", "Step", "schedule_of", "text_of", "told", "words_of", "write_all"]
