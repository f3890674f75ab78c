"""Reads the script form of the WebAssembly specification's tests: modules, and what is asserted of them.

Only the form is read here, and the numbers in it; the text of a module is cut out as it stands, for an assembler.
"""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(r';;[^\n\r]*|\(;|[()]|"(?:[^"\\]|\\.)*"|[^\s()";]+|;', re.DOTALL)
_COMMENT: Final = re.compile(r"\(;|;\)")
_ESCAPE: Final = re.compile(rb"\\(?:u\{([0-9a-fA-F_]+)\}|([0-9a-fA-F]{2})|(.))", re.DOTALL)
_LETTERS: Final = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}


class BadScript(Exception):
    """The text has not the form of a script."""


@dataclass(slots=True)
class Form:
    """What stands in parentheses; its items are words, quoted texts and forms."""

    start: int
    end: int = 0
    items: list[Form | str] = field(default_factory=list)

    @property
    def head(self) -> str:
        return str(self.items[0]) if self.items and isinstance(self.items[0], str) else ""

    @property
    def name(self) -> str:
        """That of the module it is or is about, or nothing."""
        return self.word(1) if self.word(1).startswith("$") else ""

    def word(self, at: int) -> str:
        """The word there, or nothing."""
        item = self.items[at] if at < len(self.items) else ""
        return item if isinstance(item, str) else ""

    def forms(self) -> list[Form]:
        return [item for item in self.items if isinstance(item, Form)]

    def texts(self) -> list[bytes]:
        return [unquoted(item) for item in self.items if isinstance(item, str) and item.startswith('"')]


def read(script: str) -> Iterator[Form]:
    """The forms at the top. Raises `BadScript`."""
    at, open_ = 0, [Form(0)]
    while token := _TOKEN.search(script, at):
        at, text = token.end(), token[0]
        if text == "(;":
            at = _after_comment(script, at)
        elif text == "(":
            open_.append(Form(token.start()))
        elif text == ")":
            if len(open_) == 1:
                raise BadScript(f"expected a form, found ) at {token.start()}")
            form = open_.pop()
            form.end = at
            if form.head.startswith("@"):
                continue  # an annotation, which may stand anywhere
            if len(open_) == 1:
                yield form
            else:
                open_[-1].items.append(form)
        elif not text.startswith(";;"):
            open_[-1].items.append(text)
    if len(open_) > 1:
        raise BadScript(f"expected the end of the form that begins at {open_[-1].start}")


def _after_comment(script: str, at: int) -> int:
    depth = 1
    while depth:
        mark = _COMMENT.search(script, at)
        if mark is None:
            raise BadScript("expected the end of a comment")
        at = mark.end()
        depth += 1 if mark[0] == "(;" else -1
    return at


def unquoted(text: str) -> bytes:
    def replaced(escape: re.Match[bytes]) -> bytes:
        point, byte, letter = escape.groups()
        if point:
            return chr(int(point, 16)).encode("utf-8", "surrogatepass")
        return bytes([int(byte, 16)]) if byte else _LETTERS.get(letter, letter)

    return _ESCAPE.sub(replaced, text[1:-1].encode())


# Numbers ---------------------------------------------------------------------------------------------------

WIDTHS: Final = {"i32": 32, "i64": 64, "f32": 32, "f64": 64}
_FRACTION_BITS: Final = {"f32": 23, "f64": 52}


def bits(kind: str, text: str) -> int:
    """The bits of a number as the text format writes it."""
    text = text.replace("_", "")
    if kind.startswith("i"):
        return int(text, 0 if "x" in text else 10) & ((1 << WIDTHS[kind]) - 1)
    sign, text = text.startswith("-"), text.lstrip("+-")
    if text.startswith("nan"):
        payload = int(text[4:], 16) if ":" in text else quiet_bit(kind)
        return sign << (WIDTHS[kind] - 1) | exponent(kind) | payload
    number = float.fromhex(text) if text.startswith("0x") else float(text)
    return bits_of(kind, -number if sign else number)


def bits_of(kind: str, value: float) -> int:
    """The bits of a value of ours."""
    if kind.startswith("i"):
        return int(value) & ((1 << WIDTHS[kind]) - 1)
    packed = bytes(ctypes.c_float(value)) if kind == "f32" else struct.pack("=d", value)
    return int.from_bytes(packed, "little")


def value_of(kind: str, of: int) -> int | float:
    """The value of ours that has these bits; a signalling NaN of f32 has none."""
    size = WIDTHS[kind] // 8
    if kind.startswith("i"):
        return int.from_bytes(of.to_bytes(size, "little"), "little", signed=True)
    number: float = struct.unpack("<f" if kind == "f32" else "<d", of.to_bytes(size, "little"))[0]
    return number


def exponent(kind: str) -> int:
    return (1 << (WIDTHS[kind] - 1)) - (1 << _FRACTION_BITS[kind])


def quiet_bit(kind: str) -> int:
    return 1 << (_FRACTION_BITS[kind] - 1)


def is_signalling(kind: str, of: int) -> bool:
    if kind.startswith("i"):
        return False
    of &= (1 << (WIDTHS[kind] - 1)) - 1
    return of > exponent(kind) and not of & quiet_bit(kind)


def is_signalling_f32(kind: str, text: str) -> bool:
    return kind == "f32" and text.lstrip("+-").startswith("nan:0x") and is_signalling(kind, bits(kind, text))


def is_as(kind: str, pattern: str, found: int) -> bool:
    """Whether bits are what a test expects: a number, or one of two kinds of NaN."""
    plain = found & ((1 << (WIDTHS[kind] - 1)) - 1)
    if pattern == "nan:canonical":
        return plain == exponent(kind) | quiet_bit(kind)
    if pattern == "nan:arithmetic":
        return plain & (exponent(kind) | quiet_bit(kind)) == exponent(kind) | quiet_bit(kind)
    return found == bits(kind, pattern)
