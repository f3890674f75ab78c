"""The reader of modules: what it tells of those that are right, whole or cut short.

The modules are bytes written by hand. All of this runs in the process of the tests: nothing here may die.
"""

from __future__ import annotations

from typing import Final

import pytest

import wasm_bytes as w
from hotswap import LimitExceeded, MalformedModule
from hotswap._signature import Signature
from hotswap._wasm import Export, Global, Import, ModuleShape, Pages, Table
from wasm_bytes import HEADER, ZERO
from wasm_reading import is_valid, read

# What it tells ---------------------------------------------------------------------------------------------

EVERYTHING: Final = w.module(
    w.section(w.CUSTOM, w.name("first") + b"anything"),
    w.types(w.func(bytes(w.PLAIN), bytes([w.I64, w.EXTERNREF])), w.func()),
    w.imports(
        ("env", "f", b"\0\1"),
        ("env", "t", b"\1\x70\0\5"),
        ("", "g", b"\3\x7c\1"),
    ),
    w.functions(0, 1),
    w.section(w.TABLE, w.vec([b"\x6f\1\2\7"])),
    w.section(w.MEMORY, w.vec([b"\1\1\3"])),
    w.section(w.GLOBAL, w.vec([b"\x7e\0" + b"\x42" + w.s64(-(2**63)) + b"\x0b", b"\x70\1\xd2\1\x0b"])),
    w.exports(("f", 0, 1), ("größe", 0, 0), ("t", 1, 1), ("memory", 2, 0), ("g", 3, 2), ("", 3, 0)),
    w.section(w.START, w.u32(2)),
    w.section(
        w.ELEMENT,
        w.vec(
            [
                b"\0" + ZERO + b"\1\2",
                b"\1\0\2\1\2",
                b"\2\0" + ZERO + b"\0\1\1",
                b"\3\0\0",
                b"\4" + ZERO + b"\1\xd2\1\x0b",
                b"\5\x70\1\xd0\x70\x0b",
                b"\6\1" + ZERO + b"\x6f\1\xd0\x6f\x0b",
                b"\7\x70\0",
            ]
        ),
    ),
    w.section(w.DATA_COUNT, w.u32(3)),
    w.code(w.body(w.TRAP, (200, w.I32), (1, w.F64)), w.body(w.TRAP.replace(b"\0", b"\1"))),
    w.section(w.DATA, w.vec([b"\0" + ZERO + w.name("data"), b"\1" + w.name("passive"), b"\2\0" + ZERO + w.name("")])),
    w.section(w.CUSTOM, w.name("last")),
)


def test_a_module_with_a_bit_of_everything_is_told() -> None:
    assert is_valid(EVERYTHING)
    big = Signature(("i32", "i64", "f32", "f64", "funcref", "externref"), ("i64", "externref"))
    assert read(EVERYTHING) == ModuleShape(
        imports=(
            Import("env", "f", Signature((), ())),
            Import("env", "t", Table("funcref", 5, None)),
            Import("", "g", Global("f64", mutable=True)),
        ),
        exports=(
            Export("f", big),
            Export("größe", Signature((), ())),
            Export("t", Table("externref", 2, 7)),
            Export("memory", Pages(1, 3)),
            Export("g", Global("funcref", mutable=True)),
            Export("", Global("f64", mutable=True)),
        ),
    )
    assert list(read(EVERYTHING).functions) == ["f", "größe"]
    assert [item.kind for item in read(EVERYTHING).exports] == [
        *("function", "function", "table", "memory", "global", "global")
    ]


def test_each_imported_function_has_its_own_type() -> None:
    wasm = w.module(
        w.types(w.func(), w.func(b"\x7f"), w.func(b"", b"\x7e")),
        w.imports(("a", "b", b"\0\2"), ("a", "c", b"\0\0"), ("a", "d", b"\0\1")),
    )
    assert [str(item.type) for item in read(wasm).imports] == ["() -> i64", "() -> ()", "(i32) -> ()"]


def test_constants_may_be_computed() -> None:
    small, large = (number * 2 + bytes([add]) for number, add in ((b"\x41\1", 0x6A), (b"\x42\1", 0x7C)))
    more = [(b"\x41\1", 0x6B), (b"\x41\1", 0x6C), (b"\x42\1", 0x7D), (b"\x42\1", 0x7E)]
    i32 = small + b"".join(number + bytes([code]) for number, code in more[:2])
    i64 = large + b"".join(number + bytes([code]) for number, code in more[2:])
    wasm = w.module(
        w.imports(("a", "b", b"\3\x7f\0")),
        w.section(w.GLOBAL, w.vec([b"\x7f\0\x23\0\x0b", b"\x7f\1" + i32 + b"\x0b", b"\x7e\0" + i64 + b"\x0b"])),
        w.exports(("last", 3, 3)),
    )
    assert is_valid(wasm)
    assert read(wasm).exports == (Export("last", Global("i64", mutable=False)),)


def test_an_imported_memory_is_told() -> None:
    assert read(w.module(w.imports(("a", "b", b"\2\0\1")))).imports == (Import("a", "b", Pages(1, None)),)


def test_the_smallest_module_is_one() -> None:
    assert read(HEADER) == ModuleShape((), ())


def test_numbers_that_a_linker_padded_are_right() -> None:
    padded = HEADER + b"\1" + w.u32(8, 4) + w.u32(1, 4) + w.func()
    assert is_valid(padded)
    assert read(padded) == ModuleShape((), ())
    groups = w.u32(1, 4) + w.u32(3, 2) + b"\x7f"
    in_locals = w.module(w.types(w.func()), w.functions(0), w.code(w.name(groups + w.TRAP)))
    assert is_valid(in_locals)
    read(in_locals)
    with pytest.raises(LimitExceeded, match="found 10001"):
        read(in_locals.replace(w.u32(3, 2), w.u32(10_001, 2)))


@pytest.mark.parametrize("cut", range(len(EVERYTHING)))
def test_a_module_that_is_cut_short_is_malformed_or_whole(cut: int) -> None:
    """Between two sections it is whole as far as it goes, unless what is left does not fit together."""
    whole = EVERYTHING[:cut]
    try:
        read(whole)
    except MalformedModule:
        assert not is_valid(whole)
    else:
        assert is_valid(whole)
