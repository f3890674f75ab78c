"""Checks, while a service runs, that its plugins do what the specification says. Opt-in:

    from hotswap.monitor import Monitor

    manager = hotswap.HotReloadManager(monitor=Monitor(on_divergence=print))

Steps are recorded where they are made (`_recorder.py`) and followed on the specification (`_follower.py`) by a thread
of the monitor's own, so that nobody waits for it; so are the names of a manager (`_names.py`). A plugin that leaves the
specification is reported once, with the story of how it got there, and is not followed any further; the plugin itself
goes on. See docs/monitor.md.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Self
from weakref import WeakSet

from hotswap._ports import Ports
from hotswap._protocol import HotReloadProtocol
from hotswap._state import OnDrainTimeout
from hotswap._version import Version
from hotswap.monitor._follower import Divergence, Follower
from hotswap.monitor._names import NamesFollower, ToldMap, told_maps
from hotswap.monitor._recorder import Event, RecordedProtocol, content_of

__all__ = ["Divergence", "Monitor"]

BACKLOG_MAX = 100_000
"""Events that may wait to be checked, some 300 bytes each."""


Followers = Follower | NamesFollower
_LOG = logging.getLogger(__name__)


def log(divergence: Divergence) -> None:
    """What is done with a divergence unless something else is asked for: an error in the log `hotswap.monitor`."""
    _LOG.error("%s", divergence)


class Monitor:
    """Follows the plugins it is given to. Thread-safe. One serves a whole process; `close` it at the end.

    `on_divergence` is called once for each plugin that diverges, on the monitor's thread; what it raises is kept in
    `failure`. If one more comes when `backlog_max` events wait, it gives up: `lost` is True, nothing more is recorded.
    """

    def __init__(self, on_divergence: Callable[[Divergence], object] = log, *, backlog_max: int = BACKLOG_MAX) -> None:
        self._on_divergence, self._backlog_max = on_divergence, backlog_max
        self._events: SimpleQueue[tuple[Followers, Event] | threading.Event | None]
        self._followers: WeakSet[Followers] = WeakSet()  # of this monitor's thread; a follower lives with its plugin
        self._diverged: list[Divergence] = []
        self.steps = 0
        """How many steps have been checked."""
        self.taken: Counter[str] = Counter()
        """How often each step of the specification was taken, by the name it has there."""
        self.unfollowed: list[str] = []
        """Plugins in which an exception (Ctrl-C, say) struck inside a step, each time that it did.

        It is followed again from the next step that leaves it at rest: ACTIVE, with no upgrade under way.
        """
        self.lost = False
        """It fell behind and has given up, or is closed: nothing more is recorded, and nothing is followed any more."""
        self._behind = False
        self.failure: BaseException | None = None
        """What went wrong in the monitor itself, if anything; it has given up then too."""
        self._beginning = threading.Lock()
        self._begin()

    # -- what plugins call --------------------------------------------------------------------------------------

    def watch(
        self, name: str, first: Version, ports: Ports, on_drain_timeout: OnDrainTimeout
    ) -> tuple[HotReloadProtocol, Ports]:
        """A protocol that is followed, and ports to use with it. Called by the plugin that is given this monitor."""
        note = self._noted(Follower(name, first.id, content_of(first), on_drain_timeout.name, self.taken))
        return RecordedProtocol.with_ports(name, first, ports, note)

    def names(self) -> tuple[ToldMap, ToldMap]:
        """The maps of a manager whose names are followed. Called by the manager that is given this monitor."""
        return told_maps(self._noted(NamesFollower(self.taken)))

    def _begin(self) -> None:
        """Start the monitor's thread, and once more in the child of a fork, which has not got it."""
        self._events = SimpleQueue()
        self._thread = threading.Thread(target=self._check, name="hotswap-monitor", daemon=True)
        self._thread.start()

    def _noted(self, follower: Followers) -> Callable[[Event], None]:
        with self._beginning:
            if not (self._thread.is_alive() or self.lost):
                self._begin()

        def note(event: Event) -> None:
            if self.lost:
                return
            if self._events.qsize() < self._backlog_max:
                self._events.put((follower, event))
            else:  # found here, since the checker may be held up by who listens to it
                self._behind = self.lost = True

        return note

    # -- what its owner calls -------------------------------------------------------------------------------------

    @property
    def divergences(self) -> list[Divergence]:
        """Those found so far."""
        return self._diverged.copy()

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that has happened so far is checked; False after `timeout` seconds, or if this has given up.

        Ask when no upgrade is under way: a call that told of a step which is not told yet counts as wrong.
        """
        if not self._thread.is_alive():
            return False
        done = threading.Event()
        self._events.put(done)
        return done.wait(timeout) and self.failure is None and not self._behind

    def close(self, timeout: float = 5.0) -> None:
        """Check what there is, and end. Plugins that go on are not followed any more."""
        self.flush(timeout)
        self.lost = True
        self._events.put(None)
        self._thread.join(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the monitor's thread -------------------------------------------------------------------------------------

    def _check(self) -> None:
        said = False
        while (item := self._events.get()) is not None:
            try:
                self._check_one(item)
            except BaseException as error:  # noqa: BLE001  the service must not notice
                self.failure, self.lost = error, True
            if self._behind and not said:
                said = True
                _LOG.warning("fell behind by %d events: nothing is followed any more", self._backlog_max)
            del item  # a plugin that is dropped must go, also while this waits

    def _check_one(self, item: tuple[Followers, Event] | threading.Event) -> None:
        if isinstance(item, threading.Event):
            try:
                for follower in self._followers if not self.lost else ():  # what a call told of may be lost
                    self._try(follower, follower.settle)
            finally:
                item.set()
        elif self.failure is None:
            follower, event = item
            self._followers.add(follower)
            self._try(follower, partial(follower.follow, event))

    def _try(self, follower: Followers, work: Callable[[], None]) -> None:
        if follower.over:
            return
        steps, lost = follower.steps, follower.lost
        try:
            work()
        except Divergence as divergence:
            follower.over = True
            self._diverged.append(divergence)
            self._on_divergence(divergence)
        else:
            self.steps += follower.steps - steps
            self.unfollowed += [follower.plugin] * (follower.lost and not lost)
