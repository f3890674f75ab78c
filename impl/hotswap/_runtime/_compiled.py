"""Compiled modules: one in a process for the same bytes, however many plugins and versions are made of them.

A module is immutable and may be shared by threads and stores. It is kept as long as somebody uses it. Two threads that
come with new bytes at once both compile, and use what came first; nobody waits for another's compilation. With a
`CompileCache`, what is new to this process may be known to the folder.
"""

from __future__ import annotations

import hashlib
import platform
import threading
from functools import cache
from importlib.metadata import version
from weakref import WeakValueDictionary

import wasmtime

from hotswap._cache import CompileCache
from hotswap._runtime._admit import Admitted, compile_module
from hotswap._runtime._engine import engine, settings

_lock = threading.RLock()  # a module's finalizer may run in here
_modules: WeakValueDictionary[tuple[bool, str], wasmtime.Module] = WeakValueDictionary()
_cache: CompileCache | None = None


def use_compile_cache(cache: CompileCache | None) -> None:
    """From now on, look for compiled modules in this cache, for all plugins of the process; None: in none."""
    global _cache
    _cache = cache


def compiled(admitted: Admitted, *, metered: bool) -> wasmtime.Module:
    """The module of these bytes. Raises `ModuleRejected`."""
    key = metered, admitted.digest
    with _lock:
        module = _modules.get(key)
    if module is None:
        module = _from_cache(admitted, metered)
        with _lock:
            module = _modules.setdefault(key, module)
    return module


def _from_cache(admitted: Admitted, metered: bool) -> wasmtime.Module:
    kept = _cache
    if kept is None:
        return compile_module(admitted, engine(metered))
    name = _name(admitted.digest, metered)
    code = kept.get(name)
    if code is not None:
        try:
            return wasmtime.Module.deserialize(engine(metered), code)
        except wasmtime.WasmtimeError:
            kept.refused()
    module = compile_module(admitted, engine(metered))
    kept.put(name, bytes(module.serialize()))
    return module


def _name(digest: str, metered: bool) -> str:
    """Of an entry: whatever the compiled code depends on is in it."""
    return hashlib.sha256(repr((*_machine(), settings(metered), digest)).encode()).hexdigest()


@cache
def _machine() -> tuple[str, str, str]:
    return version("wasmtime"), platform.system(), platform.machine()
