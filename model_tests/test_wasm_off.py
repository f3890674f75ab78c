"""What WebAssembly has and hotswap switches off, written by hand: each is refused, and its proposal named.

Under wasmtime's defaults, some of these modules abort the process as soon as one of their types is looked at
(`test_engine.py` shows it). So all of this runs in the process of the tests: nothing here may die.
"""

from __future__ import annotations

from typing import Final

import pytest
import wasmtime

import wasm_bytes as w
from hotswap import MalformedModule, UnsupportedModule
from hotswap._runtime._engine import engine
from hotswap._runtime._inspect import inspect_module
from runtime_modules import load
from wasm_bytes import ZERO
from wasm_reading import is_valid, read, refused

TYPES_OFF: Final = {
    "v128": (b"\x7b", "SIMD"),
    "anyref": (b"\x6e", "garbage collection"),
    "eqref": (b"\x6d", "garbage collection"),
    "i31ref": (b"\x6c", "garbage collection"),
    "structref": (b"\x6b", "garbage collection"),
    "arrayref": (b"\x6a", "garbage collection"),
    "nullref": (b"\x71", "garbage collection"),
    "nullexternref": (b"\x72", "garbage collection"),
    "nullfuncref": (b"\x73", "garbage collection"),
    "exnref": (b"\x69", "exceptions"),
    "nullexnref": (b"\x74", "exceptions"),
    "contref": (b"\x68", "stack switching"),
    "nullcontref": (b"\x75", "stack switching"),
    "(ref null $0)": (b"\x63\0", "typed function references"),
    "(ref $0)": (b"\x64\0", "typed function references"),
    "(ref func)": (b"\x64\x70", "typed function references"),
    "(ref extern)": (b"\x64\x6f", "typed function references"),
}
"""Each of them aborts the process when wasmtime-py looks at it, or has no value there."""


def typed(kind: bytes, place: str) -> bytes:
    """A module with a type in a place: that of a parameter, a result, a global and so on."""
    plain = w.func()
    one = b"\1" + kind
    match place:
        case "parameter":
            return w.module(w.types(plain, b"\x60" + one + b"\0"), w.functions(1), w.exports(("f", 0, 0)), w.ONE_BODY)
        case "result":
            return w.module(w.types(plain, b"\x60\0" + one), w.functions(1), w.exports(("f", 0, 0)), w.ONE_BODY)
        case "imported function":
            return w.module(w.types(plain, b"\x60" + one + b"\0"), w.imports(("a", "b", b"\0\1")))
        case "imported global":
            return w.module(w.types(plain), w.imports(("a", "b", b"\3" + kind + b"\0")))
        case "global":
            null = b"\xd0" + kind + b"\x0b"
            return w.module(w.types(plain), w.section(w.GLOBAL, b"\1" + kind + b"\0" + null), w.exports(("g", 3, 0)))
        case "local":
            return w.module(w.types(plain), w.functions(0), w.code(w.name(b"\1\1" + kind + w.TRAP)))
        case "table":
            return w.module(w.types(plain), w.section(w.TABLE, b"\1" + kind + b"\0\0"), w.exports(("t", 1, 0)))
        case "imported table":
            return w.module(w.types(plain), w.imports(("a", "b", b"\1" + kind + b"\0\0")))
    raise AssertionError(place)


PLACES: Final = ("parameter", "result", "imported function", "imported global", "global", "local")
TABLES: Final = ("table", "imported table")


@pytest.mark.parametrize("place", [*PLACES, *TABLES])
@pytest.mark.parametrize("name", TYPES_OFF)
def test_a_type_that_is_switched_off_is_refused_wherever_it_stands(name: str, place: str) -> None:
    kind, proposal = TYPES_OFF[name]
    if name == "v128" and place in TABLES:
        assert not is_valid(typed(kind, place))
        refused(typed(kind, place), MalformedModule)
        return
    wasm = typed(kind, place)
    said = refused(wasm, UnsupportedModule)
    assert f"byte {wasm.index(kind, 14)}: expected a module without {proposal}, found the byte {kind[0]:#04x}; " in said
    assert "switched off in hotswap, build without it (-mcpu=mvp" in said
    assert not is_valid(wasm)
    for look in (load, inspect_module):
        with pytest.raises(UnsupportedModule, match=proposal):
            look(wasm)


OFF: Final = {
    "a structure": (w.module(w.types(b"\x5f\0")), "garbage collection", "0x5f"),
    "an array": (w.module(w.types(b"\x5e\x7f\0")), "garbage collection", "0x5e"),
    "a recursive group": (w.module(w.types(b"\x4e\1" + w.func())), "garbage collection", "0x4e"),
    "a type that others may extend": (w.module(w.types(b"\x50\0" + w.func())), "garbage collection", "0x50"),
    "a continuation": (w.module(w.types(w.func(), b"\x5d\0")), "stack switching", "0x5d"),
    "a tag": (w.module(w.types(w.func()), w.section(w.TAG, b"\1\0\0")), "exceptions", "tags"),
    "an imported tag": (w.module(w.types(w.func()), w.imports(("a", "b", b"\4\0\0"))), "exceptions", "0x04"),
    "an exported tag": (w.module(w.exports(("e", 4, 0))), "exceptions", "0x04"),
    "a shared memory": (w.module(w.section(w.MEMORY, b"\1\3\1\1")), "threads", "0x03"),
    "an imported shared memory": (w.module(w.imports(("a", "b", b"\2\3\1\1"))), "threads", "0x03"),
    "a 64-bit memory": (w.module(w.section(w.MEMORY, b"\1\4\1")), "64-bit", "0x04"),
    "a 64-bit table": (w.module(w.section(w.TABLE, b"\1\x70\4\1")), "64-bit", "0x04"),
    "a page size": (w.module(w.section(w.MEMORY, b"\1\x08\1\0")), "custom page sizes", "0x08"),
    "two memories": (w.module(w.section(w.MEMORY, b"\2\0\1\0\1")), "multiple memories", "a second memory"),
    "a memory beside an imported one": (
        w.module(w.imports(("a", "b", b"\2\0\1")), w.section(w.MEMORY, b"\1\0\1")),
        "multiple memories",
        "a second memory",
    ),
    "a table with an initial element": (
        w.module(w.section(w.TABLE, b"\1\x40\0\x70\0\1\xd0\x70\x0b")),
        "typed function references",
        "0x40",
    ),
    "a shared global": (w.module(w.section(w.GLOBAL, b"\1\x7f\2" + ZERO)), "shared-everything threads", "0x02"),
    "a vector in a global": (
        w.module(w.section(w.GLOBAL, b"\1\x7f\0\xfd\x0c" + bytes(16) + b"\x0b")),
        "SIMD",
        "0xfd",
    ),
    "a structure in a global": (w.module(w.section(w.GLOBAL, b"\1\x70\0\xfb\1\0\x0b")), "garbage collection", "0xfb"),
    "a null of a type with a large number": (
        w.module(w.types(*[w.func()] * 129), w.section(w.GLOBAL, b"\1\x70\0\xd0\x80\1\x0b")),
        "typed function references",
        "0x80",
    ),
    "a tag before the globals": (
        w.module(w.types(w.func()), w.section(w.TAG, b"\1\0\0"), w.section(w.GLOBAL, b"\0")),
        "exceptions",
        "tags",
    ),
    "a typed null": (
        w.module(w.types(w.func()), w.section(w.GLOBAL, b"\1\x70\0\xd0\0\x0b")),
        "typed function references",
        "0x00",
    ),
}


@pytest.mark.parametrize("name", OFF)
def test_a_proposal_that_is_switched_off_is_named(name: str) -> None:
    wasm, proposal, found = OFF[name]
    said = refused(wasm, UnsupportedModule)
    assert f"expected a module without {proposal}" in said
    assert found in said
    assert not is_valid(wasm)
    for look in (load, inspect_module):
        with pytest.raises(UnsupportedModule, match=proposal):
            look(wasm)


@pytest.mark.parametrize(
    ("wasm", "proposal"),
    [
        (w.module(w.types(b"\x60\1\x63\x70\0")), "typed function references"),
        (w.module(w.types(b"\x60\0\1\x63\x6f")), "typed function references"),
        (w.module(w.types(b"\x4f\0" + w.func())), "garbage collection"),
    ],
    ids=["(ref null func)", "(ref null extern)", "(sub final (func))"],
)
def test_an_old_type_in_the_form_of_a_proposal_is_refused_though_the_engine_would_take_it(
    wasm: bytes, proposal: str
) -> None:
    assert is_valid(wasm)
    assert f"expected a module without {proposal}" in refused(wasm, UnsupportedModule)


SIZES: Final = {
    "smallest": (w.u32(2, 5) + w.u32(3), "a smallest size written as a number of 64 bits"),
    "largest": (w.u32(2) + w.u32(3, 9), "a largest size written as a number of 64 bits"),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("what", ["memory", "table"])
def test_a_size_that_is_padded_as_those_of_64_bit_memories_belongs_to_them(what: str, size: str) -> None:
    """wasmtime's own validation takes it whatever is on, and its compiler does not."""
    number, kind = (w.MEMORY, b"") if what == "memory" else (w.TABLE, b"\x70")
    written, says = SIZES[size]
    wasm = w.module(w.section(number, b"\1" + kind + b"\1" + written))
    assert says in refused(wasm, UnsupportedModule)
    with pytest.raises(wasmtime.WasmtimeError, match="too long"):
        wasmtime.Module(engine(metered=False), wasm)
    assert read(w.module(w.section(number, b"\1" + kind + b"\1" + w.u32(2, 4) + w.u32(3, 4))))


@pytest.mark.parametrize("version", [b"\x0d\0\1\0", b"\x0e\0\1\0"])
def test_a_component_is_told_from_a_module(version: bytes) -> None:
    assert "found a component; build it as a module" in refused(b"\0asm" + version, UnsupportedModule)
