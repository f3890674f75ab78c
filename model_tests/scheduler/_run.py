"""One run of a program, step by step.

*A step.* A task stops before every access to a shared object and announces it: the object, and whether it may change
it. The scheduler chooses who goes on; that task makes its access and runs to its next announcement. What the access
did is its *footprint*: the objects it read or changed. It is taken down when the access happens and never exceeds what
was announced; a store of the value that is there, a pop from an empty bag or a wake where a wake is pending change
nothing and count as reads. A step whose footprint is unknown conflicts with everything.

*A replay is exact*, because a step depends on nothing but the choices before it: there is one running task at any
time, time is a number that only steps move, objects are numbered in the order in which they are made, and finalizers
run where the last reference goes (the garbage collector, which would choose its own moment, is off during a run).

*Time.* To wait is to be unable to go on. Who waits with a timeout may, as a choice of the schedule, be told that it has
passed; time then jumps there. So many such choices are allowed in one run as the limits say; beyond that, time passes
only when nobody else can go on. Whether that is in order or a lost wake-up is for the limits to say, too. Waking up
for no reason is a choice as well.

*The end.* A run that is given up is unwound: every task gets `Abandoned` at its next access, so that its handlers
run and end; finalizers are let through, since an exception there could not be seen.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Final

from scheduler._backend import Greenlets, Worker
from scheduler._errors import Abandoned, Deadlock, Found, Livelock, LostWakeup, TaskFailed, Unannounced, WouldBlock
from scheduler._guides import Did
from scheduler._races import Races
from scheduler._story import Line, Story, where

GO, TIMEOUT, SPURIOUS = range(3)
"""How a task goes on. A choice of a schedule is `3 * task + how`."""

ENDS_WAITS: Final = {"releases", "unparks", "interrupts by"}
UNWOUND_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a schedule may contain."""

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


def first_line(error: BaseException) -> str:
    """What an error says; pytest adds lines with addresses to what an assertion says."""
    return str(error).partition("\n")[0]


class Shared:
    """Something that two tasks can touch."""

    __slots__ = ("key", "label", "run")

    def __init__(self, run: Run, kind: str) -> None:
        self.run = run
        self.key = run.number()
        self.label = run.name_of(kind, self.key) if run.story is not None else kind


class Task:
    __slots__ = ("done", "error", "held", "how", "index", "line", "name", "ready", "shared", "until", "what", "worker")
    worker: Worker

    def __init__(self, index: int, name: str) -> None:
        self.index, self.name = index, name
        self.done = False
        self.error: BaseException | None = None
        self.held = 0  # locks
        self.shared: Shared | None = None  # announced; None before the first announcement
        self.what = "starts"
        self.ready: Callable[[], bool] | None = None  # whether it can go on; None: it can
        self.until: float | None = None  # when its wait times out
        self.how = GO
        self.line = Line("", 0, "")


class Run:
    """The tasks of one run and all that they share. Outside the tasks (set-up, checks) accesses just happen."""

    def __init__(self, limits: Limits, story: Story | None = None) -> None:
        self.limits, self.story = limits, story
        self._backend = Greenlets()
        self.tasks: list[Task] = []
        self.current: Task | None = None
        self.over = False
        self.at_end: list[Callable[[], None]] = []
        """Done when all tasks have ended or are unwound."""
        self.now = 0.0
        self.timeouts, self.spurious, self.steps = limits.timeouts, limits.spurious, 0
        self.races = Races() if limits.races else None
        self.problem: Found | None = None
        self.after_step: Callable[[Task, str, Shared | None], None] | None = None
        """Told of each step that was made: by whom, what, on which object. The task has come to its next access."""
        self._footprint: list[int] = []
        self._may_write = False
        self._numbers = 0
        self.clock_object = Shared(self, "time")
        self.chance_object = Shared(self, "chance")

    # -- what tasks and ports call -----------------------------------------------------------------------------

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def name_of(self, kind: str, key: int) -> str:
        name = where(skip=("scheduler",)).target(kind) if kind in ("lock", "parker", "atomic", "bag") else kind
        return f"{name}#{key}"

    def task(self, name: str, work: Callable[[], object]) -> Task:
        task = Task(len(self.tasks), name)

        def body() -> None:
            try:
                work()
            except Abandoned:
                pass
            except BaseException as error:  # noqa: BLE001  told as the run's failure
                task.error = error
            task.done = True

        task.worker = self._backend.worker(body)
        self.tasks.append(task)
        if self.races is not None:
            self.races.begin(task.index, None if self.current is None else self.current.index)
        return task

    def announce(
        self,
        shared: Shared,
        write: bool,
        what: str,
        ready: Callable[[], bool] | None = None,
        until: float | None = None,
    ) -> None:
        """Stop before an access. Returns when the schedule says so, and the access may happen."""
        task = self.current
        if task is None:
            if ready is not None and not self.over and not ready():
                raise WouldBlock(f"{what} {shared.label}: would wait, and no task is left to end that")
            return
        if self._unwinds():
            return
        task.shared, task.what, task.ready, task.until = shared, what, ready, until
        if self.story is not None:
            task.line = where(skip=("scheduler",))
        task.worker.pause()
        self._unwinds()
        self._may_write = write

    def touch(self, shared: Shared, write: bool, also: tuple[int, ...] = ()) -> None:
        """The access happens: its footprint. Must have been announced."""
        task = self.current
        if task is None or self.over:
            return
        if task.shared is not shared or (write and not self._may_write) or self._footprint:
            self.problem = Unannounced(f"{task.name} touches {shared.label}, which it has not announced")
            raise self.problem
        self._footprint += (shared.key * 2 + write, *also)
        if self.races is not None:
            for part in self._footprint:
                self.races.reached(task.index, part >> 1, bool(part & 1))

    def plain(self, owner: object, attribute: str, write: bool) -> None:
        """An access to a plain attribute, which announced steps must order."""
        if self.races is not None and self.current is not None and not self.over:
            try:
                self.races.plain(self.current.index, owner, attribute, write)
            except Unannounced as problem:
                self.problem = problem
                raise

    def _unwinds(self) -> bool:
        """False as long as the run goes on. Raises `Abandoned` when it does not; True in finalizers."""
        if not self.over:
            return False
        self.steps += 1
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_name == "__del__":
                return True
            frame = frame.f_back
        if self.steps > UNWOUND_MAX:
            raise Livelock("a task does not end when it is abandoned")
        raise Abandoned

    # -- what the search calls -------------------------------------------------------------------------------------

    def choices(self) -> list[int]:
        """How the run can go on; empty when it has ended. Raises `Deadlock`, `LostWakeup`, `Livelock`."""
        found: list[int] = []
        waits: list[int] = []
        alive = False
        for task in self.tasks:
            if task.done:
                continue
            alive = True
            base = 3 * task.index
            if task.ready is None or task.ready():
                found.append(base)
                continue
            if task.until is not None:
                waits.append(base + TIMEOUT)
            if self.spurious and task.what == "parks on":
                waits.append(base + SPURIOUS)
        if self.steps > self.limits.steps:
            raise Livelock(f"more than {self.limits.steps} steps")
        timeouts = [choice for choice in waits if choice % 3 == TIMEOUT]
        if not found and alive:
            if not timeouts:
                parked = all(task.done or task.what == "parks on" for task in self.tasks)
                raise (LostWakeup if parked else Deadlock)("nobody can go on: " + self._who_waits())
            if not self.limits.idle and not self.timeouts:
                raise LostWakeup("nobody goes on before a timeout: " + self._who_waits())
        found += [choice for choice in waits if choice % 3 == SPURIOUS or self.timeouts or not found]
        return found

    def step(self, choice: int) -> Did:
        """Let one task make the access it has announced. Raises `TaskFailed`."""
        index, how = divmod(choice, 3)
        task, footprint = self.tasks[index], self._footprint
        footprint.clear()
        if self.story is not None:
            self.story.tell(task.name, task.what, task.shared.label if task.shared is not None else "", task.line, how)
        if how == TIMEOUT:
            self.timeouts = max(0, self.timeouts - 1)
            self.now = max(self.now, task.until or 0.0)
        elif how == SPURIOUS:
            self.spurious -= 1
        shared = task.shared
        began, what, key = shared is not None, task.what, shared.key if shared is not None else 0
        otherwise = (task.until is not None and self.limits.timeouts) or (what == "parks on" and self.limits.spurious)
        needs = key if task.ready is not None and how == GO and not otherwise else 0
        task.how, self.current = how, task
        task.worker.resume()
        self.current = None
        self.steps += 1
        if self.problem is not None:
            raise self.problem
        if task.error is not None:
            raise TaskFailed(f"{task.name}: {type(task.error).__name__}: {first_line(task.error)}") from task.error
        if self.after_step is not None:
            self.after_step(task, what, shared)
        seen = None if began and not footprint else tuple(footprint)
        gives = key if what in ENDS_WAITS and footprint and footprint[0] & 1 else 0
        return Did(seen, needs, gives, len(self.tasks))

    def abandon(self) -> None:
        """Unwind what still runs."""
        self.over = True
        for task in self.tasks:
            while not task.done:
                self.current = task
                task.worker.resume()
        self.current = None
        for leave in self.at_end:
            leave()
        self.at_end.clear()

    def _who_waits(self) -> str:
        return "; ".join(
            f"{task.name} {task.what} {task.shared.label if task.shared is not None else ''}"
            for task in self.tasks
            if not task.done
        )
