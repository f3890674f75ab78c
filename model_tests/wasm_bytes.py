"""A writer of wasm binaries by hand: what no assembler would write, and what it would."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

HEADER: Final = b"\0asm\1\0\0\0"
CUSTOM, TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEMENT, CODE, DATA, DATA_COUNT, TAG = range(14)
I32, I64, F32, F64, V128, FUNCREF, EXTERNREF = 0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x70, 0x6F
PLAIN: Final = (I32, I64, F32, F64, FUNCREF, EXTERNREF)
END: Final = b"\x0b"
ZERO: Final = b"\x41\0" + END
"""The constant expression `i32.const 0`."""
TRAP: Final = b"\0" + END
"""A body that fits any type."""


def u32(number: int, padding: int = 0) -> bytes:
    """LEB128, perhaps longer than it has to be."""
    out = bytearray()
    while number > 0x7F or padding:
        padding = max(0, padding - 1)
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def s64(number: int) -> bytes:
    out = bytearray()
    while not -64 <= number < 64:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number & 0x7F])


def vec(items: Iterable[bytes]) -> bytes:
    listed = list(items)
    return u32(len(listed)) + b"".join(listed)


def name(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return u32(len(raw)) + raw


def section(number: int, content: bytes) -> bytes:
    return bytes([number]) + u32(len(content)) + content


def module(*sections: bytes) -> bytes:
    return HEADER + b"".join(sections)


def types(*entries: bytes) -> bytes:
    return section(TYPE, vec(entries))


def func(params: bytes = b"", results: bytes = b"") -> bytes:
    return b"\x60" + name(params) + name(results)


def functions(*numbers: int) -> bytes:
    return section(FUNCTION, vec(map(u32, numbers)))


def imports(*entries: tuple[str | bytes, str | bytes, bytes]) -> bytes:
    """Of module, name, and kind with type."""
    return section(IMPORT, vec(name(where) + name(what) + kind for where, what, kind in entries))


def exports(*entries: tuple[str | bytes, int, int]) -> bytes:
    """Of name, kind and number."""
    return section(EXPORT, vec(name(what) + bytes([kind]) + u32(number) for what, kind, number in entries))


def body(content: bytes = TRAP, *groups: tuple[int, int]) -> bytes:
    """A function's body; `groups` are how many locals of which type."""
    return name(vec(u32(count) + bytes([kind]) for count, kind in groups) + content)


def code(*bodies: bytes) -> bytes:
    return section(CODE, vec(bodies))


def one_function(kind: bytes = b"", *groups: tuple[int, int], content: bytes = TRAP) -> bytes:
    """A module that exports one function `f`."""
    return module(
        types(kind or func()),
        functions(0),
        exports(("f", 0, 0)),
        code(body(content, *groups)),
    )


ONE_BODY: Final = code(body())
