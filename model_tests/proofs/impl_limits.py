"""The arithmetic of limits in the production code: nothing wraps, nothing is out of range, for any number.

What an error says about a number is not asked of the prover, which would spell out every number: `wordless` puts a
plain error in its place.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from hotswap._errors import BadReply, OutOfMemory, Overloaded
from hotswap._ports import Data
from hotswap._runtime import _census, _instance, _values
from hotswap._runtime._census import Census, Place
from hotswap._runtime._deadline import slice_ticks
from hotswap._runtime._instance import ALLOC, FREE, WasmInstance
from hotswap._runtime._linkage import Entry, Export
from hotswap._runtime._prepared import PreparedLinkage
from hotswap._runtime._ticker import TICK_S
from hotswap._signature import Signature
from hotswap._state import seconds_of
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
            census.enter(Place())
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
        return seconds_of("drain_timeout", value)
    except ValueError:
        return None


class Grown(PreparedLinkage):
    """Knew its memory to have so many bytes; now it has as many or more."""

    def __init__(self, known: int, there: int) -> None:
        self._where = object(), object()
        self._size, self._there = known, there

    def memory_size(self) -> int:
        return self._there


def memory_range(known: int, there: int, start: int, size: int) -> bool:
    """
    pre: (0 <= known) & (known <= there) & (start >= 0) & (size >= 0)
    post: _ == (start + size <= there)
    """
    return Grown(known, there).holds(start, size)


class Plugin:
    """Implements `Linkage`: gives what it is told to, and keeps whether all that was read and written lies within."""

    def __init__(self, limit: int, gives: Mapping[str, int]) -> None:
        self.limit, self.gives = limit, gives
        self.within = True
        self.reply: tuple[int, int] | None = None
        self.given: list[int] = []

    def entry(self, export: Export) -> Entry:
        raise NotImplementedError

    def begin(self) -> None: ...

    def step(self, export: Export, *args: int) -> int:
        self.given.extend(args)
        return self.gives[export.name]

    def holds(self, start: int, size: int) -> bool:
        return start + size <= self.limit

    def memory_size(self) -> int:
        return self.limit

    def write(self, start: int, data: Data) -> None:
        self.within &= (start >= 0) & (start + len(data) <= self.limit)

    def read(self, start: int, size: int) -> bytes:
        self.within &= (start >= 0) & (size >= 0) & (start + size <= self.limit)
        self.reply = start, size
        return b""


TABLE: Final = {name: Export.of(name, Signature((), ())) for name in (ALLOC, "f", FREE)}


def exchange(limit: int, allocated: int, packed: int) -> tuple[str, Plugin, list[int]]:
    """
    Whatever the plugin returns: an i32 from its allocator, an i64 from its function.

    pre: from_to(limit, 0, 2**32) & from_to(allocated, -(2**31), 2**31 - 1) & from_to(packed, -(2**63), 2**63 - 1)
    post: _[1].within
    post: (_[0] == "OutOfMemory") == (allocated == 0)
    post: (_[0] == "done") == ((allocated != 0) & (allocated % 2**32 + 3 <= limit) & (reply_end(packed) <= limit))
    post: (_[0] != "done") or (_[1].reply == (packed % 2**64 // 2**32, packed % 2**32))
    post: all([from_to(one, -(2**31), 2**31 - 1) for one in _[2]])
    """
    plugin = Plugin(limit, {ALLOC: allocated, "f": packed, FREE: 0})
    instance = WasmInstance.__new__(WasmInstance)
    instance._table = TABLE
    with wordless(_instance, "_bad_reply", BadReply()):
        try:
            instance._exchange(plugin, TABLE["f"], b"abc")
        except (BadReply, OutOfMemory) as error:
            return type(error).__name__, plugin, plugin.given
    return "done", plugin, plugin.given


def reply_end(packed: int) -> int:
    return packed % 2**64 // 2**32 + packed % 2**32
