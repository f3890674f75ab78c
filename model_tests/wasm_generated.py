"""Modules made by chance: whole ones, odd ones, and whole ones that were damaged.

The same number gives the same module. A module is valid unless something odd was chosen on the way; damage is done to
its bytes, or inside one section whose size is then put right, so that it is found deeper in.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import wasmtime

import wasm_bytes as w
from damage import cut, flip, remove, repeat
from runtime_modules import BYTES, CALLS

ODDNESS: Final = (0.0, 0.0, 0.01, 0.05)
_NEW_TYPES: Final = (w.V128, 0x6E, 0x69, 0x63, 0x64, 0x6B, 0x73, 0x40, 0x7A)
_NEW_FORMS: Final = b"\x5f", b"\x5e", b"\x4e", b"\x50", b"\x5d", b"\x61", b"\x4f\0\x60", b"\x4e\1\x60", b"\x50\0\x60"
_TELLING: Final = (0, 1, 0x0B, 0x40, 0x60, 0x63, 0x6F, 0x70, 0x7B, 0x7F, 0x80, 0xFF)
_NAMES: Final = ("f", "g", "memory", "", "größe", "hotswap_init", "x" * 200, b"\xff", b"\xe0\x80")


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.oddness = chance.choice(ODDNESS)
        self.types: list[tuple[bytes, bytes]] = [(b"", b"")]
        self.functions: list[int] = []
        self.tables: list[int] = []
        self.globals: list[tuple[int, bool]] = []
        self.imported_globals = 0
        self.memories = 0

    def odd(self) -> bool:
        return self.chance.random() < self.oddness

    def some(self, most: int) -> range:
        return range(self.chance.randint(0, most))

    def number(self, value: int) -> bytes:
        """As it is, padded, or another one."""
        if self.odd():
            value = self.chance.choice((value + 1, 0, 127, 128, 2**32 - 1, self.chance.getrandbits(8)))
        padding = self.chance.randint(1, 4) if self.chance.random() < 0.05 else 0
        return w.u32(value, padding + self.odd() * 3)

    def kind(self, among: Sequence[int] = w.PLAIN) -> int:
        return self.chance.choice(_NEW_TYPES if self.odd() else among)

    def spelled(self, kind: int) -> bytes:
        """A type as it is, or a reference in the long form that a proposal has for it."""
        return bytes([0x63, kind] if kind in {w.FUNCREF, w.EXTERNREF} and self.odd() else [kind])

    def name(self) -> bytes:
        """Names of exports must differ, so most of them have a number."""
        if self.odd():
            return w.name(self.chance.choice(_NAMES))
        return w.name(f"{self.chance.choice(_NAMES[:5])}{self.chance.randint(0, 10**6)}")

    def vec(self, items: Sequence[bytes]) -> bytes:
        return self.number(len(items)) + b"".join(items)

    # -- entries ------------------------------------------------------------------------------------------------

    def type(self) -> bytes:
        params, results = (bytes(self.kind() for _ in self.some(3)) for _ in range(2))
        self.types.append((params, results))
        form = self.chance.choice(_NEW_FORMS) if self.odd() else b"\x60"
        return form + self.vec([*map(self.spelled, params)]) + self.vec([*map(self.spelled, results)])

    def size(self, least: int) -> bytes:
        flags = self.chance.choice((2, 3, 4, 5, 8, 16)) if self.odd() else self.chance.randint(0, 1)
        return bytes([flags]) + self.number(least) + (self.number(least + 3) if flags & 1 else b"")

    def table(self) -> bytes:
        self.tables.append(self.kind((w.FUNCREF, w.EXTERNREF)))
        return bytes([self.tables[-1]]) + self.size(self.chance.randint(0, 9))

    def memory(self) -> bytes:
        self.memories += 1
        return self.size(self.chance.randint(0, 2))

    def global_type(self) -> bytes:
        kind, mutable = self.kind(), self.chance.random() < 0.5
        self.globals.append((kind, mutable))
        return bytes([kind, 2 if self.odd() else mutable])

    def constant(self, kind: int) -> bytes:
        chance, known = self.chance, range(self.imported_globals)
        same = [n for n in known if self.globals[n] == (kind, False)]
        if self.odd():
            return chance.choice((b"\xfd\x0c" + bytes(16), b"\xd0\0", b"\xd0\x6e", b"\x1a", b"\xfb\1\0", b"")) + w.END
        if same and chance.random() < 0.5:
            return b"\x23" + self.number(chance.choice(same)) + w.END
        number = w.s64(chance.choice((0, -1, 63, 64, -(2**31), 2**31 - 1)))
        if kind in {w.I32, w.I64}:
            const = bytes([0x41 if kind == w.I32 else 0x42]) + number
            codes = (0x6A, 0x6B, 0x6C) if kind == w.I32 else (0x7C, 0x7D, 0x7E)
            more = [const + bytes([chance.choice(codes)]) for _ in self.some(3)]
            return const + b"".join(more) + w.END
        if kind in {w.F32, w.F64}:
            return (b"\x43" + chance.randbytes(4) if kind == w.F32 else b"\x44" + chance.randbytes(8)) + w.END
        if kind == w.FUNCREF and self.functions and chance.random() < 0.5:
            return b"\xd2" + self.number(chance.randrange(len(self.functions))) + w.END
        return b"\xd0" + bytes([kind]) + w.END

    def body(self, number: int) -> bytes:
        chance = self.chance
        groups = [self.number(chance.choice((0, 1, 3, 200))) + self.spelled(self.kind()) for _ in self.some(3)]
        if self.types[number] == (b"", b"") and chance.random() < 0.5:
            content = b"\x41\5\x1a\1" * chance.choice((0, 1, 40)) + w.END
        else:
            content = w.TRAP
        return w.name(self.vec(groups) + content)

    def elements(self) -> bytes:
        chance = self.chance
        flags = chance.randint(0, 7)
        funcs = [n for n, kind in enumerate(self.tables) if kind == w.FUNCREF]
        if not flags & 1 and not funcs:
            flags |= 1
        if not flags & 2 and not flags & 1 and self.tables[0] != w.FUNCREF:
            flags |= 2
        out = self.number(flags)
        if not flags & 1:
            out += (self.number(chance.choice(funcs)) if flags & 2 else b"") + w.ZERO
        if flags & 3:
            out += (b"\x70" if flags & 4 else b"\0") if not self.odd() else b"\x7f"
        count = chance.randint(0, 5) if self.functions else 0
        numbers = [self.number(chance.randrange(len(self.functions))) for _ in range(count)]
        return out + self.vec([b"\xd2" + n + w.END for n in numbers] if flags & 4 else numbers)

    def data(self) -> bytes:
        flags = self.chance.choice((0, 1, 2)) if self.memories else 1
        out = self.number(flags) + (self.number(0) if flags == 2 else b"")
        return out + (b"" if flags == 1 else w.ZERO) + w.name(self.chance.randbytes(self.chance.randint(0, 9)))

    def export(self) -> Iterator[bytes]:
        kinds = [len(self.functions), len(self.tables), self.memories, len(self.globals)]
        for kind, count in enumerate(kinds):
            for _ in self.some(4) if count else ():
                yield self.name() + bytes([4 if self.odd() else kind]) + self.number(self.chance.randrange(count))

    def import_(self) -> bytes:
        kind = self.chance.randint(0, 3)
        if kind == 2 and self.memories:
            kind = 3
        if kind == 0:
            self.functions.append(self.chance.randrange(len(self.types)))
        what = [lambda: self.number(self.functions[-1]), self.table, self.memory, self.global_type][kind]()
        self.imported_globals = len(self.globals)
        return self.name() + self.name() + bytes([4 if self.odd() else kind]) + what

    # -- a module -----------------------------------------------------------------------------------------------

    def sections(self) -> Iterator[bytes]:
        chance = self.chance
        yield w.section(w.TYPE, self.vec([w.func(), *(self.type() for _ in self.some(4))]))
        if chance.random() < 0.25:
            yield w.section(w.IMPORT, self.vec([self.import_() for _ in self.some(4)]))
        defined = [0, *(chance.randrange(len(self.types)) for _ in self.some(5))]
        self.functions += defined
        yield w.section(w.FUNCTION, self.vec([self.number(n) for n in defined]))
        yield w.section(w.TABLE, self.vec([self.table() for _ in self.some(2)]))
        yield w.section(w.MEMORY, self.vec([self.memory() for _ in range(chance.randint(0, 1 - bool(self.memories)))]))
        if self.odd():
            yield w.section(w.TAG, self.vec([b"\0\0"]))
        count = chance.randint(0, 4)
        yield w.section(
            w.GLOBAL, self.vec([self.global_type() + self.constant(self.globals[-1][0]) for _ in range(count)])
        )
        yield w.section(w.EXPORT, self.vec(list(self.export())))
        if chance.random() < 0.3:
            yield w.section(w.START, self.number(len(self.functions) - len(defined)))
        yield w.section(w.ELEMENT, self.vec([self.elements() for _ in self.some(3)]))
        segments = [self.data() for _ in self.some(3)]
        if chance.random() < 0.5:
            yield w.section(w.DATA_COUNT, self.number(len(segments)))
        yield w.section(w.CODE, self.vec([self.body(n) for n in defined]))
        yield w.section(w.DATA, self.vec(segments))

    def module(self) -> bytes:
        sections = list(self.sections())
        for _ in self.some(2):
            sections.insert(self.chance.randint(0, len(sections)), w.section(w.CUSTOM, self.name() + b"?"))
        if self.odd():
            self.chance.shuffle(sections)
        return w.module(*sections)


# Damage ----------------------------------------------------------------------------------------------------


@cache
def whole_modules() -> tuple[bytes, ...]:
    """Written by people and compilers."""
    shipped = Path(__file__).resolve().parents[1] / "impl" / "hotswap" / "_demo" / "plugins"
    texts = [bytes(wasmtime.wat2wasm(text)) for text in (CALLS, BYTES)]
    return (*texts, *(path.read_bytes() for path in sorted(shipped.glob("*.wasm"))))


def _tell(data: bytes, at: int, chance: random.Random) -> bytes:
    return data[:at] + bytes([chance.choice(_TELLING)]) + data[at + 1 :]


def _insert(data: bytes, at: int, chance: random.Random) -> bytes:
    return data[:at] + chance.choice((chance.randbytes(1), b"\x80", w.u32(chance.getrandbits(32)))) + data[at:]


def _pad(data: bytes, at: int, chance: random.Random) -> bytes:
    return data[:at] + w.u32(data[at], chance.randint(1, 5)) + data[at + 1 :]


_DAMAGES: Final[tuple[Callable[[bytes, int, random.Random], bytes], ...]] = (
    *(flip, flip, _tell, _tell, _insert, remove, repeat, cut, _pad),
)


def _damaged(data: bytes, chance: random.Random) -> bytes:
    return chance.choice(_DAMAGES)(data, chance.randrange(len(data)), chance) if data else chance.randbytes(3)


def split(wasm: bytes) -> list[tuple[int, bytes]]:
    """The sections of a module; of a damaged one, those before the damage."""
    found, at = [], len(w.HEADER)
    while at < len(wasm):
        number, size, shift = wasm[at], 0, 0
        for byte in wasm[at + 1 :]:
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append((number, wasm[at + 1 : at + 1 + size]))
        at += 1 + size
    return found


def _damaged_within(wasm: bytes, chance: random.Random) -> bytes:
    sections = split(wasm)
    which = chance.randrange(len(sections))
    number, content = sections[which]
    match chance.randint(0, 9):
        case 0:
            sections.pop(which)
        case 1:
            sections.insert(chance.randrange(len(sections)), sections[which])
        case _:
            for _ in range(chance.randint(1, 3)):
                content = _damaged(content, chance)
            sections[which] = number, content
    return w.module(*(w.section(*each) for each in sections))


def example(number: int) -> bytes:
    """The module of that number."""
    chance = random.Random(number)
    if chance.random() < 0.4:
        return _Maker(chance).module()
    if chance.random() < 0.3:
        wasm = chance.choice(whole_modules())
    else:
        maker = _Maker(chance)
        maker.oddness = 0.0
        wasm = maker.module()
    if chance.random() < 0.7:
        return _damaged_within(wasm, chance)
    for _ in range(chance.randint(1, 3)):
        wasm = _damaged(wasm, chance)
    return wasm
