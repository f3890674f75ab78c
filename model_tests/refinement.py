"""Refinement: whatever the production code does, step by step, the specification's admission level can do as well.

After each step of a run the production objects are looked at (`refinement_view.py`), and the *set* of the states in which
the specification may be is carried on: from each of them by the steps that this access may be (`refinement_rules.py`),
or by nothing where that is allowed; those remain that look as the objects do. So no program counter has to be guessed,
and nothing has to be known beforehand: where the code decides later what it has done, both possibilities are kept until
then. When none remains, the step is none of the specification, and the run fails there. When all tasks have ended, one
of the states must be at rest.

*What this shows.* Every schedule that was looked at is a run of the specification, in which each step of the code is one
step of the table, or none, but for those of the `lock` that need no access. So what is proved or explored of the
specification holds of the code in these schedules, as far as the view tells states apart.

*What a reduction means for that.* The search makes one run of each class of schedules, and looks between two steps that
are independent in one order only. Nothing is missed by that if the steps of the specification that stand for them are
independent as well. They are: a step made without the lock looks at and changes its own thread and the one object of
its rule (`current` to read it, a version's mark, a version's free leases), which is the object that the code accesses;
a step made within the lock changes these objects in the access that stands for it, and otherwise only what the lock
guards, and threads that are parked or served, none of which may make a step without the lock that looks at it, but for
`stir`, whose access is that to the parker that a wake touches as well. Two steps of the specification are more than the
access: `publish` and `commit` store a mark with `current`, and before them nobody can have read of that version; and
`release` and `look_up` touch history, which is left out. That argument is checked where all orders can be looked at:
every case within one preemption, without a reduction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Final, NamedTuple

from hotswap import OnDrainTimeout
from hotswap_spec.admission import NONE, State
from interleaved import Workload
from refinement_level import LEVEL, at_rest, following, forgotten
from refinement_rules import ABOUT, LATE, SILENT, Access, Key, Rule, rules_for
from refinement_view import OF_NO_VERSION, Looker, Persona, View, agrees
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
        self.sets: list[frozenset[State]] = []
        self._numbers: dict[frozenset[State], int] = {}
        self._reached: dict[tuple[int, Access, View], Reached] = {}

    def number(self, states: frozenset[State]) -> int:
        if states not in self._numbers:
            self._numbers[states] = len(self.sets)
            self.sets.append(states)
        return self._numbers[states]

    def step(self, number: int, access: Access, view: View) -> Reached:
        """From one set of states to the next; each set has a number."""
        key = number, access, view
        found = self._reached.get(key)
        if found is None:
            ways: dict[State, Way] = {}
            for before in self.sets[number]:
                for s, way in steps_of(before, access):
                    if s not in ways and agrees(s, view):
                        ways[s] = way
            found = self._reached[key] = Reached(self.number(frozenset(ways)), ways)
        return found


KNOWN: Final = Known()


def steps_of(before: State, access: Access) -> Iterator[tuple[State, Way]]:
    """Where the specification may go while the code makes an access."""
    silently = silent_steps if access.within else no_steps
    for key, rule, persona in rules_for(access):
        for start, first in silently(before):
            after = list(own_steps(start, access, rule, persona))
            if may_stutter(start, rule, persona, bool(after)):
                after.append((start, "-"))
            for to, name in after:
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


def may_stutter(s: State, rule: Rule, persona: Persona | None, possible: bool) -> bool:
    if rule.how == "-":
        return not rule.rows or persona is None or getattr(s, f"{persona[0]}s")[persona[1]].at in rule.rows
    return rule.how == "may" or (rule.how == "if" and not possible)


def silent_steps(s: State) -> list[tuple[State, tuple[str, ...]]]:
    """The state, and those that the lock's silent steps lead to."""
    found: list[tuple[State, tuple[str, ...]]] = [(s, ())]
    for before, names in found:
        found += [(to, (*names, row.name)) for row, _, to in following(before) if row.name in SILENT]
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
        thing, version = looker.named(shared)
        within = task.index in (before, self._holder)
        who = looker.personas.get(task.index, ())
        access = Access(who, within, what, thing, version, run.now > 0, self._may_leave)
        reached = KNOWN.step(self._number, access, view)
        if not reached.ways:
            raise CheckFailed(told(task.name, access, view, KNOWN.sets[self._number]))
        self._number = reached.number
        trail.append(Moment(run.chosen[at], reached, self._holder, looker.numbers))

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


def told(name: str, access: Access, view: View, states: frozenset[State]) -> str:
    possible = sorted({f"{row.who} {i} {row.name}" for s in states for row, i, _ in following(s)})
    version = f" of version {access.version}" if access.version >= 0 else ""
    return (
        f"no step of the specification: {name} {access.what} {access.thing}{version}"
        f"{' within the lock' if access.within else ''}; now {view}; before, {summary(states)}; "
        f"possible were {', '.join(possible)}"
    )


def summary(states: frozenset[State]) -> str:
    return " or ".join(
        ", ".join(
            f"{group[:-1]} {i} {one.at}"
            for group in ("callers", "operators", "closers", "versions", "locks")
            for i, one in enumerate(getattr(s, group))
        )
        for s in sorted(states)[:3]
    )
