"""What can be seen of the production objects between two steps of a run, in the specification's words.

A look changes nothing and announces nothing: it reads what the ports' fakes hold.

*Versions* are numbered as in the specification: the first is 0, and a candidate gets the next number when it is
published (OVERLAP) or the gate is shut for it (EXCLUSIVE). A candidate that is dropped before has none; there is
nothing in the specification that it could be compared with.

*What is seen at any moment* is what calls touch without the lock, the leases and the queue. A lease that is on its way
under the lock is told by the access that its holder makes next: one that is about to be stored in a waiter has been
given to it, one about to be put back by a reinstate is still gathered.

*What is seen only while nobody has the lock* is what several stores of one critical section change: whether a version
is retired, whether the gate is shut, and so on; see `Calm`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from hotswap import HotReloadablePlugin
from hotswap._protocol import HotReloadProtocol
from hotswap._upgrade import Upgrades
from hotswap._version import Lease, Version
from hotswap_spec.admission import NONE, State
from scheduler import Run, SchedulerSync, Shared
from scheduler._ports import Bag, Parker

if TYPE_CHECKING:
    from scheduler._task import Task

T = TypeVar("T")
Persona = tuple[str, int]
"""A thread of the specification: a group of it, and a number."""
OF_NO_VERSION: Final = -2
record: Final[Callable[..., Any]] = tuple.__new__
"""Makes a named tuple of a tuple, without the cost of its constructor."""
OBJECTS: Final[dict[type, tuple[str, ...]]] = {
    HotReloadProtocol: ("_lock", "current", "closed", "_parked", "phase", "book"),
    Upgrades: ("_reclaiming", "_mending", "_at_it"),
}
WOKEN: Final = {("caller", "woken"), ("operator", "drain")}
"""Where a thread is that was parked and has been woken."""


class OfVersion(NamedTuple):
    free: int
    gathered: int
    attention: bool
    reclaimed: bool
    at: str
    """Its place in the specification; told by several stores, and so compared while nobody has the lock."""


class Calm(NamedTuple):
    """What is compared while nobody has the lock."""

    closed: bool
    shut: bool
    kept: int
    held: tuple[bool, ...]
    """Of those in the queue, whether they were held by a gate that has opened since."""
    asleep: frozenset[Persona]
    """Who is parked and has no permit: nobody of these may have been woken."""
    idle: bool
    """No attempt is under way, so neither is the operator."""
    known: int
    """So many versions have a number."""


class View(NamedTuple):
    current: int
    versions: tuple[OfVersion, ...]
    queue: tuple[int, ...]
    """The callers that wait and have no lease, oldest first."""
    calm: Calm | None


RECLAIMED: Final = OfVersion(0, 0, False, True, "reclaimed")


class OwnedParker(Parker):
    __slots__ = ("owner",)
    owner: Task | None


class KnowingSync(SchedulerSync):
    """Parkers know whose they are, and versions are known from the moment at which they are made."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.versions: list[Version] = []

    def parker(self) -> OwnedParker:
        parker = OwnedParker(self._run)
        parker.owner = self._run.current
        return parker

    def bag(self, items: Iterable[T]) -> Bag[T]:
        bag = Bag(self._run, items)
        self.versions += [lease.version for lease in bag._items[:1] if isinstance(lease, Lease)]
        return bag


class Looker:
    """Looks at one plugin in one run."""

    def __init__(self, run: Run, plugin: HotReloadablePlugin) -> None:
        self._protocol: Any = plugin._protocol
        upgrades: Any = plugin._upgrades
        owner = self._protocol._owner
        current: Any = self._protocol.current
        first: Version = current._value
        self._protocol._sync = sync = KnowingSync(run)
        self.versions = sync.versions
        self.versions += [first] if owner is None or owner.candidate is None else [first, owner.candidate]
        self.lock: Any = self._protocol._lock
        self.numbers: tuple[int, ...] = (first.id,)
        """The ids of the versions that have a number, in order."""
        self.personas = _personas(run.tasks)
        self._tasks = run.tasks
        self._names: dict[int, tuple[str, int]] = {
            getattr(it, name).key: (name.lstrip("_"), 0)
            for it in (self._protocol, upgrades)
            for name in OBJECTS[type(it)]
        }

    # -- names -------------------------------------------------------------------------------------------------

    def named(self, shared: Shared | None) -> tuple[str, int]:
        """What an object is, and the number of its version; NONE if that has none, OF_NO_VERSION if it is of none."""
        if shared is None:
            return "nothing", OF_NO_VERSION
        name, of = self._names.get(shared.key) or self._named_anew(shared)
        if of:
            return name, self.numbers.index(of) if of in self.numbers else NONE
        return name, OF_NO_VERSION

    def _named_anew(self, shared: Shared) -> tuple[str, int]:
        for version in self.versions:
            for name in ("free", "attention", "live", "tombs"):
                self._names[getattr(version, name).key] = name, version.id
        if shared.key not in self._names:
            name = "end" if " " in shared.label else shared.label.partition("#")[0].lstrip("_")
            self._names[shared.key] = name, 0
        return self._names[shared.key]

    # -- the view ----------------------------------------------------------------------------------------------

    def look(self, holder: Task | None) -> View:
        """While `holder`, or nobody, has the lock."""
        protocol = self._protocol
        found = {version.id: version for version in self.versions}
        current, retired = protocol.current._value, protocol.__dict__["_retired"]
        shut, owner = protocol._shut_since is not None, protocol._owner
        if current.id not in self.numbers:
            self.numbers += (current.id,)
        elif shut and owner is not None and owner.candidate is not None and owner.candidate.id not in self.numbers:
            self.numbers += (owner.candidate.id,)
        waiting = [waiter for waiter in protocol._waiters if waiter.lease is None]
        back: Shared | None = None
        if holder is not None and holder.what == "appends to":
            back = holder.shared
        elif holder is not None and holder.what == "changes" and self.named(holder.shared)[0] == "lease":
            del waiting[:1]
        versions = tuple([_of(found[id_], current, retired, back) for id_ in self.numbers])
        queue = tuple([self.personas[waiter.parker.owner.index][0][1] for waiter in waiting])
        calm = None
        if holder is None:
            kept = protocol._kept
            calm = Calm(
                protocol.closed._value,
                shut,
                NONE if kept is None or (kept is current and not shut) else self.numbers.index(kept.id),
                tuple([waiter.held for waiter in waiting]),
                self._asleep(),
                owner is None,
                len(self.numbers),
            )
        view: View = record(View, (self.numbers.index(current.id), versions, queue, calm))
        return view

    def _asleep(self) -> frozenset[Persona]:
        found: list[Persona] = []
        for task in self._tasks:
            if task.what == "parks on" and not task.done and task.ready is not None and not task.ready():
                found += self.personas.get(task.index, ())
        return frozenset(found)


def _of(version: Version, current: Version, retired: list[Version], back: Shared | None) -> OfVersion:
    v: Any = version
    if not v.live._value:
        return RECLAIMED
    serves = "live" if v is current else "fresh"
    at = ("drained" if v.announced else "retired") if v in retired else serves
    seen = len(v.free._items), len(v.gathered) + (v.free is back), v.attention._value, False, at
    told: OfVersion = record(OfVersion, seen)
    return told


def agrees(s: State, view: View) -> bool:
    """Whether the production objects look as a state of the specification does."""
    if s.current != view.current:
        return False
    for one, seen in zip(s.versions, view.versions, strict=False):
        if (one.at == "reclaimed") != seen.reclaimed or one.free != seen.free or one.gathered != seen.gathered:
            return False
        if one.at not in ("fresh", "reclaimed") and one.attention != seen.attention:
            return False
    if (
        tuple(sorted((i for i, one in enumerate(s.callers) if one.place), key=lambda i: s.callers[i].place))
        != view.queue
    ):
        return False
    return view.calm is None or _agrees_calmly(s, view, view.calm)


def _agrees_calmly(s: State, view: View, calm: Calm) -> bool:
    if (s.closed, s.shut, s.kept, s.newest + 1) != (calm.closed, calm.shut, calm.kept, calm.known):
        return False
    if s.locks[0].at != "free" or any(one.at != seen.at for one, seen in zip(s.versions, view.versions, strict=False)):
        return False
    if tuple(s.callers[i].held for i in view.queue) != calm.held:
        return False
    if calm.idle and not s.closed and s.operators[0].at != "rest":
        return False
    return not any((who, getattr(s, f"{who}s")[i].at) in WOKEN for who, i in calm.asleep)


def _personas(tasks: list[Task]) -> dict[int, tuple[Persona, ...]]:
    """Which threads of the specification each task stands for; by the names of parties."""
    found: dict[int, tuple[Persona, ...]] = {}
    counts = {"caller": 0, "closer": 0}
    for task in tasks:
        own: list[Persona] = []
        for word in re.findall("[a-z]+", task.name):
            if word in counts:
                own.append((word, counts[word]))
                counts[word] += 1
            elif word in ("upgrader", "executor"):
                own.append(("operator", 0))
        found[task.index] = tuple(own)
    return found
