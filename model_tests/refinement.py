"""Does every step of the production code refine a step of the specification, or none?"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hotswap_spec import LEVELS
from hotswap_spec._model import Row
from interleaved import Workload
from refinement_view import AT, NONE, Access, View, Views
from scheduler import CheckFailed, Run, Shared
from scheduler._task import Task

ADMISSION: Final = LEVELS["admission"]
MORE: Final = {
    "caller": (
        "parked  stir  woken  -  may  wakes for no reason",
        "woken  enter_at_once (enter)  entering  unlocked, leased  must  sees its lease, and need not look again",
    ),
    "operator": (
        "parked  stir_too  drain  -  may  wakes for no reason",
        "decide  mark_and_commit  finishing  unlocked, not closed, may commit  must  commits; nobody passes meanwhile",
    ),
    "lock": (
        "free  look_too (settle)  mark  -  may  settles though nobody asks for it",
        "unmark  unmark_gone  free  gone  must  takes the mark from a closed plugin's version, which no call can enter",
    ),
}
"""Steps of the code that the specification leaves out, since they change nothing that it promises."""


def mark_and_commit(s: Any, i: int) -> Any:
    return s.commit(i).go("versions", s.newest, attention=True)


def unmark_gone(s: Any, i: int) -> Any:
    return s.unmark(i).go("versions", s.current, attention=False)


def extended() -> Any:
    table = ADMISSION.table
    for who, lines in MORE.items():
        assert table.count(f"\n{who}\n") == 1
        table = table.replace(f"\n{who}\n", "\n".join(["", who, *(f"  {line}" for line in lines), ""]))
    return replace(
        ADMISSION,
        table=table,
        guards={**ADMISSION.guards, "gone": lambda s, _: s.versions[s.current].at == "reclaimed"},
        effects={**ADMISSION.effects, "mark_and_commit": mark_and_commit, "unmark_gone": unmark_gone},
    )


LEVEL: Final = extended()
ACCESSES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "look_up": (("reads", "current"),),
    **dict.fromkeys(("pass_by", "heed", "leave", "notice"), (("reads", "attention"),)),
    **dict.fromkeys(("take", "miss", "serve", "gather"), (("pops from", "free"),)),
    **dict.fromkeys(("release", "restore"), (("appends to", "free"),)),
    **dict.fromkeys(
        ("report", "enqueue", "find_closed", "look_again", "quit_queue", "enter", "enter_at_once", "check_drain"),
        (("acquires", "lock"),),
    ),
    **dict.fromkeys(("stir", "stir_too"), (("parks on", ""),)),
    **dict.fromkeys(("publish", "reinstate"), (("stores to", "current"),)),
    "commit": (("acquires", "lock"), ("stores to", "current")),
    **dict.fromkeys(("retire", "shut_gate", "drop_candidate", "unmark", "unmark_gone", "mark_and_commit", "close"), (("stores to", "attention"),)),
    "reclaim": (("stores to", "live"),),
    "look_too": (("reads", "current"),),
    "roll_back": (("changes", "_retired"),),
}
OF_VERSION: Final[dict[str, Callable[[Any, int], int]]] = {
    **dict.fromkeys(("pass_by", "heed", "take", "miss", "leave", "notice"), lambda s, i: s.callers[i].seen),
    "release": lambda s, i: s.callers[i].lease,
    **dict.fromkeys(("serve", "unmark", "unmark_gone"), lambda s, _: s.current),
    "gather": lambda s, _: s.locks[0].version,
    "restore": lambda s, _: s.operators[0].version,
    "retire": lambda s, _: s.operators[0].version,
    "shut_gate": lambda s, _: s.current,
    **dict.fromkeys(("drop_candidate", "mark_and_commit"), lambda s, _: s.newest),
    "reclaim": lambda _, v: v,
}
SILENT: Final = frozenset(
    {"mark", "serve_no_more", "gather_no_more", "yield_to_close", "return_closed", "lose_patience", "time_out"}
)
MUST: Final = frozenset({"attention", "free"})
"""What a caller reads or changes of these without the lock is a step of the specification, never stuttering."""


def agrees(s: Any, view: View) -> bool:
    known = s.newest + 1
    if s.current != view.current or len(view.versions) < known:
        return False
    carried = [0] * known
    for v in range(known):
        one, seen = s.versions[v], view.versions[v]
        if one.free != seen.free or (one.at != "fresh" and one.attention != seen.attention):
            return False
        carried[v] = seen.hand
        if one.gathered != seen.gathered:
            carried[v] -= one.gathered - seen.gathered
            if not view.locked or not 0 <= carried[v]:
                return False
    for i, one in enumerate(s.callers):
        if one.lease != view.leases[i]:
            if view.leases[i] != NONE:
                return False
            carried[one.lease] -= 1
    if any(carried):
        return False
    return view.locked or settled_agrees(s, view)


def settled_agrees(s: Any, view: View) -> bool:
    """What is touched under the lock only, when nobody has it."""
    if s.locks[0].at != "free" or s.shut != view.shut or s.closed != view.closed:
        return False
    if any(AT[one.at] != seen.at for one, seen in zip(s.versions[: s.newest + 1], view.versions, strict=False)):
        return False
    waiting = sorted((one.place, i, one.held) for i, one in enumerate(s.callers) if one.place)
    if tuple((i, held) for _, i, held in waiting) != view.queue:
        return False
    at = [*(one.at for one in s.callers), s.operators[0].at]
    if any(asleep and where != "parked" for asleep, where in zip(view.asleep, at, strict=True)):
        return False
    kept = view.kept if view.kept != NONE and view.versions[view.kept].at in ("drains", "drained") else NONE
    return bool(kept == (s.kept if s.kept != NONE and AT[s.versions[s.kept].at] in ("drains", "drained") else NONE))


Mover = tuple[str, int, bool]
"""Group and number of the thread that a task stands for, and whether it holds the lock."""
Key = tuple[Mover, Access, View]


@dataclass(eq=False)
class Node:
    """What the specification may be in."""

    states: frozenset[Any]
    after: dict[Key, Node] = field(default_factory=dict)
    edges: dict[Key, list[tuple[Any, tuple[str, ...], Any]]] = field(default_factory=dict)
    last: bool = False


class Refinement:
    """What is known of one case, over all its runs."""

    def __init__(self, level: Any = LEVEL) -> None:
        self.level = level
        self._nodes: dict[frozenset[Any], Node] = {}
        self._next: dict[Any, list[tuple[Row, int, Any]]] = {}
        self.steps = 0

    def node(self, states: frozenset[Any]) -> Node:
        found = self._nodes.get(states)
        if found is None:
            found = self._nodes[states] = Node(states)
        return found

    def next(self, s: Any) -> list[tuple[Row, int, Any]]:
        found = self._next.get(s)
        if found is None:
            found = self._next[s] = list(self.level.next(s))
        return found

    def may(self, s: Any, mover: Mover, access: Access) -> Iterator[tuple[Row, int, Any]]:
        """The steps of the specification that such a step of the code may stand for."""
        group, number, holds = mover
        for row, i, t in self.next(s):
            who = f"{row.who}s"
            mine = (who == group and i == number) or (holds and who in ("locks", "versions"))
            if not mine or ("unlocked" in row.when and not holds):
                continue
            if row.name == "look_too" and group == "callers":
                continue
            if row.name in SILENT:
                yield row, i, t
                continue
            for what, fld in ACCESSES[row.name]:
                if access.what == what and (not fld or access.field == fld):
                    version = OF_VERSION.get(row.name)
                    if version is None or version(s, i) == access.version:
                        yield row, i, t

    def ways(self, s: Any, mover: Mover, access: Access) -> Iterator[tuple[tuple[str, ...], Any]]:
        """At most one step that has an access of its own, between any that have none."""
        seen = {(s, False)}
        todo: list[tuple[tuple[str, ...], Any, bool]] = [((), s, False)]
        must = mover[0] == "callers" and not mover[2] and access.field in MUST
        for names, at, done in todo:
            if done or not must:
                yield names, at
            for row, _, t in self.may(at, mover, access):
                spent = done or row.name not in SILENT
                if (done and row.name not in SILENT) or (t, spent) in seen:
                    continue
                seen.add((t, spent))
                todo.append(((*names, f"{row.who} {row.name}"), t, spent))

    def step(self, node: Node, mover: Mover, access: Access, view: View) -> Node:
        self.steps += 1
        key = mover, access, view
        found = node.after.get(key)
        if found is None:
            edges = [
                (s, names, t)
                for s in node.states
                for names, t in self.ways(s, mover, access)
                if agrees(t, view)
            ]
            found = node.after[key] = self.node(frozenset(t for _, _, t in edges))
            node.edges[key] = edges
        return found

    def rows_taken(self) -> set[str]:
        """Over all runs that came to their end: the steps on some way of the specification through one."""
        good: dict[Node, set[Any]] = {node: set(node.states) if node.last else set() for node in self._nodes.values()}
        rows: set[str] = set()
        grown = True
        while grown:
            grown = False
            for node in self._nodes.values():
                for key, edges in node.edges.items():
                    after = good[node.after[key]]
                    for s, names, t in edges:
                        if t in after:
                            rows.update(names)
                            if s not in good[node]:
                                good[node].add(s)
                                grown = True
        return rows

    def wrap(self, work: Workload) -> Watcher:
        return Watcher(self, work)


class Watcher:
    """Follows one run."""

    def __init__(self, refinement: Refinement, work: Workload) -> None:
        self.refinement, run = refinement, work.run
        kinds = [party.name.split()[0] for party in work.parties]
        callers = [i for i, kind in enumerate(kinds) if kind == "caller"]
        operators = [i for i, kind in enumerate(kinds) if kind in ("upgrader", "executor")]
        closers = [i for i, kind in enumerate(kinds) if kind == "closer"]
        self.threads = {
            **{task: ("callers", i) for i, task in enumerate(callers)},
            **{task: ("operators", 0) for task in operators},
            **{task: ("closers", i) for i, task in enumerate(closers)},
        }
        self.views = Views(run, work.plugin, callers, operators)
        start = ADMISSION.initial(len(callers), 1 + len(operators), work.instances, len(closers), 1)
        self.node = refinement.node(frozenset({start}))
        assert agrees(start, self.views.view)
        run.after_step = self.after_step

    def after_step(self, task: Task, what: str, shared: Shared | None) -> None:
        views = self.views
        before = views.view
        access = views.access(task, what, shared)
        group, number = self.threads.get(task.index, ("", NONE))
        mover = group, number, views.holder == task.index
        node = self.refinement.step(self.node, mover, access, views.view)
        if not node.states:
            raise CheckFailed(self._told(task, mover, access, before))
        self.node = node
        views.released()

    def end(self) -> None:
        self.node.last = True

    def _told(self, task: Task, mover: Mover, access: Access, before: View) -> str:
        ways = {
            names for s in self.node.states for names, _ in self.refinement.ways(s, mover, access) if names
        }
        possible = "; ".join(", then ".join(names) for names in sorted(ways)) or "none"
        changes = ", ".join(
            f"{name}: {old} -> {new}"
            for name, old, new in zip(View._fields, before, self.views.view, strict=True)
            if old != new
        )
        return f"{task.name} {access}: no step of the specification does that; {changes or before}; possible: {possible}"
