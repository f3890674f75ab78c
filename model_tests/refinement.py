"""Refinement: whatever the production code does, step by step, the specification's admission level can do as well.

After each step of a run the production objects are looked at (`refinement_view.py`), and the *set* of the states in
which the specification may be is carried on: from each of them by the steps that this access may be
(`refinement_rules.py`), or by nothing where that is allowed; those remain that look as the objects do. So no program
counter has to be guessed, and nothing has to be known beforehand: where the code decides later what it has done, both
possibilities are kept until then. When none remains, the step is none of the specification, and the run fails there.
When all tasks have ended, one of the states must be at rest.

*What this shows.* Every schedule that was looked at is a run of the specification, in which each step of the code is
one step of the table, or none, but for those of the `lock` that need no access. So what is proved or explored of the
specification holds of the code in these schedules, as far as the view tells states apart. The specification has a few
steps more here (`refinement_level.py`), with which it holds as well.

*What a reduction means for that.* The search makes one run of each class of schedules, so between two steps that are
independent in the code it looks in one order only. The other order is a run of the specification too, if the two steps
that stand for them are independent in the specification as well. Most are: a step without the lock looks at and
changes its own thread and the one object of its rule, which is the object that the code accesses; a step within the
lock changes these objects in the access that stands for it, and otherwise only what the lock guards, and threads that
are parked. Three are not, and rest on the steps that were added: that time has passed is told by a look at the clock,
and whether the thread has been woken meanwhile, the code does not ask (`time_out` and `time_out_late`); who parks may
be woken or not (`stir`); and a version may be reclaimed before or after a look at its mark (`pass_by_reclaimed`).
This is an argument, and not checked by the search with a reduction. Without one, within one or two preemptions, each
order is looked at as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Final, NamedTuple

from hotswap import OnDrainTimeout
from hotswap_spec.admission import NONE, State
from interleaved import Workload
from refinement_level import ADDED, LEVEL, at_rest, following, forgotten
from refinement_rules import ABOUT, LATE, SILENT, Access, Key, Rule, rules_for
from refinement_view import OF_NO_VERSION, Looker, Persona, View, agrees, record
from scheduler import CheckFailed, Program, Run, Shared
from scheduler._task import Task

VERSIONS_MAX: Final = 4

Used = tuple[Key, str]
"""A rule, and the step that it was; or `-`."""


class Way(NamedTuple):
    """How a state was reached: from which one, by what."""

    before: State
    used: Used
    silent: tuple[str, ...]


class Reached(NamedTuple):
    """Where one step of a run may lead."""

    number: int
    ways: dict[State, Way]


class Known:
    """What has been found out about the specification: the same in every run, and so kept."""

    def __init__(self) -> None:
        self.sets: list[list[State]] = []
        """In order, so that what is done with them is the same in every process."""
        self._numbers: dict[frozenset[State], int] = {}
        self._reached: dict[tuple[int, Access, View], Reached] = {}

    def number(self, states: frozenset[State]) -> int:
        if states not in self._numbers:
            self._numbers[states] = len(self.sets)
            self.sets.append(sorted(states))
        return self._numbers[states]

    def step(self, number: int, access: Access, view: View) -> Reached:
        """From one set of states to the next; each set has a number."""
        key = number, access, view
        found = self._reached.get(key)
        if found is None:
            ways: dict[State, Way] = {}
            for before in self.sets[number]:
                for s, way in steps_of(before, access):
                    known = ways.get(s)
                    if known is None:
                        if agrees(s, view):
                            ways[s] = way
                    elif known.used[1] in ADDED and way.used[1] not in ADDED:
                        ways[s] = way
            found = self._reached[key] = Reached(self.number(frozenset(ways)), ways)
        return found


KNOWN: Final = Known()


def steps_of(before: State, access: Access) -> Iterator[tuple[State, Way]]:
    """Where the specification may go while the code makes an access."""
    silently = silent_steps if access.within else no_steps
    for key, rule, persona in rules_for(access):
        starts = silently(before)
        own = [(first, *step) for start, first in starts for step in own_steps(start, access, rule, persona)]
        if rule.how == "may" or (rule.how == "if" and not own) or (rule.how == "-" and is_there(before, rule, persona)):
            own += [(first, start, "-") for start, first in starts]
        for first, to, name in own:
            for end, last in silently(to):
                yield end, Way(before, (key, name), first + last)


def own_steps(s: State, access: Access, rule: Rule, persona: Persona | None) -> Iterator[tuple[State, str]]:
    """The steps that the rule names, as far as they are possible."""
    for row, i, to in following(s):
        if row.name not in rule.rows or (row.who not in ("lock", "version") and (row.who, i) != persona):
            continue
        if access.version != OF_NO_VERSION and row.name in ABOUT and ABOUT[row.name](s, i) != access.version:
            continue
        if row.name in LATE and not access.late:
            continue
        if row.name.startswith("commit") and not access.may_leave and s.old().gathered < s.size:
            continue  # the policy says to roll back, so the old version is drained
        yield to, row.name


def is_there(s: State, rule: Rule, persona: Persona | None) -> bool:
    """Whether a thread that does nothing is where it should be."""
    return not rule.rows or persona is None or getattr(s, f"{persona[0]}s")[persona[1]].at in rule.rows


def silent_steps(s: State) -> list[tuple[State, tuple[str, ...]]]:
    """The state, and those that the lock's silent steps lead to."""
    found: list[tuple[State, tuple[str, ...]]] = [(s, ())]
    for before, names in found:
        for row, _, to in following(before):
            if row.name in SILENT and (row.name != "mark" or not before.waits()):
                found.append((to, (*names, row.name)))
    return found


def no_steps(s: State) -> list[tuple[State, tuple[str, ...]]]:
    return [(s, ())]


class Moment(NamedTuple):
    """After a step: the choice that it was, and what is known."""

    choice: int
    reached: Reached
    holder: int
    """The task that has the lock; NONE if nobody has it."""
    numbers: tuple[int, ...]


class Refinement:
    """The steps of all runs of one program. What a run has in common with the one before is not looked at again."""

    def __init__(self) -> None:
        self.trail: list[Moment] = []
        self.used: Counter[Used] = Counter()
        self.silent: Counter[str] = Counter()
        self.looks = 0

    def program(self, program: Program) -> Program:
        """The same program, with each of its steps compared."""

        def made(run: Run) -> Callable[[], Hashable]:
            check = program(run)
            following_ = Following(self, run)
            run.after_step = following_.stepped

            def checked() -> Hashable:
                following_.ended()
                return check()

            return checked

        return made


class Following:
    """One run, followed on the specification."""

    def __init__(self, all_: Refinement, run: Run) -> None:
        self._all, self._run = all_, run
        owners = (getattr(leave, "__self__", None) for leave in run.at_end)
        work = next(owner for owner in owners if isinstance(owner, Workload))
        plugin = work.plugin
        self._looker = Looker(run, plugin)
        self._may_leave = plugin._on_drain_timeout is not OnDrainTimeout.ROLLBACK
        groups = [group for own in self._looker.personas.values() for group, _ in own]
        self._start = LEVEL.initial(groups.count("caller"), VERSIONS_MAX, work.instances, groups.count("closer"))
        self._made = 0
        self._same = True  # as in the run before
        self._holder = NONE
        self._number = KNOWN.number(frozenset({forgotten(self._start)}))

    def _branch_off(self) -> None:
        """From here on this run is another than the one before."""
        self._same = False
        trail = self._all.trail
        del trail[self._made - 1 :]
        if trail:
            _, reached, self._holder, self._looker.numbers = trail[-1]
            self._number = reached.number

    def stepped(self, task: Task, what: str, shared: Shared | None) -> None:
        """A step was made. Raises `CheckFailed` if the specification has none like it."""
        trail, at, run = self._all.trail, self._made, self._run
        self._made = at + 1
        if self._same:
            if at < len(trail) and trail[at].choice == run.chosen[at]:
                return
            self._branch_off()
        self._all.looks += 1
        looker, before = self._looker, self._holder
        free = looker.lock._free
        if free:
            self._holder = NONE
        elif before == NONE:
            self._holder = task.index
        view = looker.look(None if free else run.tasks[self._holder])
        index = task.index
        within = index in (before, self._holder)
        thing, version = looker.named(shared)
        access = record(
            Access, (looker.personas.get(index, ()), within, what, thing, version, run.now > 0, self._may_leave)
        )
        reached = KNOWN.step(self._number, access, view)
        if not reached.ways:
            raise CheckFailed(told(task.name, access, view, KNOWN.sets[self._number]))
        self._number = reached.number
        trail.append(record(Moment, (run.chosen[at], reached, self._holder, looker.numbers)))

    def ended(self) -> None:
        """All tasks have ended."""
        if self._same:
            self._branch_off()
        trail = self._all.trail
        s = next((s for s in KNOWN.sets[self._number] if at_rest(s)), None)
        if s is None:
            raise CheckFailed(f"all have ended, and the specification has not: {summary(KNOWN.sets[self._number])}")
        used, silent = self._all.used, self._all.silent
        for moment in reversed(trail):
            s, use, names = moment.reached.ways[s]
            used[use] += 1
            for name in names:
                silent[name] += 1


def told(name: str, access: Access, view: View, states: list[State]) -> str:
    possible = sorted({f"{row.who} {i} {row.name}" for s in states for row, i, _ in following(s)})
    version = f" of version {access.version}" if access.version >= 0 else ""
    return (
        f"no step of the specification: {name} {access.what} {access.thing}{version}"
        f"{' within the lock' if access.within else ''}; now {view}; before, {summary(states)}; "
        f"possible were {', '.join(possible)}"
    )


def summary(states: list[State]) -> str:
    return " or ".join(
        ", ".join(
            f"{group[:-1]} {i} {one.at}"
            for group in ("callers", "operators", "closers", "versions", "locks")
            for i, one in enumerate(getattr(s, group))
        )
        for s in states[:3]
    )
