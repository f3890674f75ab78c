"""Compiled modules: one in a process for the same bytes, however many plugins and versions are made of them.

A module is immutable and may be shared by threads and stores. It is kept as long as somebody uses it. Two threads that
come with new bytes at once both compile, and use what came first; nobody waits for another's compilation.
"""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

import wasmtime

from hotswap._runtime._engine import engine

_lock = threading.RLock()  # a module's finalizer may run in here
_modules: WeakValueDictionary[tuple[bool, str], wasmtime.Module] = WeakValueDictionary()


def compiled(wasm: bytes, digest: str, *, metered: bool) -> wasmtime.Module:
    """The module of these bytes, whose SHA-256 is `digest`. Raises `wasmtime.WasmtimeError`."""
    key = metered, digest
    with _lock:
        module = _modules.get(key)
    if module is None:
        module = wasmtime.Module(engine(metered), wasm)
        with _lock:
            module = _modules.setdefault(key, module)
    return module
