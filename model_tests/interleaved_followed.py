"""Workloads whose plugins are followed on the specification's upgrade level, by the very monitor that services use.

Under the scheduler it records without a step of its own: what it looks at is guarded by the lock that
the step holds. What a call reads (how many steps there have been) is no step either: it is older than what the call
then reads of the plugin in every schedule, and no decision hangs on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hotswap._ports import Ports
from hotswap._state import OnDrainTimeout
from hotswap._version import Version
from hotswap.monitor import Divergence
from hotswap.monitor._follower import Follower
from hotswap.monitor._recorder import Event, RecordedProtocol, content_of
from interleaved import Workload

TAKEN: Counter[str] = Counter()
"""How often each step of the specification was taken, in all runs."""


class _UnseenProtocol(RecordedProtocol):
    """Looks at what is there and not through the ports, which would make a step of each look."""

    def read(self, shared: Any) -> Any:
        return shared._value

    def now(self) -> float:
        clock: Any = self._clock
        time: float = clock._run.now
        return time


class Following:
    """Implements `Watches`: keeps what it is told, and follows it at the end of a run."""

    def __init__(self) -> None:
        self._plugins: list[tuple[Follower, list[Event]]] = []

    def watch(self, name: str, first: Version, ports: Ports, late: OnDrainTimeout) -> tuple[RecordedProtocol, Ports]:
        events: list[Event] = []
        self._plugins.append((Follower(name, first.id, content_of(first), late.name, TAKEN), events))
        return _UnseenProtocol.with_ports(name, first, ports, events.append)

    def names(self) -> tuple[dict[str, Any], dict[str, object]]:
        return {}, {}  # a workload brings its own

    def check(self) -> None:
        for follower, events in self._plugins:
            try:
                for event in events:
                    follower.follow(event)
                events.clear()
                follower.settle()
            except Divergence as divergence:
                raise AssertionError(str(divergence).replace("\n", "; ")) from divergence


@contextmanager
def followed() -> Iterator[Counter[str]]:
    """The workloads made inside are followed. The steps of the specification that they have taken, at the end."""
    Workload.follows = Following
    TAKEN.clear()
    try:
        yield TAKEN
    finally:
        Workload.follows = None
