"""Modules that are malformed: each is refused with the place, and wasmtime's own validation refuses it too."""

from __future__ import annotations

from typing import Final

import pytest

import wasm_bytes as w
from hotswap import MalformedModule
from hotswap._wasm import read_module
from runtime_modules import load
from wasm_bytes import HEADER, ZERO
from wasm_reading import LIMITS, is_valid, read, refused

MALFORMED: Final[dict[str, tuple[bytes, str]]] = {
    "nothing": (b"", "expected a wasm module, which starts with b'\\x00asm', found nothing"),
    "another file": (b"\x7fELF", "found 4 bytes that start with b'\\x7fELF'"),
    "half a header": (b"\0asm\1\0", "expected wasm version 1, found the version bytes b'\\x01\\x00'"),
    "a section without a size": (
        HEADER + b"\1",
        "header of a section, byte 9: expected the size of a section, found the",
    ),
    "a section that is too long": (HEADER + b"\1\2\0", "byte 8: expected a section of 2 bytes, found 1 until the end"),
    "a section that ends late": (
        HEADER + b"\1\2\0\0",
        "type section, byte 11: expected the end of the section, found 1",
    ),
    "a section that ends early": (
        HEADER + b"\1\1\1",
        "byte 10: expected room for 1 types, found 0 bytes until the end",
    ),
    "a section that nobody knows": (HEADER + b"\x0e\0", "byte 8: expected a section that there is, found number 14"),
    "a section twice": (
        w.module(w.types(), w.types()),
        "byte 11: expected each section once, in order, found the type",
    ),
    "sections out of order": (w.module(w.functions(), w.types()), "in order, found the type section here"),
    "data counted after the code": (w.module(w.code(), w.section(w.DATA_COUNT, b"\0")), "the data count section here"),
    "a tag after the globals": (
        w.module(w.section(w.GLOBAL, b"\0"), w.section(w.TAG, b"\0")),
        "each section once, in order, found the tag section here",
    ),
    "a number in six bytes": (HEADER + b"\1\6" + w.u32(0, 5), "byte 10: expected the number of types, in 5 bytes at m"),
    "a number in 33 bits": (
        HEADER + b"\1\5\xff\xff\xff\xff\x1f",
        "expected the number of types, in 32 bits, found a la",
    ),
    "a size of a memory in 33 bits": (
        w.module(w.section(w.MEMORY, b"\1\0" + w.u32(2**32))),
        "byte 12: expected a smallest size, in 32 bits, found a larger number",
    ),
    "a size of a table in eleven bytes": (
        w.module(w.section(w.TABLE, b"\1\x70\1\0" + w.u32(0, 10))),
        "byte 14: expected a largest size, in 10 bytes at most, found a longer one",
    ),
    "a size in six bytes": (HEADER + b"\1" + w.u32(0, 5), "byte 9: expected the size of a section, in 5 bytes at most"),
    "an i32 in 33 bits": (
        w.module(w.section(w.GLOBAL, b"\1\x7f\0\x41\x80\x80\x80\x80\x08\x0b")),
        "byte 14: expected an i32, in 32 bits, found a larger number",
    ),
    "an i64 in 65 bits": (
        w.module(w.section(w.GLOBAL, b"\1\x7e\0\x42" + b"\x80" * 9 + b"\1\x0b")),
        "byte 14: expected an i64, in 64 bits, found a larger number",
    ),
    "an i64 in eleven bytes": (
        w.module(w.section(w.GLOBAL, b"\1\x7e\0\x42" + b"\x80" * 10 + b"\0\x0b")),
        "byte 14: expected an i64, in 10 bytes at most, found a longer one",
    ),
    "half an f64": (w.module(w.section(w.GLOBAL, b"\1\x7c\0\x44\0\0")), "byte 14: expected 8 bytes of an f64, found 2"),
    "an expression without an end": (
        w.module(w.section(w.GLOBAL, b"\1\x7f\0\x41\0")),
        "expected the end of a constant",
    ),
    "no constant": (
        w.module(w.section(w.GLOBAL, b"\1\x7f\0\1\x0b")),
        "byte 13: expected a constant instruction, found",
    ),
    "no constant arithmetic": (w.module(w.section(w.GLOBAL, b"\1\x7e\0\x7f\x0b")), "a constant instruction, found the"),
    "half a name": (
        w.module(w.section(w.EXPORT, b"\1\5abc")),
        "byte 12: expected 5 bytes of the name of an export, fou",
    ),
    "a name not in UTF-8": (w.module(w.exports((b"\xff", 0, 0))), "byte 11: expected the name of an export in UTF-8"),
    "a surrogate in a name": (
        w.module(w.exports((b"\xed\xa0\x80", 0, 0))),
        "in UTF-8, found other bytes (invalid cont",
    ),
    "a section's name not in UTF-8": (
        w.module(w.section(w.CUSTOM, w.name(b"\xc0\x80"))),
        "the name of a section in UT",
    ),
    "no type": (w.module(w.types(b"\x40\0\0")), "byte 11: expected a function type, 0x60, found the byte 0x40"),
    "no value type": (
        w.module(w.types(w.func(b"\x7f\x7a"))),
        "byte 14: expected one of i32, i64, f32, f64, funcref, e",
    ),
    "no reference type": (
        w.module(w.section(w.TABLE, b"\1\x7f\0\0")),
        "byte 11: expected funcref or externref, found t",
    ),
    "no mutability": (
        w.module(w.section(w.GLOBAL, b"\1\x7f\4" + ZERO)),
        "byte 12: expected 0 or 1 for a constant or m",
    ),
    "no size": (w.module(w.section(w.MEMORY, b"\1\x10\1")), "byte 11: expected flags of a size, found the byte 0x10"),
    "no kind of import": (
        w.module(w.imports(("a", "b", b"\5\0"))),
        "expected the kind of an import, 0 to 3, found the ",
    ),
    "no kind of export": (
        w.module(w.exports(("a", 5, 0))),
        "byte 13: expected the kind of an export, 0 to 3, found the",
    ),
    "one name for two exports": (
        w.module(w.section(w.MEMORY, b"\1\0\0"), w.exports(("m", 2, 0), ("n", 2, 0), ("m", 2, 0))),
        "byte 24: expected each name exported once, found 'm' again",
    ),
    "an export of no function": (
        w.module(w.exports(("f", 0, 0))),
        "byte 14: expected one of 0 functions, found number",
    ),
    "an export of no memory": (
        w.module(w.exports(("m", 2, 0))),
        "byte 14: expected one of 0 to export, found number 0",
    ),
    "a function of no type": (
        w.module(w.functions(0), w.exports(("f", 0, 0)), w.ONE_BODY),
        "byte 18: expected one of 0 types, found number 0",
    ),
    "an import of no type": (w.module(w.imports(("a", "b", b"\0\1"))), "expected one of 0 types, found number 1"),
    "a start of no function": (
        w.module(w.section(w.START, b"\0")),
        "start section, byte 10: expected one of 0 functio",
    ),
    "a function without a body": (
        w.module(w.types(w.func()), w.functions(0)),
        "end of the module, byte 18: expected 1 function bodies, found 0",
    ),
    "a body without a function": (w.module(w.ONE_BODY), "code section, byte 10: expected 0 function bodies, found 1"),
    "a body that is too long": (
        w.module(w.types(w.func()), w.functions(0), w.section(w.CODE, b"\1\5\0\0\x0b")),
        "byte 22: expected a function of 5 bytes, found 3 until the end",
    ),
    "a body that is too long by one": (
        w.module(w.types(w.func()), w.functions(0), w.section(w.CODE, b"\1\4\0\0\x0b")),
        "byte 22: expected a function of 4 bytes, found 3 until the end",
    ),
    "a body of nothing": (
        w.module(w.types(w.func()), w.functions(0), w.section(w.CODE, b"\1\0")),
        "expected the number of groups of locals, found the end",
    ),
    "groups of locals beyond their body": (
        w.module(w.types(w.func()), w.functions(0, 0), w.code(w.name(b"\2\1\x7f"), w.body())),
        "byte 26: expected a number of locals, found the end",
    ),
    "groups of locals that another body would go on with": (
        w.module(w.types(w.func()), w.functions(0, 0), w.code(w.name(b"\2\1\x7f"), b"\1\x7f")),
        "byte 26: expected a number of locals, found the end",
    ),
    "locals of no type": (
        w.one_function(b"", (1, 0x40)),
        "expected one of i32, i64, f32, f64, funcref, externref, fou",
    ),
    "no flags of elements": (
        w.module(w.section(w.ELEMENT, b"\1\x08")),
        "the flags of an element segment, 0 to 7, found",
    ),
    "elements of no kind": (w.module(w.section(w.ELEMENT, b"\1\1\1\0")), "expected 0 for elements that are functions"),
    "elements of no reference": (w.module(w.section(w.ELEMENT, b"\1\5\x7f\0")), "expected funcref or externref, found"),
    "more elements than bytes": (
        w.module(w.section(w.ELEMENT, b"\1\1\0\5\0")),
        "expected room for 5 elements, found 1",
    ),
    "no flags of data": (
        w.module(w.section(w.DATA, b"\1\3")),
        "byte 11: expected the flags of a data segment, 0 to 2,",
    ),
    "more data than bytes": (
        w.module(w.section(w.DATA, b"\1\1\5abc")),
        "expected 5 bytes of data, found 3 until the e",
    ),
    "fewer data than counted": (
        w.module(w.section(w.DATA_COUNT, b"\2"), w.section(w.DATA, b"\1\1\0")),
        "end of the module, byte 16: expected 2 data segments, found 1",
    ),
    "more data than counted": (
        w.module(w.section(w.DATA_COUNT, b"\0"), w.section(w.DATA, b"\1\1\0")),
        "expected 0 data segments, found 1",
    ),
    "data counted and not there": (w.module(w.section(w.DATA_COUNT, b"\1")), "expected 1 data segments, found 0"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_refused_and_its_place_named(name: str) -> None:
    wasm, said = MALFORMED[name]
    assert said in refused(wasm, MalformedModule)
    assert not is_valid(wasm)
    with pytest.raises(MalformedModule):
        load(wasm)


@pytest.mark.parametrize(("number", "size"), [(2**31 - 1, 5), (-(2**31), 5), (0, 1), (-1, 1)])
def test_each_i32_is_a_constant(number: int, size: int) -> None:
    written = w.s64(number)
    assert len(written) == size
    wasm = w.module(w.section(w.GLOBAL, b"\1\x7f\0\x41" + written + b"\x0b"))
    assert is_valid(wasm)
    read(wasm)


def test_the_message_has_the_origin_the_section_and_what_to_do() -> None:
    with pytest.raises(MalformedModule) as caught:
        read_module(HEADER + b"\1\2\0\0", LIMITS, "file 'p.wasm'")
    assert str(caught.value) == (
        "file 'p.wasm': type section, byte 11: expected the end of the section, found 1 bytes more; "
        "the module is damaged, or what built it is at fault"
    )
