"""One run of a program, step by step.

*A step.* A task stops before every access to a shared object and announces it: the object, and whether it may change
it. The scheduler chooses who goes on; that task makes its access and runs to its next announcement. What the access
did is its *footprint*: the objects it read or changed. It is taken down when the access happens and never exceeds what
was announced; a store of the value that is there, a pop from an empty bag or a wake where a wake is pending change
nothing and count as reads. A step whose footprint is unknown conflicts with everything.

*A replay is exact*, because a step depends on nothing but the choices before it: there is one running task at any
time, time is a number that only steps move, objects are numbered in the order in which they are made, and finalizers
run where the last reference goes (the garbage collector, which would choose its own moment, is off during a run).

*Who chooses.* The task that comes to an announcement asks the guide itself, and hands over to whoever was chosen; to
itself without any switch. What an earlier run has done already (the guide's script) is replayed: an announcement is
compared with the script's next step, the task and the access, and if they are the same that is all.

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
from itertools import chain
from types import FrameType
from typing import Final

from scheduler._errors import Abandoned, Livelock, Unannounced, WouldBlock
from scheduler._guides import OBJECTS_MAX
from scheduler._merge import UNGUARDED, Guards, Known, guards
from scheduler._steps import NEVER, Steps
from scheduler._story import Story, where
from scheduler._task import Limits, Shared, Task

UNWOUND_MAX: Final = 10_000
KEYS: Final = range(1, OBJECTS_MAX + 1)
CODES: Final = range(2, 2 * OBJECTS_MAX + 2, 2)
CHANGED: Final = range(3, 2 * OBJECTS_MAX + 3, 2)


def _too_many() -> tuple[int, int, int]:
    raise MemoryError(f"more than {OBJECTS_MAX} objects in one run")


class Run(Steps):
    """The tasks of one run and all that they share. Outside the tasks (set-up, checks) accesses just happen."""

    __slots__ = ("chance_object", "clock_object", "known", "learned", "number", "unwound")

    def __init__(self, limits: Limits, story: Story | None = None, known: Known | None = None) -> None:
        super().__init__(limits, story)
        self.number = chain(zip(KEYS, CODES, CHANGED, strict=True), iter(_too_many, ())).__next__
        """The numbers of the next object, and what footprints say of its reads and changes."""
        self.unwound = 0  # accesses since it was given up
        self.known = known
        """What guards which objects, so that accesses may join the step before them; None: each is a step."""
        self.learned: Known = {}
        """What this run has shown beyond that."""
        self.clock_object = Shared(self, "time")
        self.chance_object = Shared(self, "chance")

    def name(self, shared: Shared) -> None:
        """In a story a new object has the name of what it is assigned to."""
        kind = shared.label
        name = where(skip=("scheduler",)).target(kind) if kind in ("lock", "parker", "atomic", "bag") else kind
        shared.label = f"{name}#{shared.key}"

    def guards_of(self, key: int) -> Guards:
        """What is known of a new object."""
        if self.known is None:
            return UNGUARDED
        maker = self.current
        origin = key if maker is None else self.origin(maker)
        return self.known.get(origin) or guards(origin)

    def origin(self, maker: Task) -> int:
        """Who makes an object, and which of his it is: so it is found again in other runs."""
        maker.made += 1
        return maker.index + 1 << 20 | maker.made

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
        self._alive.append(task)
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
    ) -> bool:
        """Stop before an access. Returns when the schedule says so, and the access may happen.

        True if its footprint is wanted, and then `touch` must follow; otherwise it may.
        """
        announced = shared.changed if write else shared.code
        if self.expected == self.mine + announced:
            self.expected = self.advance()
            return False
        return self.stop(shared, announced, what, None, ready, until)

    def stop(
        self,
        shared: Shared,
        announced: int,
        what: str,
        footprint: tuple[int, ...] | None = None,
        ready: Callable[[], bool] | None = None,
        until: float | None = None,
    ) -> bool:
        """The same for an access that is not the expected one. With its `footprint`, no `touch` need follow."""
        task = self.current
        if task is None:
            if ready is not None and not self.over and not ready():
                raise WouldBlock(f"{what} {shared.label}: would wait, and no task is left to end that")
            return False
        if self.over and self._unwinds():
            return False
        task.shared, task.announced, task.footprint = shared, announced, footprint
        task.what, task.ready, task.until = what, ready, until
        if self.story is not None:
            task.line = where(skip=("scheduler",))
        try:
            following = self._next(task)
        except BaseException as error:  # noqa: BLE001  raised again by whoever makes the run
            self._raised, following = error, None
        if following is not task:
            task.worker.hand_over(self._hub if following is None else following.worker)
            if self.over:
                self._unwinds()
        return self.is_open

    def access(self, shared: Shared, write: bool, what: str) -> None:
        """Announce an access that reads or changes just this, whatever else happens, and have it happen."""
        announced = shared.changed if write else shared.code
        if self.expected == self.mine + announced:
            self.expected = self.advance()
        elif self.current is not None:
            self.stop(shared, announced, what, (announced,))

    def touch(self, shared: Shared, write: bool, also: tuple[int, ...] = ()) -> None:
        """The access happens: its footprint. Must have been announced."""
        if not self.is_open:
            return
        if shared is not self._shared or self._footprint is not None or (write and not self._announced & 1):
            name = "" if self.current is None else self.current.name
            self.problem = Unannounced(f"{name} touches {shared.label}, which it has not announced")
            raise self.problem
        part = self._announced if write else self._announced & -2
        self._footprint = (part, *also) if also else (part,)
        if self.races is not None and self.current is not None:
            for part in self._footprint:
                self.races.reached(self.current.index, part >> 1, bool(part & 1))

    def joins(self, shared: Shared, write: bool, *, gives: bool = False) -> None:
        """As `touch`, for an access that may join the step under way. `gives`: it may end a wait for `shared`."""
        if self.is_open and self._footprint is not None:
            self._footprint += (shared.changed if write else shared.code,)
            self._gives |= gives << shared.key
        else:
            self.touch(shared, write)

    def releases(self, lock: Shared) -> None:
        """A release that joins the step under way."""
        if lock is self._shared:
            return  # the step is the acquire of it, and decides who comes first
        if self.is_open and self._footprint is not None:
            self._footprint += (lock.changed,)
            self._gives |= 1 << lock.key

    def plain(self, owner: object, attribute: str, write: bool) -> None:
        """An access to a plain attribute, which announced steps must order."""
        if self.races is not None and self.current is not None and not self.over:
            try:
                self.races.plain(self.current.index, owner, attribute, write)
            except Unannounced as problem:
                self.problem = problem
                raise

    def _unwinds(self) -> bool:
        """False as long as the run goes on. Raises `Abandoned` when it is given up; True in finalizers."""
        if not self.over:
            return False
        self.unwound += 1
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_name == "__del__":
                return True
            frame = frame.f_back
        if self.unwound > UNWOUND_MAX:
            raise Livelock("a task does not end when it is abandoned")
        raise Abandoned

    def abandon(self) -> None:
        """Unwind what still runs."""
        self.over, self.is_open, self.expected = True, False, NEVER
        for task in self.tasks:
            if task.shared is not None and not task.done:
                self.current = task
                self._hub.hand_over(task.worker)
        self.current = None
        self._backend.end()
        for leave in self.at_end:
            leave()
        self.at_end.clear()
