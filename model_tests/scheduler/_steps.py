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
        "_chosen_max",
        "_footprint",
        "_gives",
        "_guide",
        "_hub",
        "_is_plain",
        "_may_end",
        "_needs",
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
        "is_open",
        "joined",
        "limits",
        "mine",
        "now",
        "over",
        "problem",
        "races",
        "spurious",
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
        self.how = GO  # in which way the step under way ended a wait; who waits sets it back
        self.over = False
        self.at_end: list[Callable[[], None]] = []
        """Done when all tasks have ended or are unwound."""
        self.now = 0.0
        self.timeouts, self.spurious = limits.timeouts, limits.spurious
        self._may_end = limits.timeouts or limits.spurious  # whether a wait may end by itself
        self._script: list[int] = []
        self._chosen: list[int] = []  # after the script
        self._chosen_max = limits.steps
        self.races = Races() if limits.races else None
        self._is_plain = True  # nobody wants to see the steps
        self.problem: Found | None = None
        self.after_step: Callable[[Task, str, Shared | None], None] | None = None
        """Told of each step that was made: by whom, what, on which object. The task has come to its next access.
        To be set before the first step."""
        self._raised: BaseException | None = None
        self.expected, self.mine = NEVER, 0  # the step to replay, and the running task's part in such a number
        self.advance: Callable[[], int] = iter(()).__next__
        self.is_open = False  # whether a step is under way whose footprint is taken down
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
        self._chosen_max = self.limits.steps - len(script)
        self._is_plain = self.races is None and self.story is None and self.full is None
        hub, gone = self._hub, None
        try:
            while (task := self._next(gone)) is not None:
                hub.hand_over(task.worker)
                if self._raised is not None:
                    raise self._raised
                gone = self._gone()
        finally:
            if self.full is not None:
                self._spell_out()
        self.current, self.held, self.is_open = None, 0, False

    @property
    def steps(self) -> int:
        return len(self._script) + len(self._chosen)

    @property
    def chosen(self) -> list[int]:
        """The schedule so far."""
        return [step >> CHOICE_SHIFT for step in self._script] + self._chosen

    def _gone(self) -> Task:
        """The task that has ended with the step under way."""
        task = self.current
        assert task is not None
        self._alive.remove(task)
        error = task.error
        if self.problem is None and error is not None:
            raise TaskFailed(f"{task.name}: {type(error).__name__}: {first_line(error)}") from error
        return task

    def _spell_out(self) -> None:
        """The accesses that have joined the step under way, as steps of their own."""
        if self.full is not None and self.current is not None:
            self.full += [self.current.go] * self.joined
        self.joined = 0

    def _next(self, ended: Task | None) -> Task | None:
        """The step under way has been made, by the task `ended`: begin the next; None when all have ended.

        Raises what went wrong with the step, what `_waits` raises and what the guide raises.
        """
        if self.problem is not None:
            raise self.problem
        if self.after_step is not None and ended is not None:
            self._tell(ended, self.after_step)
        if self.is_open:
            footprint = self._footprint
            gives = self._gives
            if footprint and footprint[0] & 1 and self._what in ENDS_WAITS:
                gives |= 1 << (footprint[0] >> 1)
            self._guide.made(did_of(Did, (footprint, self._needs, gives, len(self.tasks), self._announced)))
        elif self.expected >= 0:
            return self._replayed(self.expected)
        chosen = self._chosen
        if len(chosen) > self._chosen_max:
            raise Livelock(f"more than {self.limits.steps} steps")
        choices: list[int] = []
        for task in self._alive:
            if task.ready is None or task.ready():
                choices.append(task.go)  # noqa: PERF401  a comprehension is slower for so few
        if len(choices) < len(self._alive):
            self._waits(choices)
        elif not choices:
            return None
        choice = self._guide.choose(choices)
        chosen.append(choice)
        task, how = self.tasks[choice // 3], choice % 3
        self._shared, self._what = task.shared, task.what
        self._announced, self._footprint = task.announced, task.footprint
        self._gives = 0
        if task.ready is None or how or (self._may_end and self._may_end_by_itself(task)):
            self._needs = 0
        else:
            self._needs = task.announced >> 1
        if not self._is_plain:
            self._show(task, choice)
        if how:
            self._waits_no_more(task, how)
        self.is_open = True
        if task is not ended:
            self._turn_to(task)
        return task

    def _turn_to(self, task: Task) -> None:
        if self.current is not None:
            self.current.held = self.held
        self.current, self.held = task, task.held

    def _tell(self, ended: Task, after_step: Callable[[Task, str, Shared | None], None]) -> None:
        is_open, self.is_open, self.current = self.is_open, False, None
        after_step(ended, self._what, self._shared)
        self.is_open, self.current = is_open, ended

    def _show(self, task: Task, choice: int) -> None:
        """The next step is to be shown, or compared with others."""
        if self.full is not None:
            self._spell_out()
            self.full.append(choice)
        if self.story is not None:
            label = "" if task.shared is None else task.shared.label
            self.story.tell(task.name, task.what, label, task.line, choice % 3)
        if self.races is not None and task.footprint:
            self.races.reached(task.index, task.footprint[0] >> 1, bool(task.footprint[0] & 1))

    def _replayed(self, step: int) -> Task:
        """Begin the step that the script says."""
        choice = step >> CHOICE_SHIFT
        index = choice // 3
        task = self.tasks[index] if index < len(self.tasks) else None
        if task is None or task.done or step != choice << CHOICE_SHIFT | task.announced:
            told = "is not there" if task is None else f"{task.what} another object than before, or has ended"
            raise Nondeterministic(f"the same choices led elsewhere: {spelled([choice])} {told}")
        self.expected = self.advance()
        if choice % 3:
            self._waits_no_more(task, choice % 3)
        self._turn_to(task)
        if self.after_step is None:
            self.mine = task.mine
        else:
            self._shared, self._what, self.mine = task.shared, task.what, SLOW
        return task

    def _may_end_by_itself(self, task: Task) -> bool:
        limits = self.limits
        return bool((task.until is not None and limits.timeouts) or (limits.spurious and task.what == "parks on"))

    def _waits_no_more(self, task: Task, how: int) -> None:
        self.how = how
        if how == TIMEOUT:
            self.timeouts = max(0, self.timeouts - 1)
            self.now = max(self.now, task.until or 0.0)
        else:
            self.spurious -= 1

    def _waits(self, found: list[int]) -> None:
        """Add to what can go on the waits that may end by themselves. Raises `Deadlock`, `LostWakeup`."""
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

    def _who_waits(self) -> str:
        return "; ".join(
            f"{task.name} {task.what} {task.shared.label if task.shared is not None else ''}" for task in self._alive
        )
