"""What the tests of the reader share: how to read, to be refused, to ask wasmtime, and to count the work."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Final

import pytest
import wasmtime

from hotswap import ModuleRejected
from hotswap._manifest import LARGEST
from hotswap._runtime._engine import engine
from hotswap._wasm import ModuleLimits, ModuleShape, read_module

LIMITS: Final = ModuleLimits(max_module_kb=64, max_functions=50, memory_limit_mb=1)
FULL: Final = ModuleLimits(LARGEST.max_module_kb, LARGEST.max_functions, LARGEST.memory_limit_mb)


def read(wasm: bytes, limits: ModuleLimits = LIMITS) -> ModuleShape:
    return read_module(wasm, limits)


def is_valid(wasm: bytes) -> bool:
    """Whether wasmtime's own validation accepts it, on the engine that plugins run on."""
    try:
        wasmtime.Module.validate(engine(metered=False), wasm)
    except wasmtime.WasmtimeError:
        return False
    return True


def refused(wasm: bytes, kind: type[ModuleRejected], limits: ModuleLimits = LIMITS) -> str:
    with pytest.raises(ModuleRejected) as caught:
        read(wasm, limits)
    assert type(caught.value) is kind, caught.value
    return str(caught.value)


def calls_made(work: Callable[[], object]) -> int:
    """How many calls of functions the work takes, those of C included, and no finalizers of what others left behind."""
    made = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal made
        made += event in {"call", "c_call"}

    before = sys.getprofile()
    gc.disable()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
        gc.enable()
    return made
