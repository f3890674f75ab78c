"""Mutants for the state machine: defects that somebody could write, in the place of production code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from hotswap import HotReloadablePlugin, HotReloadManager
from hotswap._lifecycle import Lifecycle
from hotswap._locked import locked
from hotswap._protocol import HotReloadProtocol
from hotswap._state import HotReloadState
from hotswap._upgrade import Policy, Upgrades
from hotswap._version import Attempt, Lease, Version

ABORT, CLOSE, OPEN_GATE = HotReloadProtocol.abort, HotReloadProtocol.close, HotReloadProtocol._open_gate
POLICY = HotReloadablePlugin._policy


def open_gate_once_committed(self: HotReloadProtocol) -> None:
    if self.phase.value is HotReloadState.UPGRADE_COMPLETE:
        OPEN_GATE(self)


@locked
def abort_without_restoring(self: HotReloadProtocol, attempt: Attempt, reason: str) -> bool:
    if self._owner is not attempt or attempt.decided or self.closed.value:
        return False
    self.book.value, attempt.decided, self._kept = self._failed(reason), True, None
    self._open_gate()
    self._owner = attempt if attempt.old is not None else None
    self.phase.value = HotReloadState.ROLLED_BACK if attempt.old is not None else HotReloadState.ACTIVE
    self._settle()
    return True


def abort_without_counting(self: HotReloadProtocol, attempt: Attempt, reason: str) -> bool:
    book, undone = self.book.value, ABORT(self, attempt, reason)
    if attempt.old is None:
        self.book.value = book
    return undone


def abort_and_keep_the_phase(self: HotReloadProtocol, attempt: Attempt, reason: str) -> bool:
    undone = ABORT(self, attempt, reason)
    if undone and attempt.old is None:
        self.phase.value, self._owner = HotReloadState.PREPARING_UPGRADE, attempt
    return undone


def refuse_closed_only(self: HotReloadProtocol, attempt: Attempt) -> None:
    self._refuse_closed()


def close_and_keep_the_candidate(self: HotReloadProtocol) -> None:
    if self._owner is not None:
        self._owner.candidate = None
    CLOSE(self)


@locked
def reclaim_what_may_be_kept(self: Lifecycle, version: Version) -> list[Lease]:
    self._settle()
    if version not in self._retired or not version.drained:
        return []
    version.live.value = False
    return [*version.gathered, *version.tombs.copy()]


def unregister_and_go(self: HotReloadManager, name: str) -> None:
    plugin = self[name]
    with self._lock:
        del self._plugins[name], self._taken[name]
    plugin.close()


def policy_of_old(self: HotReloadablePlugin) -> Policy:
    return replace(POLICY(self), drain_timeout=8.0)


def manifest_of_what_comes(self: HotReloadablePlugin) -> Any:
    owner = self._protocol._owner
    version = owner.candidate if owner is not None else None
    return (version or self._protocol.current.value).manifest


def overdue_without_a_limit(self: HotReloadablePlugin) -> Policy:
    return replace(POLICY(self), max_detached=1_000)


def nothing(*_: object, **__: object) -> None:
    """Does not do what it is for."""


Patch = tuple[Any, str, Any]
MUTANTS: Final[dict[str, list[Patch]]] = {
    "a rollback leaves the gate shut": [(HotReloadProtocol, "_open_gate", open_gate_once_committed)],
    "a rollback does not restore the old version": [(HotReloadProtocol, "abort", abort_without_restoring)],
    "a failed prepare is not counted": [(HotReloadProtocol, "abort", abort_without_counting)],
    "a failed prepare sticks in its phase": [(HotReloadProtocol, "abort", abort_and_keep_the_phase)],
    "a cancelled candidate is offered": [
        (HotReloadProtocol, "_refuse_lost", refuse_closed_only),
        (HotReloadProtocol, "confirm", locked(refuse_closed_only)),
    ],
    "a close forgets the candidate": [(HotReloadProtocol, "close", close_and_keep_the_candidate)],
    "the old version is reclaimed before the commit": [(Lifecycle, "reclaim", reclaim_what_may_be_kept)],
    "unregister frees the name before it has drained": [(HotReloadManager, "unregister", unregister_and_go)],
    "the drain timeout is that of the start": [(HotReloadablePlugin, "_policy", policy_of_old)],
    "the manifest changes at prepare": [(HotReloadablePlugin, "manifest", property(manifest_of_what_comes))],
    "detached versions are not bounded": [(HotReloadablePlugin, "_policy", overdue_without_a_limit)],
    "what asks from inside is not refused": [(HotReloadablePlugin, "_refuse_reentrant", nothing)],
    "a trapped instance is not replaced": [(Upgrades, "replace_instances", nothing)],
    "nobody reclaims what was detached": [(Upgrades, "_reap", nothing)],
}
QUICK: Final = (
    "a failed prepare sticks in its phase",
    "a close forgets the candidate",
    "a trapped instance is not replaced",
)
