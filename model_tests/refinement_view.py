"""What the admission level of the specification says of the production objects after each step: a view of them.

A view is taken between two steps, when no task runs, from the objects' private fields, so that nothing is announced.
It holds no program counters. Two things are not in any field, and are kept by watching: whose a waiter in the queue is
(the task that put it there), and whose a lease is that is in no bag (the task that popped it, or whose waiter got it).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from hotswap import HotReloadablePlugin
from hotswap._version import Lease, Version, Waiter
from scheduler import Run, Shared
from scheduler._task import Task

NONE: Final = -1
AT: Final = {
    "fresh": "serves",
    "live": "serves",
    "retired": "drains",
    "drained": "drained",
    "reclaimed": "reclaimed",
}
"""Places of a version in the specification, as they can be told from its fields."""

KINDS: Final = frozenset({"lock", "parker", "atomic", "bag"})


class VersionView(NamedTuple):
    at: str  # serves, drains, drained or reclaimed
    free: int
    gathered: int
    attention: bool
    hand: int  # leases that a task which holds the lock carries from one place to another


class View(NamedTuple):
    """Versions and callers are numbered from 0, as in the specification."""

    locked: bool
    current: int
    versions: tuple[VersionView, ...]  # also those that the specification does not know yet
    leases: tuple[int, ...]  # by caller: the version whose lease it owns
    queue: tuple[tuple[int, bool], ...]  # who waits, and whether a gate held it
    asleep: tuple[bool, ...]  # by caller, and then the operator: parked, and no wake is pending
    kept: int
    shut: bool
    closed: bool

    def changes(self, after: View) -> Iterator[str]:
        """What differs in a later view, in words."""
        for name, old, new in zip(self._fields, self, after, strict=True):
            if name != "versions":
                yield from [f"{name} {old} -> {new}"] if old != new else []
        for v, one in enumerate(after.versions):
            was = self.versions[v] if v < len(self.versions) else None
            if was is None:
                yield f"version {v} -> {one}"
                continue
            for name, old, new in zip(one._fields, was, one, strict=True):
                yield from [f"{name} of version {v} {old} -> {new}"] if old != new else []


class Access(NamedTuple):
    """What a step did: the scheduler's word, the field, and the version whose field it is."""

    what: str
    field: str = ""
    version: int = NONE

    @property
    def kind(self) -> str:
        return f"{self.what} {self.field}"

    def __str__(self) -> str:
        of = f" of version {self.version}" if self.version != NONE else ""
        return f"{self.kind}{of}"


class Views:
    """Looks at one plugin during one run. `callers` and `operators` are their tasks' numbers."""

    def __init__(self, run: Run, plugin: HotReloadablePlugin, callers: list[int], operators: list[int]) -> None:
        self._run, self._protocol = run, plugin._protocol
        self._callers = {task: i for i, task in enumerate(callers)}
        self._tasks = [[task] for task in callers] + [operators]
        protocol = self._protocol
        self._names: dict[object, Access] = {
            protocol._lock: Access("", "lock"),
            protocol._parked: Access("", "parked"),
            **{getattr(protocol, name): Access("", name) for name in ("current", "closed", "phase", "book")},
        }
        self._versions: list[Version] = []
        self._leases: list[list[Lease]] = []
        self._owners: dict[Lease, int] = {}
        self._waiters: dict[Waiter, int] = {}
        self._served: set[Waiter] = set()  # of them, whose lease has been seen
        self.holder = NONE
        """The task that holds the core's lock."""
        self.view = self._look(NONE, NONE)

    def look(self, task: Task, what: str, shared: Shared | None) -> Access:
        """A step was made: what it did. `view` is how things are now, `holder` who held the lock during the step."""
        name = self._names.get(shared) if shared is not None else None
        if name is None:
            label = (
                shared.label.partition("#")[0].removeprefix("old ").removeprefix("new ") if shared is not None else ""
            )
            found = Access(what, f"another {label}" if label in KINDS else label)
        else:
            found = name._replace(what=what)
        if found.field == "lock" and what == "acquires":
            self.holder = task.index
        self.view = self._look(task.index, found.version if found.kind == "pops from free" else NONE)
        return found

    def done(self) -> None:
        """The step that was looked at is done with."""
        if not self.view.locked:
            self.holder = NONE

    def _know(self, version: Version) -> None:
        if version.id == len(self._versions) + 1:
            number = version.id - 1
            self._versions.append(version)
            self._leases.append(list(version.free._items))  # type: ignore[attr-defined]
            for field in ("free", "attention", "live", "tombs"):
                self._names[getattr(version, field)] = Access("", field, number)

    def _look(self, task: int, popped: int) -> View:
        """`popped` is the version from whose free leases the task has just popped."""
        protocol = self._protocol
        current = protocol.current._value  # type: ignore[attr-defined]
        self._know(current)
        attempt = protocol._owner
        if attempt is not None and attempt.candidate is not None:
            self._know(attempt.candidate)
        locked = not protocol._lock._free  # type: ignore[attr-defined]
        queue = []
        for waiter in protocol._waiters:
            whose = self._waiters.setdefault(waiter, task)
            queue.append((self._callers.get(whose, NONE), waiter.held))
        owned = [NONE] * len(self._callers)
        versions = tuple(self._version(v, task, v == popped, owned) for v in range(len(self._versions)))
        kept = protocol._kept
        return View(
            locked,
            current.id - 1,
            versions,
            tuple(owned),
            tuple(queue),
            tuple(any(self._sleeps(one) for one in tasks) for tasks in self._tasks),
            NONE if kept is None else kept.id - 1,
            protocol._shut_since is not None,
            protocol.closed._value,  # type: ignore[attr-defined]
        )

    def _version(self, v: int, task: int, popped: bool, owned: list[int]) -> VersionView:
        version, owners, hand = self._versions[v], self._owners, 0
        free, gathered = version.free._items, version.gathered  # type: ignore[attr-defined]
        popped = popped and len(free) < self.view.versions[v].free  # else it looked in vain
        assert not version.tombs._items, "no instance is lost in these workloads"  # type: ignore[attr-defined]
        for lease in self._leases[v]:
            if lease in free or lease in gathered:
                owners.pop(lease, None)
                continue
            owner = owners.get(lease, NONE)
            if owner == NONE:
                owner = self._taker(lease, task, popped)
                if owner == NONE:
                    hand += 1
                    continue
                owners[lease] = owner
            owned[self._callers[owner]] = v
        if not version.live._value:  # type: ignore[attr-defined]
            at, count = "reclaimed", 0
        else:
            at = ("drained" if version.announced else "drains") if version in self._protocol._retired else "serves"
            count = len(gathered)
        return VersionView(at, len(free), count, version.attention._value, hand)  # type: ignore[attr-defined]

    def _taker(self, lease: Lease, task: int, popped: bool) -> int:
        """Whose call a lease is that was free until now; nobody's while it is in the hand of who holds the lock."""
        if popped and self.holder != task:
            return task
        for waiter, whose in self._waiters.items():
            if waiter.lease is lease and waiter not in self._served:
                self._served.add(waiter)
                return whose
        return NONE

    def _sleeps(self, number: int) -> bool:
        task = self._run.tasks[number]
        return not task.done and task.what == "parks on" and not task.shared._permit  # type: ignore[union-attr]
