"""Who may change which version calls enter: ownership of an upgrade, its phases, and close.
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
from typing import TYPE_CHECKING, Any, Protocol

from hotswap._errors import Busy, PluginClosed, UpgradeCancelled, WrongState
from hotswap._lifecycle import Lifecycle
from hotswap._locked import locked
from hotswap._ports import Clock, Code, Instance, Ports, Sync
from hotswap._state import Cutover, HotReloadState, HotReloadStats, OnDrainTimeout
from hotswap._version import Attempt, Version

if TYPE_CHECKING:
    from hotswap._manifest import PluginManifest


class Watches(Protocol):
    """Who watches plugins makes their protocols; the one there is, is `hotswap.monitor.Monitor`."""

    def watch(
        self, name: str, first: Version, ports: Ports, on_drain_timeout: OnDrainTimeout
    ) -> tuple[HotReloadProtocol, Ports]:
        """The protocol and the ports of a new plugin."""

    def names(self) -> tuple[dict[str, Any], dict[str, object]]:
        """The maps of a new manager: its plugins by name, and who has taken which name."""


class HotReloadProtocol(Lifecycle):
    """One plugin's protocol: S4, S5, S6, S7 and L1 on top of the core. Refines the spec's upgrade level."""

    def __init__(self, name: str, first: Version, sync: Sync, clock: Clock) -> None:
        super().__init__(name, first, sync, clock)
        self.phase = sync.atomic(HotReloadState.ACTIVE)
        self.book = sync.atomic(HotReloadStats())
        self._owner: Attempt | None = None
        self._versions = first.id  # the latest id

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
    def cancel(self) -> bool:
        """End an attempt that has not begun to execute; False if there is none. Raises `Busy`."""
        attempt, book = self._owner, self.book.value
        if attempt is None:
            return False
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
        return True

    # -- execution ---------------------------------------------------------------------------------------------

    @locked
    def begin(self, attempt: Attempt, cutover: Cutover, prepared: Attempt | None = None) -> tuple[Version, Version]:
        """Take over a prepared attempt (any, or that one) with a token of one's own: old version and candidate.

        Raises `WrongState` when nothing is prepared, `Busy` when it is still being prepared or already executes,
        `UpgradeCancelled` when that one was cancelled.
        """
        self._refuse_closed()
        if prepared is not None:
            self._refuse_lost(prepared)
        if self._owner is None:
            raise WrongState(f"plugin {self.name!r} has no prepared upgrade; call prepare_upgrade first")
        old, candidate = self.current.value, self._owner.candidate
        if self.phase.value is not HotReloadState.PREPARING_UPGRADE or candidate is None:
            raise self._busy()
        attempt.old, attempt.candidate, self._owner, self._kept = old, candidate, attempt, old
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
        candidate.attention.value = True  # until those who wait are served: no newcomer passes
        self.current.value = candidate
        self._retire(old)
        self._settle()

    @locked
    def interrupt(self, old: Version) -> None:
        """Stop the calls inside `old`. Who is held waits for the new version instead of being let in to be stopped."""
        self._refuse_closed()
        for waiter in self._waiters:
            waiter.held = False
        old.code.interrupt(True)

    @locked
    def commit(self, attempt: Attempt, drain_us: int) -> None:
        """The attempt has succeeded; from here on nothing rolls it back. Raises `PluginClosed`.

        EXCLUSIVE publishes with the same stores: it is committed exactly if calls can have run on the candidate.
        """
        self._refuse_closed()
        book, candidate = self.book.value, attempt.candidate or self.current.value
        book = replace(
            book,
            successful_upgrades=book.successful_upgrades + 1,
            total_drain_time_us=book.total_drain_time_us + drain_us,
            max_drain_time_us=max(book.max_drain_time_us, drain_us),
        )
        candidate.attention.value = True
        self.current.value = candidate
        self.book.value, attempt.decided, self._kept = book, True, None
        self.phase.value = HotReloadState.UPGRADE_COMPLETE
        self._open_gate()
        self._settle()

    @locked
    def abort(self, attempt: Attempt, reason: str) -> bool:
        """Put everything back as it was before the attempt (S4) and count it; False if it is not to be undone."""
        if self._owner is not attempt or attempt.decided or self.closed.value:
            return False
        executed = attempt.old is not None
        if attempt.old is not None:
            attempt.old.code.interrupt(False)
            self._reinstate(attempt.old)
            self.current.value = attempt.old
            self._open_gate()
        self._drop_candidate(attempt)
        self._settle()
        book = self._failed(reason)
        self.book.value, attempt.decided, self._kept = book, True, None
        self._owner = attempt if executed else None
        self.phase.value = HotReloadState.ROLLED_BACK if executed else HotReloadState.ACTIVE
        return True

    @locked
    def finish(self, attempt: Attempt) -> None:
        """The attempt is over, whichever way it was decided; the next one may begin (L1)."""
        if self._owner is attempt and attempt.decided and not self.closed.value:
            self._open_gate()
            self._settle()
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
            self._owner = self._kept = None
        self._retire(self.current.value)
        self._settle()
        self.wake()  # who waits, at a shut gate too, is turned away

    def abandon(self) -> None:
        """The plugin is dropped, so no call is inside: its leases go, and their instances with them."""
        self.abandoned = True
        candidate = self._owner.candidate if self._owner is not None else None
        for version in [*self._retired, self.current.value, candidate]:
            if version is not None:
                version.live.value = False
                while version.take() is not None:
                    pass
                version.gathered.clear()
        self.wake()  # a reaper, which would wait for leases that are gone

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
            raise UpgradeCancelled(
                f"the upgrade of plugin {self.name!r} was cancelled while it was prepared, or another thread has "
                "executed what was prepared: `manifest` says which version serves"
            )

    confirm = locked(_refuse_lost)

    def _busy(self) -> Busy:
        phase = self.phase.value.name
        return Busy(f"plugin {self.name!r} is {phase}: another attempt owns the upgrade; wait for it, or cancel it")


def unwatched(name: str, first: Version, ports: Ports, _: OnDrainTimeout) -> tuple[HotReloadProtocol, Ports]:
    """The protocol of a plugin that nobody watches."""
    return HotReloadProtocol(name, first, ports.sync, ports.clock), ports
