"""A place in a module's bytes: the numbers, names and counts there, and the errors that say where they are wrong."""

from __future__ import annotations

from typing import Final, NamedTuple

from hotswap._errors import LimitExceeded, MalformedModule, ModuleRejected, UnsupportedModule
from hotswap._wasm import _fixed

HINT: Final = "build without it (-mcpu=mvp in Clang and Zig; see the plugin guide)"
_DAMAGED: Final = "the module is damaged, or what built it is at fault"
_MAX_U32: Final = 0xFFFF_FFFF
_U32_BYTES: Final = 5


class ModuleLimits(NamedTuple):
    """The limits that a manifest sets, by the names of `[resources]`."""

    max_module_kb: int
    max_functions: int
    memory_limit_mb: int


class Cursor:
    """Reads forward from `at`, never beyond `end`, which is that of the section or of the function's body."""

    __slots__ = ("_data", "_origin", "at", "end", "instructions", "where")

    def __init__(self, data: bytes, origin: str) -> None:
        self._data, self._origin = data, origin
        self.at, self.end = 0, len(data)
        self.where = "header"
        self.instructions = 0
        """Of constant expressions, so far."""

    # -- reading ------------------------------------------------------------------------------------------------

    def byte(self, what: str) -> int:
        if self.at >= self.end:
            raise self.malformed(what, "the end")
        self.at += 1
        return self._data[self.at - 1]

    def u32(self, what: str) -> int:
        """An unsigned number. Most take one byte or two; padded ones are right, as linkers write them."""
        data, at = self._data, self.at
        if at < self.end and (byte := data[at]) < 0x80:
            self.at = at + 1
            return byte
        if at + 1 < self.end and (second := data[at + 1]) < 0x80:
            self.at = at + 2
            return byte & 0x7F | second << 7
        return self._u32(what, 32)

    def padded_u32(self, what: str) -> tuple[int, bool]:
        """A number of 32 bits that may be padded as if it had 64, and whether it is padded that far."""
        at = self.at
        return self._u32(what, 64), self.at - at > _U32_BYTES

    def _u32(self, what: str, written_bits: int) -> int:
        at = self.at
        number = self._leb(what, written_bits)
        if number > _MAX_U32:
            raise self.malformed(f"{what}, in 32 bits", "a larger number", at)
        return number

    def skip_signed(self, what: str, bits: int) -> None:
        """A signed number of which nobody wants to know. The last byte of a longest one repeats the sign."""
        start = self.at
        self._leb(what, bits)
        longest, used = divmod(bits, 7)
        last = self._data[self.at - 1] & 0x7F
        if self.at - start == longest + 1 and last >> (used - 1) not in (0, 0x7F >> (used - 1)):
            raise self.malformed(f"{what}, in {bits} bits", "a larger number", start)

    def _leb(self, what: str, bits: int) -> int:
        start, number = self.at, 0
        for shift in range(0, bits, 7):
            byte = self.byte(what)
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
        raise self.malformed(f"{what}, in {(bits + 6) // 7} bytes at most", "a longer one", start)

    def skip_u32s(self, count: int, what: str) -> None:
        """Numbers of which nobody wants to know; `count` is no more than there are bytes."""
        if self.ahead(count).isascii():
            self.at += count
            return
        for _ in range(count):
            self.u32(what)

    def take(self, count: int, what: str) -> bytes:
        start = self.at
        self.skip(count, what)
        return self._data[start : self.at]

    def ahead(self, count: int) -> bytes:
        """What the next bytes are; fewer at the end."""
        return self._data[self.at : min(self.at + count, self.end)]

    def skip(self, count: int, what: str) -> None:
        if count > self.end - self.at:
            raise self.malformed(f"{count} bytes of {what}", f"{self.end - self.at} until the end")
        self.at += count

    def name(self, what: str) -> str:
        start = self.at
        size = self.u32(what)
        if size > _fixed.NAME_BYTES:
            self.skip(size, what)  # truncated, if it is, before it is too long
            raise self.exceeded(f"bytes of {what}", _fixed.NAME_BYTES, size, "give it a shorter one", start)
        try:
            return self.take(size, what).decode()
        except UnicodeDecodeError as error:
            raise self.malformed(f"{what} in UTF-8", f"other bytes ({error.reason})", start) from error

    def count(self, what: str, limit: int, remedy: str = "make the module smaller") -> int:
        """How many follow; no more than there are bytes left, nor than the limit."""
        start = self.at
        count = self.u32(f"the number of {what}")
        if count > self.end - self.at:
            raise self.malformed(f"room for {count} {what}", f"{self.end - self.at} bytes until the end", start)
        if count > limit:
            raise self.exceeded(what, limit, count, remedy, start)
        return count

    # -- what is wrong ------------------------------------------------------------------------------------------

    def malformed(self, expected: str, found: str, at: int | None = None) -> MalformedModule:
        return MalformedModule(f"{self._place(at)}: expected {expected}, found {found}; {_DAMAGED}")

    def exceeded(self, what: str, limit: int, found: int, remedy: str, at: int | None = None) -> LimitExceeded:
        return LimitExceeded(f"{self._place(at)}: expected at most {limit} {what}, found {found}; {remedy}")

    def switched_off(self, proposal: str, found: str, at: int | None = None) -> UnsupportedModule:
        return UnsupportedModule(
            f"{self._place(at)}: expected a module without {proposal}, found {found}; "
            f"the proposal is switched off in hotswap, {HINT}"
        )

    def unknown(self, byte: int, proposals: dict[int, str], expected: str, at: int | None = None) -> ModuleRejected:
        """What a byte is that is not the expected one: that of a proposal, or nothing."""
        at = self.at - 1 if at is None else at
        if byte in proposals:
            return self.switched_off(proposals[byte], f"the byte {byte:#04x}", at)
        return self.malformed(expected, f"the byte {byte:#04x}", at)

    def _place(self, at: int | None) -> str:
        return f"{self._origin}: {self.where}, byte {self.at if at is None else at}"
