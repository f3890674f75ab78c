"""The concurrency-critical core: who may enter which version. `_protocol.py` says who may change that.

*Admission.* A call reads `current`, then pops a lease from that version's `free` bag. The pop is the admission and the
in-flight count in one step; S2 linearizes at the read. To retire a version is to take every lease out of its bag. A
reader who comes late either pops first, and then the drain lacks that lease and waits for it, or finds the bag
empty and reads again under the lock. No call can be inside and not be counted.

*No lost wake-up.* The fast path must notice that someone waits (or drains) without taking the lock. A waiter sets
`attention` (1) and then fails to pop (2). A release appends (3) and then reads `attention` (4). If (2) failed, then (3)
came after it in the bag's own order, so (1) happened before (4), and (4) reads True and settles under the lock. A
caller who reads `attention` as False and then pops came before the waiter: no newcomer passes. The same holds for a
retire, which sets `attention` before it gathers.

*ABA.* A version that is rolled back to is the same object with the same leases. A reader who slept through retire and
reinstate pops a lease of the version that serves, which is right. A reader who slept with the rolled-back
candidate in hand finds its bag empty, or enters before it is gathered and is waited for.

*The gate.* EXCLUSIVE retires `current` itself and keeps it current while the gate is shut; calls queue. No drain behind
a gate ends while a call waits that was held before (L3): leases that come home go to such calls first.

*Interruption.* Ctrl-C may strike in any critical section. Leases survive it (`_version.py`); nothing is called between
a take and the store of what was taken. `_settle` works from what it finds, each round leaves it fit to be run again;
who waits settles before looking, so the handler only has to wake them. The stores that commit, roll back or close stand
together without a call between them: CPython looks for signals at calls and backward jumps only.
Every method marked `locked` runs under one lock, which is held for a few steps and never while waiting.
"""

from __future__ import annotations

from hotswap._errors import PluginClosed
from hotswap._locked import locked
from hotswap._ports import Bag, Clock, Parker, Sync
from hotswap._version import Lease, Version, Waiter


class Core:
    """Admission and drain for one plugin: S1, S2 and S3. Refines the spec's admission level."""

    def __init__(self, name: str, first: Version, sync: Sync, clock: Clock) -> None:
        self.name, self._sync, self._clock = name, sync, clock
        self._lock = sync.lock()
        self.current = sync.atomic(first)
        self.closed = sync.atomic(False)
        self._parked: Bag[Parker] = sync.bag(())
        self._waiters: list[Waiter] = []
        self._retired: list[Version] = []  # retired and not yet reclaimed
        self._shut_since: float | None = None
        self._shut_s_total = 0.0
        first.wake = self.wake

    # -- a call ------------------------------------------------------------------------------------------------

    def admit(self) -> Lease | None:
        """A lease, if one is free and nobody waits. Linearizes at the read of `current`. Refines: admit."""
        version = self.current.value
        if version.attention.value:
            return None
        try:
            return version.free.pop()
        except IndexError:
            return None

    def release(self, lease: Lease) -> None:
        """The call has ended. Linearizes at the append. Refines: release."""
        version = lease.version
        try:
            (version.tombs if lease.dead else version.free).append(lease)
        finally:
            if version.attention.value:
                self.settle()

    def queue(self, queue_timeout: float) -> Lease | None:
        """Wait for a lease, first come first served; None after `queue_timeout` seconds. Raises `PluginClosed`.

        Linearizes at the read of `current` in `_settle`. Refines: hold, admit.
        """
        waiter = Waiter(self._sync.parker(), queue_timeout)
        try:
            try:
                self._parked.append(waiter.parker)
                left = self._enqueue(waiter)
                while waiter.lease is None and (left is None or left > 0):
                    waiter.parker.park(left)
                    left = self._look(waiter)
            finally:
                try:
                    self._leave(waiter)
                except BaseException:
                    self._leave(waiter)
                    raise
        except BaseException:
            if waiter.lease is not None:  # it was served already
                lease, waiter.lease = waiter.lease, None
                self.release(lease)
            raise
        return waiter.lease

    @locked
    def _enqueue(self, waiter: Waiter) -> float | None:
        self._refuse_closed()
        waiter.since = self._open_clock()
        self._waiters.append(waiter)
        self._settle()
        return self._left(waiter)

    @locked
    def _look(self, waiter: Waiter) -> float | None:
        self._settle()
        if waiter.lease is None:
            self._refuse_closed()
        return self._left(waiter)

    @locked
    def _leave(self, waiter: Waiter) -> None:
        if waiter.parker in self._parked.copy():
            self._parked.remove(waiter.parker)
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        self._settle()

    def _left(self, waiter: Waiter) -> float | None:
        """Seconds in the queue that are left; None while the gate is shut, which does not count."""
        return waiter.timeout - (self._open_clock() - waiter.since) if self._shut_since is None else None

    def _open_clock(self) -> float:
        """The time, less all time during which the gate was shut."""
        return (self._clock.now() if self._shut_since is None else self._shut_since) - self._shut_s_total

    # -- the one place where leases change hands ---------------------------------------------------------------

    @locked
    def settle(self) -> None:
        self._settle()

    def _settle(self) -> None:
        """Serve who waits, oldest first; then gather what has come home to a retired version."""
        current, shut = self.current.value, self._shut_since is not None
        if self._waiters or shut:
            current.attention.value = True
        while (waiter := self._first()) is not None and (lease := current.take()) is not None:
            waiter.lease = lease
        for version in self._retired:
            while True:
                waiter = self._first() if version is current else None  # held by the gate before: it passes this one
                if (lease := version.take()) is None:
                    break
                if waiter is not None:
                    waiter.lease = lease
                else:
                    version.gathered.append(lease)
            if version.drained and not version.announced:
                self.wake()
                version.announced = True
        current.attention.value = bool(self._waiters) or shut or current in self._retired

    def _first(self) -> Waiter | None:
        """Who has waited longest, if it may be served now. Those before it that have been served are told and go."""
        while self._waiters and self._waiters[0].lease is not None:
            self._waiters[0].parker.unpark()
            del self._waiters[0]
        may_be = self._waiters and not self.closed.value and (self._shut_since is None or self._waiters[0].held)
        return self._waiters[0] if may_be else None

    def wake(self) -> None:
        """Everyone who waits looks again. Takes no lock: finalizers call it."""
        for parker in self._parked.copy():
            parker.unpark()

    # -- an upgrade's steps; `_protocol.py` calls them, under the lock -----------------------------------------

    def _retire(self, version: Version) -> None:
        """No new admissions. Refines: retire."""
        version.attention.value = True
        if version.live.value and version not in self._retired:
            self._retired.append(version)

    def _reinstate(self, version: Version) -> None:
        """A retired version that has not been reclaimed serves again. Refines: reinstate."""
        if version in self._retired:
            self._retired.remove(version)
        version.announced = False
        while version.gathered:
            version.free.append(version.gathered.pop())

    def _shut_gate(self) -> None:
        self._shut_since = self._clock.now()

    def _open_gate(self) -> None:
        if self._shut_since is not None:
            for waiter in self._waiters:
                waiter.held = True
            now = self._clock.now()
            self._shut_s_total, self._shut_since = self._shut_s_total + now - self._shut_since, None
            self.wake()

    def _refuse_closed(self) -> None:
        if self.closed.value:
            raise PluginClosed(f"plugin {self.name!r} is closed; register it anew to call or upgrade it")
