"""How a run goes from one step to the next: who can go on, who is chosen, what the step has done."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Final

from scheduler._errors import Deadlock, Found, Livelock, LostWakeup, Nondeterministic, TaskFailed
from scheduler._guides import CHOICE_SHIFT, Did, Guide
from scheduler._races import Races
from scheduler._story import Story, spelled
from scheduler._task import GO, SPURIOUS, TIMEOUT, Limits, Shared, Task, first_line

ENDS_WAITS: Final = frozenset({"releases", "unparks", "interrupts by"})
NEVER: Final = -1
"""No step has this number."""
SLOW: Final = -1 << 29
"""Added to what a task announces, it is never the step that is expected."""

did_of: Final = tuple.__new__  # a `Did` from a tuple, without the cost of its constructor


class Steps:
    """The part of a run that moves it."""

    __slots__ = (
        "_alive",
        "_announced",
        "_backend",
        "_chosen",
        "_footprint",
        "_gives",
        "_guide",
        "_hub",
        "_needs",
        "_open",
        "_raised",
        "_script",
        "_shared",
        "_what",
        "advance",
        "after_step",
        "at_end",
        "current",
        "expected",
        "full",
        "held",
        "how",
        "joined",
        "limits",
        "mine",
        "now",
        "over",
        "problem",
        "races",
        "spurious",
        "steps",
        "story",
        "tasks",
        "timeouts",
    )

    def __init__(self, limits: Limits, story: Story | None = None) -> None:
        self.limits, self.story = limits, story
        self._backend = limits.backend()
        self._hub = self._backend.hub
        self._guide: Guide
        self.tasks: list[Task] = []
        self._alive: list[Task] = []
        self.current: Task | None = None
        self.held = 0
        """The locks of the current task, as bits."""
        self.how = GO  # in which way the step goes on that was chosen last
        self.over = False
        self.at_end: list[Callable[[], None]] = []
        """Done when all tasks have ended or are unwound."""
        self.now = 0.0
        self.timeouts, self.spurious, self.steps = limits.timeouts, limits.spurious, 0
        self._script: list[int] = []
        self._chosen: list[int] = []  # after the script
        self.races = Races() if limits.races else None
        self.problem: Found | None = None
        self.after_step: Callable[[Task, str, Shared | None], None] | None = None
        """Told of each step that was made: by whom, what, on which object. The task has come to its next access.
        To be set before the first step."""
        self._raised: BaseException | None = None
        self.expected, self.mine = NEVER, 0  # the step to replay, and the running task's part in such a number
        self.advance: Callable[[], int] = iter(()).__next__
        self._open = False  # whether a step is under way whose footprint is taken down
        self._footprint: tuple[int, ...] | None = None
        self._shared: Shared | None = None  # of the step under way, as it was announced
        self._announced = 0
        self._what = ""
        self._needs = self._gives = 0
        self.joined = 0
        """So many accesses have joined a step."""
        self.full: list[int] | None = None
        """The schedule with a step for each access, if that is asked for."""

    def go(self, guide: Guide) -> None:
        """Make all steps. Raises what was found, and what the guide raises."""
        self._guide = guide
        script = guide.script(self.races is not None or self.story is not None)
        self.advance = chain(script, (NEVER,)).__iter__().__next__
        self.expected = self.advance()
        self._script = script
        self.steps = len(script)
        hub = self._hub
        try:
            while (task := self._next()) is not None:
                hub.hand_over(task.worker)
                if self._raised is not None:
                    raise self._raised
                self._gone(self.current)
        finally:
            if self.full is not None:
                self._spell_out()
        self.current, self.held = None, 0

    @property
    def chosen(self) -> list[int]:
        """The schedule so far."""
        return [step >> CHOICE_SHIFT for step in self._script] + self._chosen

    def _gone(self, task: Task | None) -> None:
        """The task has ended with the step under way."""
        assert task is not None
        self._alive.remove(task)
        error = task.error
        if self.problem is None and error is not None:
            raise TaskFailed(f"{task.name}: {type(error).__name__}: {first_line(error)}") from error
        self._ended(task)

    def _spell_out(self) -> None:
        """The accesses that have joined the step under way, as steps of their own."""
        if self.full is not None and self.current is not None:
            self.full += [self.current.go] * self.joined
        self.joined = 0

    def _ended(self, task: Task) -> None:
        """The step under way has been made. Raises what went wrong with it."""
        if self.problem is not None:
            raise self.problem
        recorded, self._open = self._open, False
        if self.after_step is not None:
            self.current = None
            self.after_step(task, self._what, self._shared)
        if recorded:
            footprint = self._footprint
            gives = self._gives
            if footprint and footprint[0] & 1 and self._what in ENDS_WAITS:
                gives |= 1 << (footprint[0] >> 1)
            self._guide.made(did_of(Did, (footprint, self._needs, gives, len(self.tasks), self._announced)))

    def _next(self) -> Task | None:
        """Begin the next step; None when all have ended. Raises what `_choices` and the guide raise."""
        if self.expected >= 0:
            return self._replayed(self.expected)
        choices = self._choices()
        if not choices:
            return None
        choice = self._guide.choose(choices)
        self._chosen.append(choice)
        if self.full is not None:
            self._spell_out()
            self.full.append(choice)
        self.steps += 1
        index = choice // 3
        task, how = self.tasks[index], choice - 3 * index
        self._shared = shared = task.shared
        self._what, self._announced = task.what, task.announced
        self._needs = self._gives = 0
        if task.ready is not None and how == GO and not self._may_end_by_itself(task):
            self._needs = self._announced >> 1
        if self.story is not None:
            self.story.tell(task.name, task.what, shared.label if shared is not None else "", task.line, how)
        if how != GO:
            self._waits_no_more(task, how)
        self._footprint = None if shared is not None else ()
        self._open = True
        self.current, self.held, self.how = task, task.held, how
        self.mine = task.mine
        return task

    def _replayed(self, step: int) -> Task:
        """Begin the step that the script says."""
        choice = step >> CHOICE_SHIFT
        index, how = divmod(choice, 3)
        task = self.tasks[index] if index < len(self.tasks) else None
        if task is None or task.done or step != choice << CHOICE_SHIFT | task.announced:
            told = "is not there" if task is None else f"{task.what} another object than before, or has ended"
            raise Nondeterministic(f"the same choices led elsewhere: {spelled([choice])} {told}")
        self.expected = self.advance()
        if how != GO:
            self._waits_no_more(task, how)
        self.current, self.held, self.how = task, task.held, how
        if self.after_step is None:
            self.mine = task.mine
        else:
            self._shared, self._what, self.mine = task.shared, task.what, SLOW
        return task

    def _may_end_by_itself(self, task: Task) -> bool:
        limits = self.limits
        return bool((task.until is not None and limits.timeouts) or (limits.spurious and task.what == "parks on"))

    def _waits_no_more(self, task: Task, how: int) -> None:
        if how == TIMEOUT:
            self.timeouts = max(0, self.timeouts - 1)
            self.now = max(self.now, task.until or 0.0)
        else:
            self.spurious -= 1

    def _choices(self) -> list[int]:
        """How the run can go on; empty when it has ended. Raises `Deadlock`, `LostWakeup`, `Livelock`."""
        if self.steps > self.limits.steps:
            raise Livelock(f"more than {self.limits.steps} steps")
        if len(self._alive) == 1 and self._alive[0].ready is None:
            return self._alive[0].alone
        found: list[int] = []
        stuck = False
        for task in self._alive:
            if task.ready is None or task.ready():
                found.append(task.go)
            else:
                stuck = True
        return self._waits(found) if stuck else found

    def _waits(self, found: list[int]) -> list[int]:
        """The same with the waits that may end by themselves."""
        stuck = [task for task in self._alive if task.go not in found]
        if not found:
            if all(task.until is None for task in stuck):
                parked = all(task.what == "parks on" for task in stuck)
                raise (LostWakeup if parked else Deadlock)("nobody can go on: " + self._who_waits())
            if not self.limits.idle and not self.timeouts:
                raise LostWakeup("nobody goes on before a timeout: " + self._who_waits())
        may_pass, may_wake = self.timeouts or not found, self.spurious
        for task in stuck:
            if task.until is not None and may_pass:
                found.append(task.go + TIMEOUT)
            if may_wake and task.what == "parks on":
                found.append(task.go + SPURIOUS)
        return found

    def _who_waits(self) -> str:
        return "; ".join(
            f"{task.name} {task.what} {task.shared.label if task.shared is not None else ''}" for task in self._alive
        )
