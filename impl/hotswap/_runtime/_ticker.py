"""The thread that advances the engines' tick, so that calls can be stopped.

It runs while instances are alive and ends with the last. A call looks at one thing only: whether `beat` is still the
one in which its instance was made ready. If not, the instance is made ready anew, and that looks at the clock too: a
beat older than `STALE_S` starts a new thread. A thread that dies leaves an old beat behind, a fork does, and so does
the end of the last instance; so no call goes on trusting it. In a forked child there is no such thread and no safe way
to run what the parent compiled, so calls are refused.

There are two beats to a tick. Of a call it is known in which beat it began, and it is stopped at a tick: a beat and a
tick after its deadline at most, which leaves room for a thread that wakes late. When it does, it does not shift the
ticks to come; if they are past, it leaves them out.

A call that is let go on asks for a tick when its time is over (`tick_in`), so it is mostly stopped within a beat. This
is a hint, kept without a lock, and of several the earliest: one that is lost costs its call the wait for a usual tick.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

from hotswap._errors import HotswapError, Overloaded
from hotswap._fork import forked
from hotswap._runtime._census import Place
from hotswap._runtime._engine import engines

TICK_S = 0.005
BEAT_S = TICK_S / 2
REST_S = TICK_S / 10  # the pause before a tick that was asked for, so that many calls cannot ask for too many
STALE_S = 1.0


NEVER = float("inf")
_LONG_AGO = -float("inf")


class Beat:
    """A stretch of half a tick. A new object each time, so that to tell two apart is to compare identities."""

    __slots__ = ("ended_at", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        """When it began, on the monotonic clock."""
        self.ended_at = NEVER
        """Set when the next one has begun, and before a tick: a call that began in this beat began no later."""


_DEAD = Beat(_LONG_AGO)
"""No instance is ever ready in this one. Made beforehand: a thread may die of having no memory."""


class _Shift:
    """One thread's turn at the tick. Not an `Event`: a Ctrl-C inside `Event.set` leaves its lock locked for ever."""

    __slots__ = ("is_thread", "over", "starter")

    def __init__(self) -> None:
        self.over, self.is_thread = False, True
        self.starter = threading.get_native_id()


class Ticker:
    def __init__(self) -> None:
        self.beat = _DEAD
        self._lock = threading.RLock()  # a finalizer may close an instance in here
        self._users = 0
        self._thread: threading.Thread | None = None
        self._shift = _Shift()
        self._forked = False
        self._asked_at = NEVER

    def enter(self, place: Place) -> None:
        """One more instance needs the tick."""
        with self._lock:
            self._refuse_fork()
            if self._thread is None:
                self._start()
            place.ticking = True
            self._users += 1

    def leave(self, place: Place) -> None:
        """May be done again."""
        with self._lock:
            if place.ticking:
                place.ticking = False
                self._users -= 1
            if self._users == 0 and self._thread is not None:
                self._shift.over = True
                self._thread = None
                self.beat = _DEAD

    def current(self) -> Beat:
        """The beat, from a thread that is alive: started anew if the last one is stale. Raises `HotswapError`."""
        beat = self.beat
        if time.monotonic() - beat.since <= STALE_S:
            return beat
        with self._lock:
            self._refuse_fork()
            beat = self.beat
            if time.monotonic() - beat.since > STALE_S:  # else another call just did
                beat = self._start()
            return beat

    def supervise(self) -> None:
        """See to it that the tick goes on, if somebody needs it: no call may come that does. No error if it cannot."""
        if time.monotonic() - self.beat.since > STALE_S:
            with self._lock, suppress(HotswapError):
                if self._users:
                    self.current()

    def tick_in(self, seconds: float) -> None:
        """Ask for one more tick, beside the usual ones."""
        at = time.monotonic() + seconds
        if at < self._asked_at:
            self._asked_at = at

    def _start(self) -> Beat:
        """A thread that is late goes on until another has begun, and for good if none can."""
        shift = _Shift()
        thread = threading.Thread(target=self._run, args=(shift,), name="hotswap-ticker", daemon=True)
        self.beat = beat = Beat(time.monotonic())  # first, for a thread that dies at once leaves another
        try:
            thread.start()
            if not shift.is_thread:
                raise HotswapError(
                    "expected threads of the system, found others: gevent or eventlet has put greenlets there, "
                    "so nothing could stop a call that runs too long. Run plugins in a process that is not patched so"
                )
        except BaseException as error:
            shift.over = True
            self.beat = _DEAD
            if isinstance(error, RuntimeError):
                raise Overloaded(
                    f"the thread that stops overlong calls cannot start: {error}; calls are refused until it can"
                ) from error
            raise
        self._shift.over = True
        self._shift, self._thread = shift, thread
        return beat

    def _run(self, shift: _Shift) -> None:
        if threading.get_native_id() == shift.starter:
            shift.is_thread = False
            return
        try:
            tick_at = time.monotonic() + TICK_S
            while True:
                now = time.monotonic()
                time.sleep(max(0.0, min(BEAT_S, tick_at - now, max(self._asked_at - now, REST_S))))
                if shift.over:
                    return
                now = time.monotonic()
                self._next(now)
                asked, usual = now >= self._asked_at, now >= tick_at
                if asked:
                    self._asked_at = NEVER  # before the tick, at which calls ask anew
                if usual:
                    tick_at = max(tick_at + TICK_S, now + BEAT_S)
                if asked or usual:
                    for engine in engines():
                        engine.increment_epoch()
        finally:
            if not shift.over:  # it dies: the next call of each instance must notice
                self.beat = _DEAD

    def _next(self, now: float) -> None:
        last = self.beat
        self.beat = Beat(now)
        last.ended_at = time.monotonic()

    def _refuse_fork(self) -> None:
        if self._forked:
            raise forked()

    def forked(self) -> None:
        """In the child of a fork."""
        self._lock = threading.RLock()  # a finalizer may close an instance in here
        self._forked = self._users > 0
        self._thread = None
        self.beat = _DEAD


TICKER = Ticker()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TICKER.forked)
