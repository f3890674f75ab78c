"""What must hold for every module, whatever it is; run in a child, since one that does not hold may kill.

The reader ends, and raises kinds of `ModuleRejected` and nothing else. It agrees with wasmtime:

- what it calls malformed is not valid for wasmtime either, even with every proposal switched on;
- what it calls switched off is not valid on our engine, with the exceptions of `OLD_THINGS_IN_NEW_FORMS`;
- what it admits has no section that wasmtime cannot parse, but for `NOT_THE_READERS`;
- what it admits, and wasmtime compiles, has the same imports and exports of the same types for both;
- the whole way, from the bytes to calls, ends with an answer or an error of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

import wasmtime

import hotswap
import wasm_bytes as w
from fuzzing import examine
from hotswap import LimitExceeded, MalformedModule, ModuleRejected, UnsupportedModule
from hotswap._plugin import REAL_PORTS
from hotswap._runtime._engine import engine
from hotswap._signature import Signature
from hotswap._upgrade import load
from hotswap._wasm import Global, ModuleLimits, ModuleShape, Pages, Table, read_module
from runtime_modules import resources
from wasm_generated import example, split

LIMITS: Final = ModuleLimits(max_module_kb=4096, max_functions=10_000, memory_limit_mb=16)
MANIFEST: Final = resources(fuel_limit=10_000, memory_limit_mb=16)
ALL_THE_WAY: Final = 4
"""Every so manieth module is loaded, instantiated and called too."""

OLD_THINGS_IN_NEW_FORMS: Final = ("found the byte 0x63", "found the byte 0x4f")
"""`(ref null func)` and `(sub final (func))` are other spellings of funcref and of a plain type."""

IN_A_SECTION: Final = "failed to parse WebAssembly module"
NOT_THE_READERS: Final = (
    *("out of bounds", "type mismatch", "size minimum must not be greater", "memory size must be at most"),
    *("invalid start function type", "constant expression required: global.get of"),
)
"""Why wasmtime may refuse a section of a module that was admitted: what refers to what, and types, are its own part."""


@cache
def everything_on() -> wasmtime.Engine:
    config = wasmtime.Config()
    for setting in (
        *("simd", "relaxed_simd", "gc", "function_references", "exceptions", "threads", "memory64", "multi_memory"),
        *("tail_call", "wide_arithmetic", "custom_page_sizes", "stack_switching"),
    ):
        setattr(config, f"wasm_{setting}", True)
    return wasmtime.Engine(config)


def is_valid(wasm: bytes, on: wasmtime.Engine) -> bool:
    try:
        wasmtime.Module.validate(on, wasm)
    except wasmtime.WasmtimeError:
        return False
    return True


def compiles(wasm: bytes) -> bool:
    """Whether our engine takes it. It is stricter than its own validation, which takes any padding of some sizes."""
    try:
        wasmtime.Module(engine(metered=False), wasm)
    except wasmtime.WasmtimeError:
        return False
    return True


def told(kind: object) -> Signature | Pages | Table | Global:
    """A type of wasmtime as ours. wasmtime-py calls externref by another name."""

    def name(each: object) -> str:
        return str(each).replace("anyref", "externref")

    match kind:
        case wasmtime.FuncType():
            return Signature(tuple(map(name, kind.params)), tuple(map(name, kind.results)))
        case wasmtime.MemoryType():
            return Pages(kind.limits.min, kind.limits.max)
        case wasmtime.TableType():
            return Table(name(kind.element), kind.limits.min, kind.limits.max)
        case wasmtime.GlobalType():
            return Global(name(kind.content), kind.mutable)
    raise AssertionError(f"no type of ours: {kind!r}")


def as_the_c_interface_has_it(kind: Signature | Pages | Table | Global) -> Signature | Pages | Table | Global:
    """The largest number means no maximum there."""
    if isinstance(kind, Table) and kind.max == 0xFFFF_FFFF:
        return Table(kind.element, kind.min, None)
    return kind


def agree(shape: ModuleShape, module: wasmtime.Module) -> None:
    ours = [(item.name, as_the_c_interface_has_it(item.type)) for item in shape.exports]
    theirs = [(item.name, told(item.type)) for item in module.exports]
    assert ours == theirs, f"exports: ours {ours}, wasmtime's {theirs}"
    wanted = [(item.module, item.name, as_the_c_interface_has_it(item.type)) for item in shape.imports]
    given = [(item.module, item.name, told(item.type)) for item in module.imports]
    assert wanted == given, f"imports: ours {wanted}, wasmtime's {given}"


def check(wasm: bytes) -> str:
    """What became of a module. Raises AssertionError if something does not hold."""
    try:
        shape = read_module(wasm, LIMITS)
    except MalformedModule as error:
        if is_valid(wasm, everything_on()):
            raise AssertionError(f"called malformed, and is valid: {error}") from error
        return "malformed"
    except UnsupportedModule as error:
        if not is_valid(wasm, engine(metered=False)) or not compiles(wasm):
            return "switched off"
        if not any(form in str(error) for form in OLD_THINGS_IN_NEW_FORMS):
            raise AssertionError(f"called switched off, and our engine takes it: {error}") from error
        return "another form"
    except LimitExceeded:
        return "too much"
    try:
        module = wasmtime.Module(engine(metered=False), wasm)
    except wasmtime.WasmtimeError as error:
        if IN_A_SECTION in str(error) and not any(reason in str(error) for reason in NOT_THE_READERS):
            raise AssertionError(f"admitted, and a section does not parse: {error}") from error
        return "does not compile"
    agree(shape, module)
    return "agreed"


def run(wasm: bytes) -> str:
    """The whole way, as a plugin that is registered goes it."""
    try:
        instance = load(REAL_PORTS, "p", wasm, MANIFEST).instantiate(probe=True)
    except ModuleRejected:
        return "refused"
    try:
        for name, signature in read_module(wasm, LIMITS).functions.items():
            if not signature.params:
                try:
                    instance.call(name, ())
                except hotswap.HotswapError:
                    return "a call failed"
    finally:
        instance.close()
    return "ran"


def fates(number: int) -> Iterator[str]:
    wasm = example(number)
    yield check(wasm)
    if number % ALL_THE_WAY == 0:
        yield run(wasm)


def shortest(number: int) -> str:
    return f"as small as it gets: {shrunk(example(number)).hex(' ')}"


def fuzz(first: str, count: str, current: str) -> str:
    return examine(fates, shortest, first, count, current)


def shrunk(wasm: bytes) -> bytes:
    """Without what is not needed for something not to hold."""

    def fails(candidate: bytes) -> bool:
        try:
            check(candidate)
            run(candidate)
        except Exception:  # noqa: BLE001  any failure will do
            return True
        return False

    for section in reversed(split(wasm)):
        without = w.module(*(w.section(*each) for each in split(wasm) if each != section))
        if fails(without):
            wasm = without
    size = len(wasm) // 2
    while size:
        at = 0
        while at < len(wasm):
            candidate = wasm[:at] + wasm[at + size :]
            if fails(candidate):
                wasm = candidate
            else:
                at += size
        size //= 2
    return wasm
