"""Does every step of the production code refine a step of the specification's admission level, or none?

*Inclusion of traces.* The level's states in which the specification may be are kept as a set, so that no program
counter of the code is guessed: only what both have is compared, the *view* (`refinement_view.py`). When a task has made
a step, the new set is what can be reached from the old one in ways that this step allows, and that agrees with the new
view. An empty set is a step of the code that is none of the specification's, and fails the run at that step.

*Ways.* A task stands for one thread of the level: a caller, the operator or a closer; while it holds the core's lock,
it also stands for the lock, and for the versions' reclaim. In one step of the code there is at most one step of the
level that has an access of its own, and then it is this access: the same verb, field and version
(`refinement_steps.py`). Before and after it there may be any number of the level's *silent* steps, which have none:
their places are in no field. They cannot go on for ever, since each goes forward within one settle. An upgrade may
run out of time in anybody's step: who looks at the clock after a look at the drain may have been woken in between,
and gives up all the same. No step at all is stuttering. A caller who touches attention or a bag of leases without the
lock never stutters; nor does who settles and looks into a bag in vain: it serves or gathers no more.

*What is compared.* After each step: which version is current, free leases and attention of each version, the leases
that callers own, gathered leases. While the lock is held, a lease that its holder has taken and not yet put down may
count as gathered, or as anybody's. When the lock is free, moreover: what is serving, draining, drained or reclaimed,
the queue in its order with who was held, the gate, whether it is closed; and nobody is asleep whom the specification
has woken. Which version is kept is compared only once it is retired: the code keeps it from the beginning of an attempt
on, the level from the publish, and before it is retired that makes no difference. A candidate that is not published
yet is no version of the level: the code may mark it, and drop it. When a party has ended, so has its thread. Who gives
up for lack of time does so after a timeout has passed in this run, and an upgrade commits once the old version has been
seen drained; or, if the policy is to leave the calls that still run, after the timeout.

*Bounds.* No calls trap and no task is interrupted here. Version n of the code is n - 1 of the level, so no case may
publish after it has cancelled. Steps of two operators are not told apart; one of them owns the upgrade at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hotswap import OnDrainTimeout
from hotswap_spec._model import Level, Row
from interleaved import Workload
from refinement_steps import COMMITS, LATE, LEVEL, MUST, OF_VERSION, REST, SILENT, STEPS_OF, label
from refinement_view import AT, NONE, Access, View, Views
from scheduler import CheckFailed, Program, Run, Shared
from scheduler._task import Task

NO_MORE = ("lock serve_no_more", "lock gather_no_more")
RETIRED = ("drains", "drained")


def difference(s: Any, view: View) -> str:
    """What is not as in this state of the specification when the code looks so; empty if it may be in it."""
    known = s.newest + 1
    if s.current != view.current or len(view.versions) < known:
        return "current"
    carried = [one.hand for one in view.versions[:known]]
    for v in range(known):
        one, seen = s.versions[v], view.versions[v]
        if one.free != seen.free:
            return f"free leases of version {v}"
        if one.at != "fresh" and one.attention != seen.attention:
            return f"attention of version {v}"
        carried[v] -= one.gathered - seen.gathered
    for i, (one, lease) in enumerate(zip(s.callers, view.leases, strict=True)):
        if one.lease != lease:
            if lease != NONE:
                return f"the lease of caller {i}"
            carried[one.lease] -= 1
    if any(carried):
        return "where a lease is"
    return "" if view.locked else difference_unlocked(s, view)


def difference_unlocked(s: Any, view: View) -> str:
    """The same for what is touched under the lock only, when nobody has it."""
    if s.locks[0].at != "free":
        return "who holds the lock"
    if (s.shut, s.closed) != (view.shut, view.closed):
        return "the gate, or whether it is closed"
    ats = [AT[one.at] for one in s.versions[: s.newest + 1]]
    if any(at != seen.at for at, seen in zip(ats, view.versions, strict=False)):
        return "which versions are retired, drained or reclaimed"
    waiting = sorted((one.place, i, one.held) for i, one in enumerate(s.callers) if one.place)
    if tuple((i, held) for _, i, held in waiting) != view.queue:
        return "the queue"
    threads = (*s.callers, *s.operators)
    if any(asleep and one.at != "parked" for asleep, one in zip(view.asleep, threads, strict=True)):
        return "who sleeps"
    kept = view.kept if view.kept != NONE and view.versions[view.kept].at in RETIRED else NONE
    same = kept == (s.kept if s.kept != NONE and ats[s.kept] in RETIRED else NONE)
    return "" if same else "which version is kept"


def may_commit(s: Any, mover: Mover) -> bool:
    """The level leaves open when an upgrade commits that has not waited: by INTERRUPT or DETACH, and out of time."""
    old = s.old()
    return bool(old.at == "drained" or old.gathered == s.size or (mover.leaves and mover.late))


class Mover(NamedTuple):
    """For whom a task makes a step."""

    group: str = ""  # of its thread; empty if it has none: a canceller, a reaper
    number: int = NONE
    holds: bool = False  # the core's lock, at the beginning of the step or since
    ends: bool = False  # its party is at its end with this step
    late: bool = False  # a timeout has passed in this run
    leaves: bool = False  # the policy is to commit when it has passed, though calls still run


Key = tuple[Mover, Access, View]
Edge = tuple[Any, tuple[str, ...], Any]
"""A state, the steps of a way, and the state it leads to."""


@dataclass(eq=False)
class Node:
    """A set of states in which the specification may be."""

    states: frozenset[Any]
    after: dict[Key, Node] = field(default_factory=dict)
    edges: dict[Key, list[Edge]] = field(default_factory=dict)
    last: bool = False
    """Whether some run has ended here."""


class Refinement:
    """What is known of the sets of states of one case, over all its runs."""

    def __init__(self, level: Level = LEVEL) -> None:
        self._level = level
        self.nodes: dict[frozenset[Any], Node] = {}
        self._next: dict[Any, list[tuple[Row, int, Any]]] = {}
        self.steps = 0

    def node(self, states: frozenset[Any]) -> Node:
        if (found := self.nodes.get(states)) is None:
            found = self.nodes[states] = Node(states)
        return found

    def start(self, **options: int) -> Node:
        return self.node(frozenset({self._level.initial(**options)}))

    def step(self, node: Node, mover: Mover, access: Access, view: View) -> Node:
        """The specification was in `node`, and the code has made a step; no states if that cannot be."""
        self.steps += 1
        key = mover, access, view
        if (found := node.after.get(key)) is None:
            ways = ((s, names, t) for s in node.states for names, t in self.ways(s, mover, access))
            edges = node.edges[key] = [way for way in ways if not self.differs(way[2], mover, view)]
            found = node.after[key] = self.node(frozenset(t for _, _, t in edges))
        return found

    def differs(self, s: Any, mover: Mover, view: View) -> str:
        """Why the code's step cannot have led to this state; empty if it can."""
        if mover.ends and getattr(s, mover.group)[mover.number].at != REST[mover.group]:
            return "that it has ended"
        return difference(s, view)

    def ways(self, s: Any, mover: Mover, access: Access) -> Iterator[tuple[tuple[str, ...], Any]]:
        """At most one step that is this access, between any that have none."""
        must = mover.group == "callers" and not mover.holds and access.field in MUST
        seen = {(s, False)}
        todo: list[tuple[tuple[str, ...], Any, bool]] = [((), s, False)]
        if mover.holds and access.kind == "pops from free":
            must = access.version <= s.newest and s.versions[access.version].at in ("live", "retired")
        for names, at, done in todo:
            if done or not must or (mover.holds and any(name in NO_MORE for name in names)):
                yield names, at
            for row, t in self._may(at, mover, access, done):
                now_done = done or row.name not in SILENT
                if (t, now_done) not in seen:
                    seen.add((t, now_done))
                    todo.append(((*names, label(row)), t, now_done))

    def _may(self, s: Any, mover: Mover, access: Access, done: bool) -> Iterator[tuple[Row, Any]]:
        if (following := self._next.get(s)) is None:
            following = self._next[s] = list(self._level.next(s))
        names = STEPS_OF.get(access.kind, frozenset())
        for row, i, t in following:
            if row.who in ("lock", "version"):
                if not mover.holds or (row.name == "look_too" and mover.group == "callers"):
                    continue  # what a caller settles for has its own steps
            elif row.name == "time_out":
                pass  # time passes, whoever makes a step
            elif f"{row.who}s" != mover.group or i != mover.number or ("unlocked" in row.when and not mover.holds):
                continue
            if row.name not in SILENT:
                of = OF_VERSION.get(row.name)
                if done or row.name not in names or (of is not None and of(s, i) != access.version):
                    continue
            if (row.name in LATE and not mover.late) or (row.name in COMMITS and not may_commit(s, mover)):
                continue
            yield row, t

    def stuttering(self) -> set[str]:
        """The accesses that were no step of the level in some run that ended, on some way of the level through it."""
        good = {node: set(node.states) if node.last else set[Any]() for node in self.nodes.values()}
        kinds, grown = set[str](), True
        while grown:
            grown = False
            for node, states in good.items():
                for key, edges in node.edges.items():
                    after = good[node.after[key]]
                    for s, names, t in edges:
                        if t not in after:
                            continue
                        if not names:
                            kinds.add(key[1].kind)
                        if s not in states:
                            states.add(s)
                            grown = True
        return kinds


class Follower:
    """Follows one run of a workload, step by step."""

    def __init__(self, refinement: Refinement, work: Workload) -> None:
        self._refinement, self._run = refinement, work.run
        kinds = [party.name.split()[0] for party in work.parties]
        callers, operators, closers = (
            [task for task, kind in enumerate(kinds) if kind in those]
            for those in (("caller",), ("upgrader", "executor"), ("closer", "unregisterer", "manager"))
        )
        self._operators = operators
        self._leaves = work.plugin._on_drain_timeout is not OnDrainTimeout.ROLLBACK
        self._threads = {task: ("callers", i) for i, task in enumerate(callers)}
        self._threads |= dict.fromkeys(operators, ("operators", 0))
        self._threads |= {task: ("closers", i) for i, task in enumerate(closers)}
        self._views = Views(work.run, work.plugin, callers, operators)
        versions = 2 + len(operators)  # one of them may upgrade twice
        self.node = refinement.start(
            callers=len(callers), versions=versions, size=work.instances, closers=len(closers), calls=1
        )
        assert not any(difference(s, self._views.view) for s in self.node.states)
        work.run.after_step = self.after_step

    def after_step(self, task: Task, what: str, shared: Shared | None) -> None:
        views = self._views
        before = views.view
        access = views.look(task, what, shared)
        group, number = self._threads.get(task.index, ("", NONE))
        ends = what == "ends:" and bool(group) and (group != "operators" or self._all_end(task))
        mover = Mover(group, number, views.holder == task.index, ends, self._run.now > 0, self._leaves)
        node = self._refinement.step(self.node, mover, access, views.view)
        if not node.states:
            raise CheckFailed(self._told(task, mover, access, before))
        self.node = node
        views.done()

    def _all_end(self, task: Task) -> bool:
        tasks = (self._run.tasks[number] for number in self._operators)
        return all(one is task or one.done for one in tasks)

    def _told(self, task: Task, mover: Mover, access: Access, before: View) -> str:
        """The step, what it changed, and what the specification could have done instead."""
        told, after = set[str](), self._views.view
        for s in self.node.states:
            at = " ".join(one.at for group in s[2:6] for one in group)
            for names, t in self._refinement.ways(s, mover, access):
                why = self._refinement.differs(t, mover, after)
                told.add(f"{', '.join(names) or 'no step'} at {at} (differs: {why})")
        possible = "; ".join(sorted(told)) or "nothing"
        return (
            f"{task.name} {access}: the specification has no such step. "
            f"Changed: {'; '.join(before.changes(after)) or 'nothing'}. Possible: {possible}"
        )


def followed(program: Program, refinement: Refinement) -> Program:
    """The same workload, each step of which must refine."""

    def made(run: Run) -> Callable[[], Hashable]:
        check: Any = program(run)
        held = dict(zip(check.__code__.co_freevars, check.__closure__, strict=True))
        follower = Follower(refinement, held["workload"].cell_contents)

        def checked() -> Hashable:
            follower.node.last = True
            result: Hashable = check()
            return result

        return checked

    return made
