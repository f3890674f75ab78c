"""What becomes of a version after its admissions: drain, reclaim, and instances lost to traps."""

from __future__ import annotations

from hotswap._core import Core
from hotswap._locked import locked
from hotswap._ports import Clock, Instance, Sync
from hotswap._version import Lease, Version


class Lifecycle(Core):
    """From retire to reclaim: S3 and S8, and L2. Refines the spec's admission level."""

    def __init__(self, name: str, first: Version, sync: Sync, clock: Clock) -> None:
        super().__init__(name, first, sync, clock)
        self._kept: Version | None = None
        """The version that an attempt may still roll back to: it is not reclaimed, though it be drained."""
        self.discarded = 0
        """Instances lost to traps so far."""
        self.abandoned = False
        """The plugin was dropped. Set once, without the lock: a finalizer does it."""

    def await_drain(self, version: Version, timeout: float | None, *, closing: bool = False) -> bool:
        """Wait until nothing is in flight on a retired `version`; False after `timeout` seconds (None: no limit).

        Raises `PluginClosed` when the plugin closes meanwhile, unless it is the one who closes that waits. Of a plugin
        that was dropped nobody waits for anything.
        """
        parker = self._sync.parker()
        deadline = None if timeout is None else self._clock.now() + timeout
        try:
            self._parked.append(parker)
            while not self._drained(version, closing):
                left = None if deadline is None else deadline - self._clock.now()
                if left is not None and left <= 0:
                    return False
                parker.park(left)
            return True
        finally:
            self._parked.remove(parker)

    @locked
    def _drained(self, version: Version, closing: bool) -> bool:
        self._settle()
        if not closing:
            self._refuse_closed()
        return version.drained or self.abandoned

    @locked
    def reclaim(self, version: Version) -> list[Lease]:
        """The leases of a retired and drained version, whose instances the caller closes before it says `forget`.

        None while calls are in flight, nor while an attempt could still roll back to it: nothing is reclaimed before
        the commit. An interrupted caller may ask again; each instance closes once only (S3).
        """
        self._settle()
        if version is self._kept or version not in self._retired or not version.drained:
            return []
        version.live.value = False
        return [*version.gathered, *version.tombs.copy()]

    @locked
    def forget(self, version: Version) -> None:
        """The instances of a reclaimed version are closed."""
        if version in self._retired and not version.live.value:
            self._retired.remove(version)

    @locked
    def bury(self, lease: Lease) -> None:
        """Keep the place of a discarded instance by its `dead` lease, so that the drain counts it."""
        self.discarded += 1
        lease.version.tombs.append(lease)
        self._settle()

    @locked
    def wants_instances(self) -> Version | None:
        """The current version, if some of its instances were discarded."""
        version = self.current.value
        return version if self._has_use(version) else None

    @locked
    def revive(self, version: Version, instance: Instance) -> bool:
        """Put a new instance in the place of a discarded one; False if there is no use for it any more."""
        if not self._has_use(version):
            return False
        lease = version.tombs.pop()
        lease.instance, lease.dead = instance, False
        version.free.append(lease)
        self._settle()
        return True

    def _has_use(self, version: Version) -> bool:
        return len(version.tombs) > 0 and version.live.value and version not in self._retired

    def retired(self) -> list[Version]:
        """Versions retired and not yet reclaimed, oldest first, at this moment. Takes no lock."""
        return self._retired.copy()

    def in_flight(self) -> dict[int, int]:
        """Calls in flight by version id; the current version last. Takes no lock, so counts may be of near moments."""
        return {version.id: max(0, version.in_flight) for version in [*self.retired(), self.current.value]}

    @property
    def waiting(self) -> int:
        """Calls that wait, at this moment."""
        return len(self._waiters)
