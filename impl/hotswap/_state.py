"""What an embedder sees of a plugin's protocol: its phase, its choices, its counts."""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


class HotReloadState(enum.Enum):
    """The phase of a plugin. Only CLOSED is final; every other phase leads back to ACTIVE."""

    ACTIVE = "active"
    PREPARING_UPGRADE = "preparing_upgrade"
    DRAINING = "draining"
    SWAPPING = "swapping"
    UPGRADE_COMPLETE = "upgrade_complete"
    ROLLED_BACK = "rolled_back"
    CLOSED = "closed"


class Cutover(enum.Enum):
    """May calls run on the old and the new version at the same time?"""

    OVERLAP = "overlap"
    """Publish, then drain: new calls run on the new version at once."""
    EXCLUSIVE = "exclusive"
    """Hold new calls, drain, then publish: the two versions never run at once."""


class OnDrainTimeout(enum.Enum):
    """What becomes of an upgrade whose old calls have not ended within `drain_timeout`."""

    ROLLBACK = "rollback"
    """The old version serves again; the upgrade raises `DrainTimeout`."""
    INTERRUPT = "interrupt"
    """The calls that are stuck get `CallInterrupted`; the upgrade succeeds. If one does not leave, since it sits in a
    function of the host: OVERLAP leaves it to end, EXCLUSIVE rolls back and raises `DrainTimeout`."""
    DETACH = "detach"
    """The upgrade succeeds; the old version is reclaimed when its last call ends."""


@dataclass(frozen=True, slots=True)
class HotReloadStats:
    """A plugin's counts at one moment.

    S7: `attempts == successful_upgrades + failed_upgrades + cancelled_upgrades`, plus the one under way. An
    attempt begins when its claim succeeds; `Busy` and wrong-state refusals are none. Times are microseconds
    and cover successful upgrades, from the first hold or publish to the end of the drain.
    """

    attempts: int = 0
    successful_upgrades: int = 0
    failed_upgrades: int = 0
    cancelled_upgrades: int = 0
    failures: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Failed attempts by the name of the error that ended them."""
    total_drain_time_us: int = 0
    max_drain_time_us: int = 0
    in_flight: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    """Calls in flight by version id: the version that serves, and those retired and not yet reclaimed."""
    waiting: int = 0
    """Calls that wait at the gate or for a free instance; not admitted yet."""
    discarded_instances: int = 0
    """Instances lost to traps since the plugin was made."""

    @property
    def version(self) -> int:
        """How many upgrades have succeeded; the seed's version number."""
        return self.successful_upgrades

    @property
    def retired_versions(self) -> int:
        """Versions retired and not yet reclaimed: draining, detached or rolled back."""
        return max(0, len(self.in_flight) - 1)


def seconds_of(option: str, value: float) -> float:
    """The value of an option that is a time. Raises `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        raise ValueError(f"{option}: expected seconds, finite and not negative, found {value!r}")
    return float(value)
