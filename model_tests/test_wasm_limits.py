"""What a module may have at most, that no module makes the reader work for long, and that wasmtime comes after it."""

from __future__ import annotations

import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import wasmtime

import hotswap
import wasm_bytes as w
from hotswap import LimitExceeded, MalformedModule, ModuleRejected
from hotswap._manifest import LARGEST
from hotswap._runtime._inspect import inspect_module
from hotswap._wasm import ModuleLimits, _fixed
from runtime_modules import load
from wasm_bytes import HEADER, ZERO
from wasm_reading import FULL, calls_made, is_valid, read, refused

# Limits ----------------------------------------------------------------------------------------------------

MEMORY_0: Final = w.section(w.MEMORY, b"\1\0\1")


def counted(what: str, count: int) -> bytes:
    """A module that is valid but for having so many of something."""
    match what:
        case "sections":
            return w.module(*[w.section(w.CUSTOM, b"\0")] * count)
        case "types":
            return w.module(w.types(*[w.func()] * count))
        case "parameters":
            return w.module(w.types(w.func(b"\x7f" * count)))
        case "results":
            return w.module(w.types(w.func(b"", b"\x7f" * count)))
        case "imports":
            return w.module(w.imports(*[("a", "b", b"\3\x7f\0")] * count))
        case "exports":
            return w.module(MEMORY_0, w.exports(*[(f"{n}", 2, 0) for n in range(count)]))
        case "globals":
            return w.module(w.section(w.GLOBAL, w.vec([b"\x7f\0" + ZERO] * count)))
        case "element segments":
            return w.module(w.section(w.ELEMENT, w.vec([b"\1\0\0"] * count)))
        case "elements":
            return w.module(
                w.types(w.func()),
                w.functions(0),
                w.section(w.ELEMENT, w.vec([b"\1\0" + w.vec([b"\0"] * count)])),
                w.ONE_BODY,
            )
        case "elements in all":
            segments = [b"\1\0" + w.vec([b"\0"] * size) for size in (count // 2, count - count // 2)]
            return w.module(w.types(w.func()), w.functions(0), w.section(w.ELEMENT, w.vec(segments)), w.ONE_BODY)
        case "data segments":
            return w.module(w.section(w.DATA, w.vec([b"\1\0"] * count)))
        case "locals in a function":
            return w.one_function(b"", (count - 1, w.I32), (1, w.F64))
        case "instructions of constant expressions in all":
            pairs = (count + 1) // 2  # an addition and its number, or the first number and the end
            of_each = [500] * (pairs // 500 - 1) + [500 + pairs % 500]
            expressions = [b"\x41\0" + b"\x41\0\x6a" * (size - 1) + w.END for size in of_each]
            return w.module(w.section(w.GLOBAL, w.vec([b"\x7f\0" + each for each in expressions])))
        case "groups of locals in all":
            bodies = [w.body(w.TRAP, *[(0, w.I32)] * size) for size in (count // 2, count - count // 2)]
            return w.module(w.types(w.func()), w.functions(0, 0), w.code(*bodies))
        case "bytes of the name of an export":
            return w.module(MEMORY_0, w.exports(("x" * count, 2, 0)))
        case "bytes of the name of a section":
            return w.module(w.section(w.CUSTOM, w.name("x" * count)))
        case "functions":
            return w.module(w.types(w.func()), w.functions(*[0] * count), w.code(*[w.body()] * count))
        case "bytes of data":
            return w.module(
                w.section(w.DATA, w.vec([b"\1" + w.name(bytes(count // 2)), b"\1" + w.name(bytes(count - count // 2))]))
            )
    raise AssertionError(what)


MOST: Final = {
    "sections": _fixed.SECTIONS,
    "types": _fixed.TYPES,
    "parameters": _fixed.VALUES,
    "results": _fixed.VALUES,
    "imports": _fixed.IMPORTS,
    "exports": _fixed.EXPORTS,
    "globals": _fixed.GLOBALS,
    "element segments": _fixed.ELEMENT_SEGMENTS,
    "elements": _fixed.ELEMENTS,
    "elements in all": _fixed.ELEMENTS,
    "data segments": _fixed.DATA_SEGMENTS,
    "locals in a function": _fixed.LOCALS,
    "groups of locals in all": _fixed.GROUPS,
    "instructions of constant expressions in all": _fixed.INSTRUCTIONS,
    "bytes of the name of an export": _fixed.NAME_BYTES,
    "bytes of the name of a section": _fixed.NAME_BYTES,
    "functions": 123,
    "bytes of data": 2 << 20,
}


@pytest.mark.parametrize("what", MOST)
def test_a_limit_may_be_reached_and_not_passed(what: str) -> None:
    most = MOST[what]
    limits = ModuleLimits(max_module_kb=1 << 20, max_functions=123, memory_limit_mb=2)
    assert read(counted(what, most), limits)
    assert is_valid(counted(what, most))
    said = refused(counted(what, most + 1), LimitExceeded, limits)
    assert f"expected at most {most} {what}, found {most + 1}; " in said
    assert "byte " in said


def test_locals_are_counted_in_all_groups_together() -> None:
    assert "found 10100" in refused(w.one_function(b"", *[(100, w.I32)] * 101), LimitExceeded)
    assert "found 16383" in refused(w.one_function(b"", (16_383, w.I32)), LimitExceeded)
    mixed = [(1, w.F32)] * 5 + [(5_000, w.I32), (4_996, w.I64)]
    assert "found 10001" in refused(w.one_function(b"", *mixed), LimitExceeded)


def test_imported_tables_count_too() -> None:
    imported = w.imports(*[("a", "b", b"\1\x70\0\0")] * 2)
    read(w.module(imported, w.section(w.TABLE, w.vec([b"\x70\0\0"] * 2))))
    said = refused(w.module(imported, w.section(w.TABLE, w.vec([b"\x70\0\0"] * 3))), LimitExceeded)
    assert "at most 4 tables, found 5" in said


def test_the_limits_of_a_manifest_are_named_with_what_to_raise() -> None:
    assert "raise resources.max_functions" in refused(counted("functions", 51), LimitExceeded)
    assert "raise resources.memory_limit_mb" in refused(
        counted("bytes of data", (1 << 20) + 1), LimitExceeded, FULL._replace(memory_limit_mb=1)
    )
    large = w.module(w.section(w.CUSTOM, w.name("x") + bytes(64 << 10)))
    assert "at most 64 KiB, found 65550 bytes; raise resources.max_module_kb" in refused(large, LimitExceeded)
    exact = w.module(w.section(w.CUSTOM, w.name("x") + bytes((64 << 10) - 14)))
    assert len(exact) == 64 << 10
    read(exact)


# Work ------------------------------------------------------------------------------------------------------

HUGE: Final = w.u32(2**32 - 1)
HOSTILE: Final = {
    **{f"a count of section {number}": HEADER + w.section(number, HUGE) for number in range(1, 13)},
    "parameters": w.module(w.types(b"\x60" + HUGE)),
    "a name": w.module(w.section(w.CUSTOM, HUGE)),
    "elements": w.module(w.section(w.ELEMENT, b"\1\1\0" + HUGE)),
    "a body": w.module(w.types(w.func()), w.functions(0), w.section(w.CODE, b"\1" + HUGE)),
    "more groups of locals than there may be": w.module(
        w.types(w.func()), w.functions(0), w.code(w.name(HUGE + b"\1\x7f" * 40))
    ),
    "locals": w.module(w.types(w.func()), w.functions(0), w.code(w.name(b"\1" + HUGE + b"\x7f\x0b"))),
    "data": w.module(w.section(w.DATA, b"\1\1" + HUGE)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_huge_count_is_refused_before_it_costs_anything(name: str) -> None:
    tracemalloc.start()
    try:
        calls = calls_made(lambda: refused(HOSTILE[name], LimitExceeded if "locals" in name else MalformedModule))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert calls < 1_000
    assert peak < 200_000


LONG: Final = 1 << 19
COSTLY: Final = {
    "empty custom sections": w.module(*[w.section(w.CUSTOM, b"\0")] * (LONG // 3)),
    "small types": w.module(w.types(*[w.func()] * 9_999)),
    "padded elements": w.module(
        w.types(w.func()),
        w.functions(0),
        w.section(w.ELEMENT, w.vec([b"\1\0" + w.vec([w.u32(0, 4)] * 99_999)])),
        w.ONE_BODY,
    ),
    "small functions": w.module(w.types(w.func()), w.functions(*[0] * 100_000), w.code(*[w.body()] * 100_000)),
    "groups of no locals": w.one_function(b"", *[(0, w.I32)] * (LONG // 2)),
    "padded groups of no locals": w.module(
        w.types(w.func()), w.functions(0), w.code(w.name(w.vec([w.u32(0, 1) + b"\x7f"] * (LONG // 3)) + w.TRAP))
    ),
    "long expressions": w.module(w.section(w.GLOBAL, w.vec([b"\x7f\0" + (b"\x41\0" * 99) + b"\x0b"] * 2_600))),
    "small data": w.module(w.section(w.DATA, w.vec([b"\1\0"] * 10_000))),
    "one large function": w.one_function(content=b"\1" * LONG + w.TRAP),
    "much data": w.module(w.section(w.DATA, w.vec([b"\1" + w.name(bytes(LONG))]))),
}


@pytest.mark.parametrize("name", COSTLY)
def test_the_work_is_linear_in_the_bytes(name: str) -> None:
    """At most a few calls a byte. The memory is that of lists of small numbers at worst."""
    wasm = COSTLY[name]

    def work() -> None:
        try:
            read(wasm, FULL)
        except LimitExceeded:
            assert name == "empty custom sections"

    assert calls_made(work) < 5 * len(wasm) + 1_000
    tracemalloc.start()
    try:
        work()
        assert tracemalloc.get_traced_memory()[1] < 24 * len(wasm) + 100_000
    finally:
        tracemalloc.stop()


def test_most_of_a_large_module_is_skipped() -> None:
    for name in ("one large function", "much data", "groups of no locals"):
        assert calls_made(partial(read, COSTLY[name], FULL)) < 1_000


# In its place ----------------------------------------------------------------------------------------------


def test_what_is_refused_never_reaches_wasmtime(monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*arguments: Any) -> None:
        raise AssertionError("wasmtime was given the bytes")

    good = w.one_function()
    monkeypatch.setattr(wasmtime, "Module", reached)
    for wasm in (
        counted("exports", 1_001),
        w.one_function(w.func(b"\x7b")),
        w.module(w.imports(("a", "b", b"\2\0\1"))),
    ):
        with pytest.raises(ModuleRejected):
            load(wasm)
    with pytest.raises(AssertionError):
        load(good)


def test_the_limits_are_those_of_the_manifest() -> None:
    wasm = counted("functions", 30)
    assert load(wasm, max_functions=30).facts.functions == {}
    with pytest.raises(LimitExceeded, match="at most 29 functions, found 30"):
        load(wasm, max_functions=29)
    large = w.module(w.section(w.CUSTOM, w.name("x") + bytes(5000)))
    assert load(large, max_module_kb=5)
    with pytest.raises(LimitExceeded, match="at most 4 KiB, found 5013 bytes"):
        load(large, max_module_kb=4)
    data = counted("bytes of data", (1 << 20) + 1)
    assert load(data, memory_limit_mb=2)
    with pytest.raises(LimitExceeded, match="bytes of data"):
        load(data, memory_limit_mb=1)


def test_inspect_looks_at_all_that_a_manifest_could_allow() -> None:
    assert inspect_module(counted("functions", 10_001)).functions == {}
    for limit in ("memory_limit_mb", "max_module_kb", "max_functions"):
        with pytest.raises(hotswap.ManifestError):
            hotswap.ManifestBuilder("p", "1.0.0").limit(limit, getattr(LARGEST, limit) + 1).build()


@pytest.mark.parametrize("suffix", [".wasm", ".wat"])
def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"large{suffix}"
    with path.open("wb") as file:
        file.truncate(1 << 27)  # it takes no room on the disk
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded, match=r"large.* at most 2 KiB, found more; raise resources\.max_module_kb"):
            load(path, max_module_kb=2)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_what_is_given_in_memory_is_held_to_the_same_limit() -> None:
    with pytest.raises(LimitExceeded, match="characters"):
        load("(module)" + " " * 2048, max_module_kb=2)
    for kind in (bytes, bytearray, memoryview):
        with pytest.raises(LimitExceeded, match="the bytes given: expected at most 2 KiB, found 2049 bytes"):
            load(kind(bytes(2049)), max_module_kb=2)
