"""The arithmetic of limits in the production code: nothing wraps, nothing is out of range, for any number.

What an error says about a number is not asked of the prover, which would spell out every number: `wordless` puts a
plain error in its place.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from hotswap._errors import BadReply, OutOfMemory, Overloaded
from hotswap._plugin import _seconds
from hotswap._runtime import _census, _instance, _values
from hotswap._runtime._census import Census
from hotswap._runtime._deadline import slice_ticks
from hotswap._runtime._instance import ALLOC, FREE, WasmInstance
from hotswap._runtime._ticker import TICK_S
from proofs._logic import from_to


@contextmanager
def wordless(module: Any, name: str, error: Exception) -> Iterator[None]:
    worded = getattr(module, name)
    setattr(module, name, lambda *_: error)
    try:
        yield
    finally:
        setattr(module, name, worded)


def i32_argument(value: int) -> int | None:
    """
    post: (_ is None) == ((value < -2147483648) | (value > 2147483647))
    post: (_ is None) or (_ == value)
    """
    return argument(32, value)


def i64_argument(value: int) -> int | None:
    """
    post: (_ is None) == ((value < -9223372036854775808) | (value > 9223372036854775807))
    post: (_ is None) or (_ == value)
    """
    return argument(64, value)


def argument(bits: int, value: int) -> int | None:
    """What the wasm gets; None if the call is refused."""
    with wordless(_values, "_outside", ValueError()):
        try:
            return _values._integer(bits)(value)
        except ValueError:
            return None


def memory_size(megabytes: int) -> int:
    """
    A whole number of wasm's pages, of which a memory can have as many; what wasmtime takes, and never its default.

    pre: from_to(megabytes, 1, 1024)
    post: (_ == megabytes * 16 * 65536) & from_to(_, 1, 65536 * 65536) & (_ < 2**63)
    """
    return _instance._bytes_of(megabytes)


def pointer(unsigned: int) -> int:
    """
    pre: from_to(unsigned, 0, 2**32 - 1)
    post: from_to(_, -(2**31), 2**31 - 1)
    post: (_ - unsigned) % 2**32 == 0
    """
    return _instance._i32(unsigned)


def instances(created: int, closed: int, cap: int) -> tuple[bool, int, int]:
    """
    pre: (0 <= closed) & (closed <= created) & (created - closed <= cap)
    post: _[0] == (created - closed < cap)
    post: (_[1] == created + _[0]) & (_[2] == closed)
    post: _[1] - _[2] <= cap
    """
    census = Census(cap)
    census.created, census.closed = created, closed
    with wordless(_census, "_full", Overloaded()):
        try:
            census.enter()
        except Overloaded:
            return False, census.created, census.closed
    return True, census.created, census.closed


def ticks(left_s: float) -> int:
    """
    post: from_to(_, 1, 4)
    post: (_ == 4) or (left_s <= _ * TICK_S) or (left_s != left_s)
    post: (_ == 1) or (left_s > (_ - 1) * TICK_S)
    """
    asked = slice_ticks(left_s)
    return next((n for n in range(1, 5) if asked == n), 0)  # each case by itself


def seconds(value: float) -> float | None:
    """
    post: (_ is None) == (not (0 <= value <= sys.float_info.max))
    post: (_ is None) or (_ == value)
    """
    try:
        return _seconds("drain_timeout", value)
    except ValueError:
        return None


class Memory:
    """Ends at `limit`; keeps whether all that was read and written lies within."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.within = True
        self.reply: tuple[int, int] | None = None

    def data_len(self, store: object) -> int:
        return self.limit

    def write(self, store: object, data: bytes, start: int) -> None:
        self.within &= (start >= 0) & (start + len(data) <= self.limit)

    def read(self, store: object, start: int, end: int) -> bytes:
        self.within &= (start >= 0) & (start <= end) & (end <= self.limit)
        self.reply = start, end - start
        return b""


def exchange(limit: int, allocated: int, packed: int) -> tuple[str, Memory, list[int]]:
    """
    Whatever the plugin returns: an i32 from its allocator, an i64 from its function.

    pre: from_to(limit, 0, 2**32) & from_to(allocated, -(2**31), 2**31 - 1) & from_to(packed, -(2**63), 2**63 - 1)
    post: _[1].within
    post: (_[0] == "OutOfMemory") == (allocated == 0)
    post: (_[0] == "done") == ((allocated != 0) & (allocated % 2**32 + 3 <= limit) & (reply_end(packed) <= limit))
    post: (_[0] != "done") or (_[1].reply == (packed % 2**64 // 2**32, packed % 2**32))
    post: all([from_to(one, -(2**31), 2**31 - 1) for one in _[2]])
    """
    memory, given = Memory(limit), list[int]()

    def step(result: int) -> Any:
        def call(store: object, *args: int) -> int:
            given.extend(args)
            return result

        return call

    instance = WasmInstance.__new__(WasmInstance)
    instance._store = cast(Any, None)
    instance._functions = {ALLOC: step(allocated), "f": step(packed), FREE: step(0)}
    with wordless(_instance, "_bad_reply", BadReply()):
        try:
            instance._exchange(cast(Any, memory), "f", b"abc")
        except (BadReply, OutOfMemory) as error:
            return type(error).__name__, memory, given
    return "done", memory, given


def reply_end(packed: int) -> int:
    return packed % 2**64 // 2**32 + packed % 2**32
