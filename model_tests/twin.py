"""The plugin once more, plain and slow: one lock around everything, and one condition on which everybody waits.

It shares nothing with the production code but the errors. It is the oracle for results: what the parties of a workload
get from the production plugin, under any schedule, they must be able to get from this one under some schedule.
That it is right should be plain from reading it: a method is a few blocks under the lock, and waits in one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from hotswap import (
    Busy,
    Cutover,
    DrainTimeout,
    IncompatibleUpgrade,
    Overloaded,
    PluginClosed,
    UpgradeCancelled,
    WrongState,
)
from hotswap import PluginManifest as Manifest
from hotswap._ports import Parker, Ports
from interleaved import Workload

DRAIN_S: Final = 5.0
QUEUE_S: Final = 5.0


class Twin:
    """What `HotReloadablePlugin` promises, of versions that are numbers."""

    def __init__(self, ports: Ports, instances: int, cutover: Cutover = Cutover.OVERLAP) -> None:
        self._lock, self._new_parker = ports.sync.lock(), ports.sync.parker
        self._waiting: list[Parker] = []
        self._instances, self._exclusive = instances, cutover is Cutover.EXCLUSIVE
        self.current = 1
        self.inside: Counter[int] = Counter()
        self.owner: object = None
        self.candidate: int | None = None
        self.executing = self.shut = self.closed = False

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            yield
            self._wake()

    def _wake(self) -> None:
        for parker in self._waiting:
            parker.unpark()

    def _wait(self, ready: Callable[[], bool], seconds: float | None) -> bool:
        """Under the lock: give it back until `ready`; False if that has not come about within `seconds`."""
        parker = self._new_parker()
        while not ready():
            self._waiting.append(parker)
            self._lock.__exit__(None, None, None)
            in_time = parker.park(seconds)
            self._lock.__enter__()
            self._waiting.remove(parker)
            if not in_time and not ready():
                return False
        return True

    def _refuse_closed(self) -> None:
        if self.closed:
            raise PluginClosed

    def _may_enter(self) -> bool:
        return self.closed or (self.inside[self.current] < self._instances and not self.shut)

    # -- what the parties do --------------------------------------------------------------------------------------

    def call(self, func: str) -> int:
        with self._alone():
            while not self._may_enter():
                if self.shut:  # which does not count
                    self._wait(lambda: self.closed or not self.shut, None)
                elif not self._wait(lambda: self.shut or self._may_enter(), QUEUE_S):
                    raise Overloaded
            self._refuse_closed()
            number = self.current
            self.inside[number] += 1
        with self._alone():
            self.inside[number] -= 1
        return number

    def prepare_upgrade(self, wasm: object, manifest: Manifest) -> None:
        self._prepare(object(), manifest)

    def execute_upgrade(self) -> None:
        self._execute(None)

    def upgrade(self, wasm: object, manifest: Manifest) -> None:
        token = object()
        self._prepare(token, manifest)
        self._execute(token)

    def cancel_upgrade(self) -> bool:
        with self._alone():
            if self.executing:
                raise Busy
            there, self.owner, self.candidate = self.owner is not None, None, None
            return there

    def close(self) -> None:
        with self._alone():
            self.closed, self.owner, self.candidate = True, None, None
            self._wake()
            self._wait(lambda: self.inside.total() == 0, None)

    # -- an upgrade -----------------------------------------------------------------------------------------------

    def _prepare(self, token: object, manifest: Manifest) -> None:
        number = int(manifest.plugin.version.partition(".")[0])
        with self._alone():
            self._refuse_closed()
            if self.owner is not None:
                raise Busy
            self.owner = token
        with self._alone():  # in between the candidate is compiled
            self._refuse_lost(token)
            if number <= self.current:
                self.owner = None
                raise IncompatibleUpgrade
            self.candidate = number

    def _refuse_lost(self, token: object) -> None:
        self._refuse_closed()
        if self.owner is not token:
            raise UpgradeCancelled

    def _execute(self, token: object) -> None:
        with self._alone():
            if token is not None:
                self._refuse_lost(token)
            self._refuse_closed()
            if self.owner is None:
                raise WrongState
            if self.executing or self.candidate is None:
                raise Busy
            old, new, self.executing, self.shut = self.current, self.candidate, True, self._exclusive
        try:
            with self._alone():
                self._refuse_closed()
                if not self._exclusive:
                    self.current = new
            with self._alone():  # in between calls can run on the new version
                drained = self._wait(lambda: self.closed or self.inside[old] == 0, DRAIN_S)
                self._refuse_closed()
                self.current = new if drained else old
                self.shut = False
            if not drained:
                raise DrainTimeout
        finally:
            with self._alone():
                self.owner = self.candidate = None
                self.executing = self.shut = False


class TwinWorkload(Workload):
    """The parties of a workload on the twin."""

    twin: Twin

    def _make(self, first: Manifest, options: dict[str, Any]) -> None:
        self.twin = Twin(self.ports, self.instances, **options)
        self.plugin = self.twin  # type: ignore[assignment]

    def _put_away(self) -> None:
        """Nothing is left."""

    def _name_what_is_there(self) -> None:
        """There is one lock."""

    def check(self, *allowed: str) -> Any:
        self._check_order()
        assert self.twin.inside.total() == 0
        assert self.twin.owner is None or not self.twin.executing
        return tuple(tuple(party.results) for party in self.parties)
