"""Types and constant expressions in a module's bytes.

A byte that is no type here may be one under a proposal, and then the error says which. The tables have the encodings of
the WebAssembly specification (binary format) and of its open proposals.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hotswap._wasm import _fixed
from hotswap._wasm._cursor import Cursor
from hotswap._wasm._shape import Global, Pages, Table

SIMD: Final = "SIMD"
GC: Final = "garbage collection"
EXCEPTIONS: Final = "exceptions"
TYPED: Final = "typed function references"
THREADS: Final = "threads"
SHARED: Final = "shared-everything threads"
STACKS: Final = "stack switching"
MEMORY64: Final = "64-bit memories and tables"
MULTI_MEMORY: Final = "multiple memories"
PAGE_SIZES: Final = "custom page sizes"

VALUE_TYPES: Final = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x70: "funcref", 0x6F: "externref"}
_PLAIN: Final = bytes(VALUE_TYPES)
_REFERENCES: Final = {0x70: "funcref", 0x6F: "externref"}
_EXPECTED: Final = f"one of {', '.join(VALUE_TYPES.values())}"

_NEW_REFERENCES: Final = {
    **dict.fromkeys((0x63, 0x64), TYPED),
    **dict.fromkeys((0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x71, 0x72, 0x73), GC),
    **dict.fromkeys((0x69, 0x74), EXCEPTIONS),
    **dict.fromkeys((0x68, 0x75), STACKS),
    0x65: SHARED,
}
_NEW_VALUES: Final = {**_NEW_REFERENCES, 0x7B: SIMD}
_WITH_INITIALIZER: Final = {0x40: TYPED}
_INDEX_OF_A_TYPE: Final = dict.fromkeys((*range(0x40), *range(0x80, 0x100)), TYPED)
FUNCTION: Final = 0x60
NEW_FORMS: Final = {
    **dict.fromkeys((0x4C, 0x4D), "custom descriptors"),
    **dict.fromkeys((0x4E, 0x4F, 0x50, 0x5E, 0x5F), GC),
    0x5D: STACKS,
    0x65: SHARED,
}

_MAX, _SHARED, _64, _PAGE_SIZE = 1, 2, 4, 8


def are_plain(raw: bytes) -> bool:
    """Whether each byte is a type that hotswap has."""
    return not raw.translate(None, _PLAIN)


def value_type(cursor: Cursor, what: str) -> str:
    byte = cursor.byte(what)
    if byte not in VALUE_TYPES:
        raise cursor.unknown(byte, _NEW_VALUES, _EXPECTED)
    return VALUE_TYPES[byte]


def value_types(cursor: Cursor, what: str) -> bytes:
    """The types of parameters or results, still as bytes."""
    count = cursor.count(what, _fixed.VALUES)
    start = cursor.at
    raw = cursor.take(count, what)
    others = raw.translate(None, _PLAIN)
    if others:
        raise cursor.unknown(others[0], _NEW_VALUES, _EXPECTED, start + raw.index(others[:1]))
    return raw


def names_of(raw: bytes) -> tuple[str, ...]:
    return tuple([VALUE_TYPES[each] for each in raw])


def reference(cursor: Cursor, more: Mapping[int, str] = MappingProxyType({})) -> str:
    """A reference type; `more` are bytes that only a proposal has in its place."""
    byte = cursor.byte("a reference type")
    if byte not in _REFERENCES:
        raise cursor.unknown(byte, {**_NEW_REFERENCES, **more}, "funcref or externref")
    return _REFERENCES[byte]


def table(cursor: Cursor) -> Table:
    return Table(reference(cursor, _WITH_INITIALIZER), *_limits(cursor, {_SHARED: SHARED, _64: MEMORY64}))


def memory(cursor: Cursor) -> Pages:
    return Pages(*_limits(cursor, {_SHARED: THREADS, _64: MEMORY64, _PAGE_SIZE: PAGE_SIZES}))


def _limits(cursor: Cursor, proposals: dict[int, str]) -> tuple[int, int | None]:
    flags = cursor.byte("the flags of a size")
    if flags & ~(_MAX | sum(proposals)):
        raise cursor.malformed("flags of a size", f"the byte {flags:#04x}", cursor.at - 1)
    for flag, proposal in proposals.items():
        if flags & flag:
            raise cursor.switched_off(proposal, f"the flags {flags:#04x} of a size", cursor.at - 1)
    return _size(cursor, "a smallest size"), _size(cursor, "a largest size") if flags & _MAX else None


def _size(cursor: Cursor, what: str) -> int:
    start = cursor.at
    size, padded = cursor.padded_u32(what)
    if padded:
        raise cursor.switched_off(MEMORY64, f"{what} written as a number of 64 bits", start)
    return size


def global_(cursor: Cursor) -> Global:
    kind = value_type(cursor, "the type of a global")
    mutability = cursor.byte("whether a global is mutable")
    if mutability > 1:
        raise cursor.unknown(mutability, {2: SHARED, 3: SHARED}, "0 or 1 for a constant or mutable global")
    return Global(kind, mutability == 1)


_ARITHMETIC: Final = frozenset((0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E))
_NEW_INSTRUCTIONS: Final = {0xFB: GC, 0xFD: SIMD, 0xFE: SHARED}


def skip_constant(cursor: Cursor) -> None:
    """A constant expression: what a global, an element or an offset begins with."""
    while True:
        code = cursor.byte("the end of a constant expression")
        cursor.instructions += 1
        if cursor.instructions > _fixed.INSTRUCTIONS:
            what = "instructions of constant expressions in all"
            raise cursor.exceeded(what, _fixed.INSTRUCTIONS, cursor.instructions, "use a function", cursor.at - 1)
        match code:
            case 0x0B:
                return
            case 0x41:
                cursor.skip_signed("an i32", 32)
            case 0x42:
                cursor.skip_signed("an i64", 64)
            case 0x43:
                cursor.skip(4, "an f32")
            case 0x44:
                cursor.skip(8, "an f64")
            case 0x23 | 0xD2:
                cursor.u32("an index")
            case 0xD0:
                reference(cursor, _INDEX_OF_A_TYPE)
            case _ if code not in _ARITHMETIC:
                raise cursor.unknown(code, _NEW_INSTRUCTIONS, "a constant instruction")
