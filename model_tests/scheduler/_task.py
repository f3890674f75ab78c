"""What a run is made of: tasks, what they share, and what a schedule may contain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scheduler._backend import Backend, Greenlets, Worker
from scheduler._guides import CHOICE_SHIFT
from scheduler._story import Line

if TYPE_CHECKING:
    from scheduler._run import Run

GO, TIMEOUT, SPURIOUS = range(3)
"""How a task goes on. A choice of a schedule is `3 * task + how`."""

NO_LINE: Final = Line("", 0, "")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a schedule may contain, and what it runs on."""

    timeouts: int = 0
    """So many timeouts may pass although somebody could still go on."""
    spurious: int = 0
    """So many waits may end for no reason."""
    steps: int = 5_000
    """More are a livelock."""
    idle: bool = False
    """Whether time may pass when nobody can go on; otherwise that is a lost wake-up."""
    races: bool = False
    """Whether accesses to plain attributes are checked to be ordered by announced ones."""
    backend: type[Backend] = Greenlets


def first_line(error: BaseException) -> str:
    """What an error says; pytest adds lines with addresses to what an assertion says."""
    return str(error).partition("\n")[0]


class Shared:
    """Something that two tasks can touch. `code` and `changed` are what a footprint says of who read or changed it."""

    __slots__ = ("changed", "code", "key", "label", "run")

    def __init__(self, run: Run, kind: str) -> None:
        self.run = run
        self.label = kind
        self.key, self.code, self.changed = run.number()
        if run.story is not None:
            run.name(self)


class Task:
    __slots__ = (
        "announced",
        "done",
        "error",
        "footprint",
        "go",
        "held",
        "index",
        "line",
        "made",
        "mine",
        "name",
        "ready",
        "shared",
        "until",
        "what",
        "worker",
    )
    worker: Worker

    def __init__(self, index: int, name: str) -> None:
        self.index, self.name = index, name
        self.go = 3 * index
        """The choice that it goes on."""
        self.mine = 3 * index << CHOICE_SHIFT
        """Its part in a step as a number."""
        self.done = False
        self.error: BaseException | None = None
        self.held = 0  # locks, as bits
        self.made = 0  # objects
        self.shared: Shared | None = None  # announced; None before the first announcement
        self.announced = 0  # as in a footprint
        self.footprint: tuple[int, ...] | None = ()  # of the access, if what it announced says it; None: it will tell
        self.what = "starts"
        self.ready: Callable[[], bool] | None = None  # whether it can go on; None: it can
        self.until: float | None = None  # when its wait times out
        self.line = NO_LINE
