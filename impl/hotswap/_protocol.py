"""Who may change which version calls enter: ownership of an upgrade, its phases, drain, reclaim and close.
The phases, and what leads from one to the next (a refused request changes nothing):

    ACTIVE ── claim ──► PREPARING_UPGRADE ── cancel, abort ──► ACTIVE
    PREPARING_UPGRADE ── begin (OVERLAP)   ──► SWAPPING ── publish ──► DRAINING ── commit ──► UPGRADE_COMPLETE
    PREPARING_UPGRADE ── begin (EXCLUSIVE) ──► DRAINING ── swap ─────► SWAPPING ── commit ──► UPGRADE_COMPLETE
    SWAPPING, DRAINING ── abort ──► ROLLED_BACK
    UPGRADE_COMPLETE, ROLLED_BACK ── finish ──► ACTIVE
    any ── close ──► CLOSED

*Ownership* is a token, an `Attempt`, bound to no thread. Whoever asks makes the token first, inside its `try`, and then
claims with it; so there is no moment at which the plugin is owned and nobody knows the token. `begin` hands ownership
from the token that prepared to the token that executes: of two executes, one gets `Busy`, and its `abort` does
nothing, since its token never owned anything.

*Rollback* (S4) is one method, `abort`. It works from what it finds, so it may follow a failure at any step and may be
run again; after `commit` or `close` it does nothing. Code and manifest are one object, the version (S6).

*Counts* (S7) are one frozen record, replaced by a single store next to the store that ends the attempt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from hotswap._core import Core
from hotswap._errors import Busy, PluginClosed, UpgradeCancelled, WrongState
from hotswap._locked import locked
from hotswap._ports import Clock, Code, Instance, Sync
from hotswap._state import Cutover, HotReloadState, HotReloadStats
from hotswap._version import Attempt, Lease, Version

if TYPE_CHECKING:
    from hotswap._manifest import PluginManifest


class HotReloadProtocol(Core):
    """One plugin's protocol: S4, S5, S6, S7 and L1 on top of the core. Refines the spec's upgrade level."""

    def __init__(self, name: str, first: Version, sync: Sync, clock: Clock) -> None:
        super().__init__(name, first, sync, clock)
        self.phase = sync.atomic(HotReloadState.ACTIVE)
        self.book = sync.atomic(HotReloadStats())
        self._owner: Attempt | None = None
        self._versions = first.id  # the latest id
        self._discarded = 0

    # -- ownership ---------------------------------------------------------------------------------------------

    @locked
    def claim(self, attempt: Attempt) -> None:
        """Own the next upgrade, to prepare it. Raises `Busy` or `PluginClosed`."""
        self._refuse_closed()
        if self._owner is not None:
            raise self._busy()
        book = replace(self.book.value, attempts=self.book.value.attempts + 1)
        self.book.value, self._owner = book, attempt
        self.phase.value = HotReloadState.PREPARING_UPGRADE

    @locked
    def offer(self, attempt: Attempt, code: Code, manifest: PluginManifest, instances: Iterable[Instance]) -> None:
        """The candidate is ready. Raises `UpgradeCancelled` or `PluginClosed`; the instances stay the caller's."""
        self._refuse_lost(attempt)
        self._versions += 1
        candidate = Version(self._versions, code, manifest, instances, self._sync)
        candidate.wake = self.wake
        attempt.candidate, candidate.live.value = candidate, True

    @locked
    def cancel(self) -> Attempt | None:
        """End an attempt that has not begun to execute; its candidate is the caller's to reclaim. Raises `Busy`."""
        attempt, book = self._owner, self.book.value
        if attempt is None:
            return None
        if self.phase.value is not HotReloadState.PREPARING_UPGRADE:
            raise Busy(f"plugin {self.name!r}: the upgrade has begun to execute and can no longer be cancelled")
        book = replace(book, cancelled_upgrades=book.cancelled_upgrades + 1)
        self.book.value, self._owner = book, None
        self.phase.value = HotReloadState.ACTIVE
        try:
            self._drop_candidate(attempt)
        except BaseException:
            self._drop_candidate(attempt)
            raise
        return attempt

    # -- execution ---------------------------------------------------------------------------------------------

    @locked
    def begin(self, attempt: Attempt, cutover: Cutover) -> tuple[Version, Version]:
        """Take over a prepared attempt with a token of one's own: the old version and the candidate.

        Raises `WrongState` when nothing is prepared, `Busy` when it is still being prepared or already executes.
        """
        self._refuse_closed()
        if self._owner is None:
            raise WrongState(f"plugin {self.name!r} has no prepared upgrade; call prepare_upgrade first")
        old, candidate = self.current.value, self._owner.candidate
        if self.phase.value is not HotReloadState.PREPARING_UPGRADE or candidate is None:
            raise self._busy()
        attempt.old, attempt.candidate, self._owner = old, candidate, attempt
        if cutover is Cutover.EXCLUSIVE:
            self.phase.value = HotReloadState.DRAINING
            self._shut_gate()
            self._retire(old)
        else:
            self.phase.value = HotReloadState.SWAPPING
        self._settle()
        return old, candidate

    @locked
    def enter(self, phase: HotReloadState) -> None:
        """The owner goes on to its next phase. Raises `PluginClosed`."""
        self._refuse_closed()
        self.phase.value = phase

    @locked
    def publish(self, old: Version, candidate: Version) -> None:
        """New calls get the candidate. Linearizes at the store to `current`. Refines: publish."""
        self._refuse_closed()
        self.current.value = candidate
        self._retire(old)
        self._open_gate()
        self._settle()

    @locked
    def commit(self, attempt: Attempt, drain_us: int) -> None:
        """The attempt has succeeded; from here on nothing rolls it back. Raises `PluginClosed`."""
        self._refuse_closed()
        book = self.book.value
        book = replace(
            book,
            successful_upgrades=book.successful_upgrades + 1,
            total_drain_time_us=book.total_drain_time_us + drain_us,
            max_drain_time_us=max(book.max_drain_time_us, drain_us),
        )
        self.book.value, attempt.decided = book, True
        self.phase.value = HotReloadState.UPGRADE_COMPLETE

    @locked
    def abort(self, attempt: Attempt, reason: str) -> bool:
        """Put everything back as it was before the attempt (S4) and count it; False if it is not to be undone."""
        if self._owner is not attempt or attempt.decided:
            return False
        executed = attempt.old is not None
        if attempt.old is not None:
            self._reinstate(attempt.old)
            self.current.value = attempt.old
            self._open_gate()
        self._drop_candidate(attempt)
        self._settle()
        book = self._failed(reason)
        self.book.value, attempt.decided = book, True
        self._owner = attempt if executed else None
        self.phase.value = HotReloadState.ROLLED_BACK if executed else HotReloadState.ACTIVE
        return True

    @locked
    def finish(self, attempt: Attempt) -> None:
        """The attempt is over, whichever way it was decided; the next one may begin (L1)."""
        if self._owner is attempt and attempt.decided:
            self._owner = None
            self.phase.value = HotReloadState.ACTIVE

    @locked
    def close(self) -> None:
        """Admit nothing more; end the attempt under way, if it is not decided. Wins. May be run again."""
        if not self.closed.value:
            lost = self._owner is not None and not self._owner.decided
            book = self._failed(PluginClosed.__name__) if lost else self.book.value
            self.closed.value, self.book.value = True, book
            self.phase.value = HotReloadState.CLOSED
        if self._owner is not None:
            self._drop_candidate(self._owner)
            self._owner = None
        self._retire(self.current.value)
        self._open_gate()
        self._settle()
        self.wake()

    def abandon(self) -> None:
        """The plugin is dropped without a close, so nobody is inside: its leases need not go home any more."""
        for version in [*self._retired, self.current.value]:
            version.live.value = False

    def _drop_candidate(self, attempt: Attempt) -> None:
        if attempt.candidate is not None:
            self._retire(attempt.candidate)
            self._settle()

    def _failed(self, reason: str) -> HotReloadStats:
        book = self.book.value
        failures = {**book.failures, reason: book.failures.get(reason, 0) + 1}
        return replace(book, failed_upgrades=book.failed_upgrades + 1, failures=MappingProxyType(failures))

    def _refuse_lost(self, attempt: Attempt) -> None:
        """Raises `UpgradeCancelled` or `PluginClosed` if the attempt has lost its ownership to a cancel or a close."""
        self._refuse_closed()
        if self._owner is not attempt:
            raise UpgradeCancelled(f"the upgrade of plugin {self.name!r} was cancelled while it was prepared")

    confirm = locked(_refuse_lost)

    def _busy(self) -> Busy:
        phase = self.phase.value.name
        return Busy(f"plugin {self.name!r} is {phase}: another attempt owns the upgrade; wait for it, or cancel it")

    # -- drain and reclaim -------------------------------------------------------------------------------------

    def await_drain(self, version: Version, timeout: float | None, *, closing: bool = False) -> bool:
        """Wait until nothing is in flight on a retired `version`; False after `timeout` seconds (None: no limit).

        Raises `PluginClosed` when the plugin closes meanwhile, unless it is the one who closes that waits.
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
        return version.drained

    @locked
    def reclaim(self, version: Version) -> list[Lease]:
        """The leases of a retired and drained version, whose instances the caller closes before it says `forget`.

        None while calls are in flight, nor while an attempt could still roll back to it: nothing is reclaimed before
        the commit. An interrupted caller may ask again; each instance closes once only (S3).
        """
        self._settle()
        owner = self._owner
        undecided = owner is not None and owner.old is version and not owner.decided
        if undecided or version not in self._retired or not version.drained:
            return []
        version.live.value = False
        return [*version.gathered, *version.tombs.copy()]

    @locked
    def forget(self, version: Version) -> None:
        """The instances of a reclaimed version are closed."""
        if version in self._retired and not version.live.value:
            self._retired.remove(version)

    # -- instances lost to traps, and their replacements -------------------------------------------------------

    @locked
    def bury(self, lease: Lease) -> None:
        """Keep the place of a discarded instance by its `dead` lease, so that the drain counts it."""
        self._discarded += 1
        lease.version.tombs.append(lease)
        self._settle()

    @locked
    def wants_instances(self) -> Version | None:
        """The current version, if some of its instances were discarded."""
        version = self.current.value
        return version if len(version.tombs) and version not in self._retired else None

    @locked
    def revive(self, version: Version, instance: Instance) -> bool:
        """Put a new instance in the place of a discarded one; False if there is no use for it any more."""
        if version in self._retired or not version.live.value or not len(version.tombs):
            return False
        lease = version.tombs.pop()
        lease.instance, lease.dead = instance, False
        version.free.append(lease)
        self._settle()
        return True

    # -- observation -------------------------------------------------------------------------------------------

    @locked
    def retired(self) -> list[Version]:
        """Versions retired and not yet reclaimed, oldest first."""
        return list(self._retired)

    @locked
    def stats(self) -> HotReloadStats:
        versions = {version.id: version.in_flight for version in [*self._retired, self.current.value]}
        return replace(
            self.book.value,
            in_flight=MappingProxyType(versions),
            waiting=len(self._waiters),
            discarded_instances=self._discarded,
        )
