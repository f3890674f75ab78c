"""Stops a call that has run too long, that is to be interrupted, or whose thread got a Ctrl-C.

wasmtime calls back when a store reaches its tick deadline; we let it run in short slices and decide anew at the
end of each. This reaches one store only: raising the shared tick would trap every plugin (docs/adr/0004).

The callback must never raise. ctypes reports an exception that leaves a callback and returns whatever lay in the
result's memory, which wasmtime takes for a pointer to an error and frees. And a Python function cannot promise not
to raise: on the main thread a signal handler runs at its very first instruction, before any `try`. So wasmtime
does not call a function of ours. It calls the builtin `min`, which executes no bytecode, with a suspended
generator as its key; that generator stands inside its `try`, where Ctrl-C is caught like any other exception,
kept, and raised when the call has left the wasm. `min` sees six items: 0 (go on) and an error (stop), which we put
there, then the four arguments of the callback; the generator gives the chosen answer the smallest key. After an
exception it hands over to an iterator in C, so that a second one cannot strike; and a call that comes in too near
the recursion limit for the callback's few frames is refused before it enters the wasm (`HEADROOM`).
"""

from __future__ import annotations

import enum
import itertools
import operator
import sys
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final

import wasmtime

from hotswap._frames import demand_frames
from hotswap._runtime import _capi
from hotswap._runtime._ticker import NEVER, TICK_S, TICKER, Beat

_GO_ON, _STOP, _TICKS = 0, 1, 4  # positions of the items that matter
_FIRST, _LAST = -1, 2  # keys of go-on, around the 0 of stop


def slice_ticks(left_s: float) -> int:
    """After how many ticks to decide anew: 4, or as many as cover what is left of the time, and 1 at least."""
    return 1 + (left_s > TICK_S) + (left_s > 2 * TICK_S) + (left_s > 3 * TICK_S)


class StopReason(enum.Enum):
    DEADLINE = "deadline"
    INTERRUPTED = "interrupted"
    EXCEPTION = "exception"


_EXCEPTION = StopReason.EXCEPTION


def _nested(levels: int) -> Any:
    return int if levels == 0 else (_nested(levels - 1),)


HEADROOM: Final = _nested(8)
"""`isinstance(None, HEADROOM)` raises `RecursionError` if the callback would meet the recursion limit in the wasm.

It goes one level deeper for each tuple, in a nanosecond or two; `min`, `send` and the generator need fewer together.
What the generator calls in its turn stands in its `try`. From 3.12 on the limit counts Python's frames only, and the
one that is needed is made by a call.
"""


def _one_frame() -> None: ...


if sys.version_info >= (3, 12):
    demand_headroom = _one_frame
else:
    demand_headroom = partial(isinstance, None, HEADROOM)


class Delegate(itertools.chain[int]):
    """What the generator of a callback delegates to after an exception: `send` gives the keys, and no bytecode runs."""

    __slots__ = ("send",)

    send: Callable[[object], bool]


class StopFlag:
    """Shared by the instances of a version: while `on`, calls inside them are stopped."""

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on = False


class Deadline:
    """One store's deadline. Holds no reference to the store, which would keep it alive for ever.

    A call reads no clock. It began in some beat, and its time counts from the end of that beat: it is never stopped
    too early, and a beat and a tick too late at most; mostly less, since it asks for a tick when its time is over.
    """

    def __init__(self, store: wasmtime.Store, timeout_s: float, interrupted: StopFlag) -> None:
        self.beat: Beat | None = None
        """That in which the store was made ready. While it is current, the store is ready for another call."""
        self.reason: StopReason | None = None
        self.exception: BaseException | None = None
        """What struck the thread while it was in the wasm, to be raised by whoever made the call."""
        self.host: str | None = None
        """The function of the host in which it was raised, if it was there."""
        self.timeout_s = timeout_s
        self._interrupted = interrupted
        self._error, error = _capi.new_error(b"stopped by the host")
        self._stop = Delegate(itertools.repeat(1))  # for the item at which it struck; then 0 for the error alone
        self._stop.send = partial(operator.is_not, error)
        self._rounds = self._decide()
        next(self._rounds)
        self._callback = _capi.TickCallback(partial(min, 0, error, key=self._rounds.send))
        _capi.on_tick(store, self._callback)

    def arm(self, store: wasmtime.Store) -> None:
        """Make the store ready for calls that begin in the current beat. Raises `HotswapError`, `RecursionError`."""
        demand_frames()  # in what follows, ctypes would make another error of it
        beat = TICKER.current()
        store.set_epoch_deadline(slice_ticks(self.timeout_s))
        self.beat = beat

    def close(self) -> None:
        """The store is closed. An error that was never returned to wasmtime is still ours to free."""
        if self.reason is None:
            self.reason = StopReason.DEADLINE  # first: rather lost than freed twice
            _capi.delete_error(self._error)
        self.exception = None  # nobody has raised it; its traceback leads here, and to frames that hold more
        self._rounds.close()

    def _left_s(self) -> float:
        """Of the time of the call that is in the wasm."""
        beat, now = self.beat, time.monotonic()
        if beat is None or (beat.ended_at == NEVER and beat is TICKER.beat):
            return self.timeout_s  # it began a moment ago
        if beat.ended_at == NEVER:
            beat.ended_at = now  # its ticker died before it could say so
        return beat.ended_at + self.timeout_s - now

    def _judge(self) -> StopReason | None:
        if self.exception is not None:
            return StopReason.EXCEPTION
        if self._interrupted.on:
            return StopReason.INTERRUPTED
        left_s = self._left_s()
        if left_s <= 0:
            return StopReason.DEADLINE
        TICKER.tick_in(left_s)
        return None

    def _decide(self) -> Generator[int, Any, None]:
        """Receives the six items of each round, one at a time, and yields their keys.

        The interpreter looks for signals where it resumes a generator, calls a function or jumps back, and nowhere
        else. All such places stand inside the `try`; its handler has none, so a second Ctrl-C cannot strike there.
        """
        position = 0
        key = 0
        try:
            while True:
                item = yield key
                if position == _GO_ON:
                    self.reason = self._judge()
                    key = _FIRST if self.reason is None else _LAST
                elif position == _TICKS:
                    item[0] = slice_ticks(self._left_s())
                    key = 1
                else:
                    key = 0 if position == _STOP else 1
                position = (position + 1) % 6
        except GeneratorExit:
            return
        except BaseException as error:  # noqa: BLE001  kept, and raised when the call is out of the wasm
            self.exception = error
            self.reason = _EXCEPTION
        yield from self._stop
