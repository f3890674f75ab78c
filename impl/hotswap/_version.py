"""What the core moves about: versions, their leases, the calls that wait, the attempts to upgrade.

A lease cannot be lost. It is one object that is always in exactly one place: in its version's `free` bag, in
`tombs` (its instance was discarded), in `gathered` (taken in by the drain), with a waiter, or with the one
thread that is inside. When an exception (Ctrl-C, say) strikes between a checkout and the `try` that would
return it, nobody holds the object any more, and its finalizer sends a new lease home in its stead. A
finalizer can run at any moment, on any thread, inside any critical section; so it takes no lock: it puts the
lease back with one atomic step and wakes whoever waits, and they see to the rest.
"""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from hotswap._frames import demand_frames

if TYPE_CHECKING:
    from hotswap._manifest import PluginManifest
    from hotswap._ports import Atomic, Bag, Code, Instance, Parker, Sync


class Version:
    """One immutable pair of code and manifest, and the leases on its instances. Its id never repeats."""

    __slots__ = (
        "announced",
        "attention",
        "code",
        "free",
        "gathered",
        "id",
        "live",
        "manifest",
        "size",
        "tombs",
        "wake",
    )

    def __init__(
        self, number: int, code: Code, manifest: PluginManifest, instances: Iterable[Instance], sync: Sync
    ) -> None:
        self.live: Atomic[bool] = sync.atomic(False)  # from offer to reclaim: leases go home by themselves
        self.id = number
        self.code = code
        self.manifest = manifest
        self.attention: Atomic[bool] = sync.atomic(False)
        """Callers and releases must take the slow path: calls wait, the gate is shut, or this is retired."""
        leases = [Lease(self, instance) for instance in instances]
        self.size = len(leases)
        self.free: Bag[Lease] = sync.bag(leases)
        self.tombs: Bag[Lease] = sync.bag(())
        self.gathered: list[Lease] = []  # guarded by the core's lock
        self.announced = False  # that it is drained; guarded by the core's lock
        self.wake: Callable[[], None] = _nobody

    def take(self) -> Lease | None:
        """A free lease, or None. `Core.admit` has it written out, and `Core.release` has `home_of`: two calls less."""
        try:
            return self.free.pop()
        except IndexError:
            return None

    def home_of(self, lease: Lease) -> Bag[Lease]:
        return self.tombs if lease.dead else self.free

    @property
    def in_flight(self) -> int:
        """Calls inside. Exact under the lock while no lease is on its way home."""
        return self.size - len(self.free) - len(self.tombs) - len(self.gathered)

    @property
    def drained(self) -> bool:
        """Every lease is accounted for, so nothing is in flight, and nothing can come in. Under the lock."""
        return len(self.gathered) + len(self.tombs) == self.size


class Lease:
    """Proof of admission. Whoever holds it is alone inside `instance`.

    A `dead` lease is a tombstone: its instance was discarded, and it only keeps the place of one.
    """

    __slots__ = ("dead", "instance", "version")

    def __init__(self, version: Version, instance: Instance, dead: bool = False) -> None:
        self.version = version
        self.instance = instance
        self.dead = dead

    def __del__(self) -> None:
        version = getattr(self, "version", None)  # unset if Ctrl-C struck `__init__`
        if version is not None and version.live.value:
            try:
                demand_frames()
            except RecursionError:  # a thread of its own has room; there this runs once more, and never a third time
                start_new_thread(Lease.__del__, (self,))
                return
            lease = type(self)(version, self.instance, self.dead or self.instance.broken)
            version.home_of(lease).append(lease)
            version.wake()


class Failure:
    """Why an instance could not be made for a version. Holds neither it nor the error, which would keep it alive."""

    __slots__ = ("_says", "_version")

    def __init__(self, version: Version | None, error: Exception) -> None:
        self._version, self._says = version and version.id, str(error)

    def told_of(self, version: Version) -> str:
        """What to add to a message about that version: nothing if it was another one's."""
        if self._version != version.id:
            return ""
        return f"; the latest try to replace a discarded instance failed: {self._says}"


class Waiter:
    """A call that is not admitted yet: it waits at the gate, or for a free instance."""

    __slots__ = ("held", "lease", "parker", "since", "timeout")

    def __init__(self, parker: Parker, timeout: float) -> None:
        self.parker = parker
        self.timeout = timeout
        self.since = 0.0
        self.lease: Lease | None = None
        self.held = False
        """It waited when a gate opened, so the next gate must let it through first (L3)."""


class Attempt:
    """The token that owns an upgrade. Bound to no thread; made before it is claimed, so it cannot be lost."""

    __slots__ = ("candidate", "decided", "old", "overdue")

    def __init__(self) -> None:
        self.old: Version | None = None
        self.candidate: Version | None = None
        self.overdue = False
        """If it is committed, then by the decision to interrupt the calls on the old version."""
        self.decided = False
        """Committed or rolled back: nothing undoes it any more."""


def _nobody() -> None:
    """Nobody waits for a version that no core has adopted yet."""
