"""What a module is filled with: elements, code and data. The code itself is skipped, but for what it says of locals."""

from __future__ import annotations

from typing import Final

from hotswap._wasm import _fixed, _types
from hotswap._wasm._cursor import Cursor
from hotswap._wasm._declarations import Declarations

_NOT_ACTIVE, _EXPLICIT, _EXPRESSIONS = 1, 2, 4
_ELEMENT_FLAGS: Final = _NOT_ACTIVE | _EXPLICIT | _EXPRESSIONS
_ACTIVE, _PASSIVE, _IN_MEMORY = 0, 1, 2
_SMALLER: Final = "make the module smaller"


class Contents:
    """Reads the sections from the elements on, each by the method of its name."""

    def __init__(self, cursor: Cursor, declared: Declarations, memory_limit_mb: int) -> None:
        self._cursor, self._declared, self._memory_limit_mb = cursor, declared, memory_limit_mb
        self._bodies = self._segments = self._groups = 0
        self._segments_counted: int | None = None

    def finish(self) -> None:
        """Raise `MalformedModule` unless there is as much of everything as was declared."""
        if self._bodies != self._declared.defined:
            raise self._cursor.malformed(f"{self._declared.defined} function bodies", f"{self._bodies}")
        if self._segments_counted not in (None, self._segments):
            raise self._cursor.malformed(f"{self._segments_counted} data segments", f"{self._segments}")

    def elements(self) -> None:
        cursor, sum_ = self._cursor, 0
        for _ in range(cursor.count("element segments", _fixed.ELEMENT_SEGMENTS)):
            start = cursor.at
            flags = cursor.u32("the flags of an element segment")
            if flags > _ELEMENT_FLAGS:
                raise cursor.malformed("the flags of an element segment, 0 to 7", f"{flags}", start)
            self._head_of_elements(flags)
            at = cursor.at
            count = cursor.count("elements", _fixed.ELEMENTS)
            sum_ += count
            if sum_ > _fixed.ELEMENTS:
                raise cursor.exceeded("elements in all", _fixed.ELEMENTS, sum_, _SMALLER, at)
            if flags & _EXPRESSIONS:
                for _ in range(count):
                    _types.skip_constant(cursor)
            else:
                cursor.skip_u32s(count, "the number of a function")

    def _head_of_elements(self, flags: int) -> None:
        cursor = self._cursor
        if not flags & _NOT_ACTIVE:
            if flags & _EXPLICIT:
                cursor.u32("the number of a table")
            _types.skip_constant(cursor)
        if flags & (_NOT_ACTIVE | _EXPLICIT):
            if flags & _EXPRESSIONS:
                _types.reference(cursor)
            elif (kind := cursor.byte("the kind of elements")) != 0:
                raise cursor.malformed("0 for elements that are functions", f"the byte {kind:#04x}", cursor.at - 1)

    def data_count(self) -> None:
        self._segments_counted = self._cursor.u32("the number of data segments")

    def code(self) -> None:
        cursor, section = self._cursor, self._cursor.end
        start, self._bodies = cursor.at, cursor.u32("the number of function bodies")
        if self._bodies != self._declared.defined:
            raise cursor.malformed(f"{self._declared.defined} function bodies", f"{self._bodies}", start)
        for _ in range(self._bodies):
            size = cursor.u32("the size of a function")
            end = cursor.at + size
            if end > section:
                raise cursor.malformed(f"a function of {size} bytes", f"{section - cursor.at} until the end")
            cursor.end = end
            self._locals()
            cursor.at, cursor.end = end, section

    def _locals(self) -> None:
        """Groups of locals, each a number and a type. Mostly all of them are two bytes."""
        cursor, start = self._cursor, self._cursor.at
        groups = cursor.u32("the number of groups of locals")
        if groups == 0:
            return
        self._groups += groups
        if self._groups > _fixed.GROUPS:
            raise cursor.exceeded("groups of locals in all", _fixed.GROUPS, self._groups, _SMALLER, start)
        raw = cursor.ahead(2 * groups)
        counts = raw[::2]
        if len(raw) == 2 * groups and counts.isascii() and _types.are_plain(raw[1::2]):
            self._hold_locals(sum(counts), start)
            return
        sum_ = 0
        for _ in range(groups):
            sum_ += cursor.u32("a number of locals")
            _types.value_type(cursor, "the type of locals")
            self._hold_locals(sum_, start)

    def _hold_locals(self, count: int, start: int) -> None:
        if count > _fixed.LOCALS:
            raise self._cursor.exceeded("locals in a function", _fixed.LOCALS, count, "split the function", start)

    def data(self) -> None:
        cursor, sum_ = self._cursor, 0
        self._segments = cursor.count("data segments", _fixed.DATA_SEGMENTS)
        for _ in range(self._segments):
            start = cursor.at
            flags = cursor.u32("the flags of a data segment")
            if flags > _IN_MEMORY:
                raise cursor.malformed("the flags of a data segment, 0 to 2", f"{flags}", start)
            if flags == _IN_MEMORY:
                cursor.u32("the number of a memory")
            if flags != _PASSIVE:
                _types.skip_constant(cursor)
            size = cursor.u32("the size of a data segment")
            cursor.skip(size, "data")
            sum_ += size
            if sum_ > self._memory_limit_mb << 20:
                remedy = f"raise resources.memory_limit_mb, or {_SMALLER}"
                raise cursor.exceeded("bytes of data", self._memory_limit_mb << 20, sum_, remedy, start)
