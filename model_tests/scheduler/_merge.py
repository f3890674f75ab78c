"""Which accesses need no scheduling point of their own, and join the step that was made before them.

An access may join the step before it if, in every run, it can change places with whatever other tasks do in between
(a *left mover*: Lipton 1975). Then each schedule that stops before it leads where one leads that does not, and
defects, outcomes and deadlocks are the same; only schedules of the same class are fewer. These accesses are such:

- The *release* of a lock. Nobody else can touch the lock before it, since nobody looks at a lock but to acquire it.
- A *guarded* access: one to an atomic or a bag, made under a lock that is held at every conflicting access. To change
  places with it, another task would have to hold that lock. If all changes of an object are made under one lock, then
  reads under that lock are guarded, though others read without it; if all accesses are, changes are guarded too.
  Guarded accesses have no footprint: whatever conflicts with them is ordered by the lock.
- Reading the clock, if no timeout may pass in any schedule.

To wait is never joined to anything, so an acquire is a step of its own (and what follows it may join it).

*Which objects are guarded* nobody declares; it is found out, as by Eraser (Savage et al. 1997). Each object begins as
guarded by all locks; each access takes away from that set what is not held. Whenever a run has learned something, the
search begins anew with what is known, until nothing more is learned: so all its runs have the same steps. Nothing is
missed because of what is not known yet: take a shortest run with an access that takes something away. All before that
access is as was known, so a run that was looked at leads there.

A schedule that is shown to somebody has a step for each access, whatever was joined: `Run.full` spells it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scheduler._errors import Livelock
from scheduler._task import Shared

if TYPE_CHECKING:
    from scheduler._run import Run

JOINED_MAX: Final = 100_000
ANY: Final = -1
"""The set of all locks."""
NOBODY: Final = -1
"""No task holds these."""

Guards = tuple[int, int, int, int, int]
"""An object's origin; the locks held at all changes and guarded reads; at all accesses, if it is guarded at all;
those with which exactly a read, or a change, is guarded and teaches nothing. As bits, by the locks' keys."""
UNGUARDED: Final[Guards] = 0, 0, 0, NOBODY, NOBODY

Known = dict[int, Guards]
"""By an object's origin."""


def guards(origin: int, reads: int = ANY, writes: int = ANY) -> Guards:
    if reads <= 0 or writes not in (0, reads):
        return origin, reads, writes, NOBODY, NOBODY
    return origin, reads, writes, reads, writes or NOBODY


class Guarded(Shared):
    """Something whose accesses may be guarded."""

    __slots__ = ("_origin", "read_guard", "reads", "write_guard", "writes")

    def __init__(self, run: Run, kind: str) -> None:
        super().__init__(run, kind)
        self._origin, self.reads, self.writes, self.read_guard, self.write_guard = run.guards_of(self.key)

    def is_guarded(self, write: bool) -> bool:
        """Whether an access by the current task is guarded, so that it needs no announcement."""
        run = self.run
        held = run.held
        if held == (self.write_guard if write else self.read_guard) and run.joined < JOINED_MAX:
            run.joined += 1
            return True
        if run.current is None:
            return False
        if not held & (self.writes if write else self.reads):
            if self.reads:
                self.is_not_guarded(write, held)
            return False
        self._know(self.reads & held, self.writes & held)
        run.joined += 1
        if run.joined > JOINED_MAX:
            run.problem = Livelock(f"more than {JOINED_MAX:,} accesses under a lock")
            raise run.problem
        return True

    def is_not_guarded(self, write: bool, held: int) -> None:
        """An access by the current task is a step of its own."""
        if not self.run.over:
            self._know(self.reads & held if write else self.reads, 0)

    def _know(self, reads: int, writes: int) -> None:
        if (reads, writes) != (self.reads, self.writes):
            known = self.run.learned[self._origin] = guards(self._origin, reads, writes)
            _, self.reads, self.writes, self.read_guard, self.write_guard = known
