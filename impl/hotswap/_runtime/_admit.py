"""From bytes to a compiled module. Only what our own reader has admitted is given to wasmtime."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import wasmtime

from hotswap._errors import ModuleRejected, UnsupportedModule
from hotswap._runtime._source import Source
from hotswap._wasm import HINT, ModuleLimits, ModuleShape, read_module

if TYPE_CHECKING:
    from hotswap._manifest import ResourceLimits


class Admitted(NamedTuple):
    """A module whose sections have been read, and are within the limits."""

    wasm: bytes
    origin: str
    shape: ModuleShape
    digest: str
    """SHA-256 of the bytes, in hexadecimal."""


def admit(source: Source, resources: ResourceLimits) -> Admitted:
    """Read the sections. Raises the kinds of `ModuleRejected` that say what is wrong with them."""
    limits = ModuleLimits(resources.max_module_kb, resources.max_functions, resources.memory_limit_mb)
    shape = read_module(source.wasm, limits, source.origin)
    return Admitted(*source, shape, hashlib.sha256(source.wasm).hexdigest())


def compile_module(admitted: Admitted, engine: wasmtime.Engine) -> wasmtime.Module:
    """Raises `ModuleRejected`, or `UnsupportedModule` for an instruction of a proposal that is switched off."""
    try:
        return wasmtime.Module(engine, admitted.wasm)
    except wasmtime.WasmtimeError as error:
        raise does_not_compile(admitted.origin, str(error)) from error


def does_not_compile(origin: str, why: str) -> ModuleRejected:
    """What wasmtime's refusal means."""
    what = f"{origin}: the module does not compile: {why}"
    if "not enabled" in why:
        return UnsupportedModule(f"{what}\nThe proposal is switched off in hotswap, {HINT}")
    return ModuleRejected(what)
