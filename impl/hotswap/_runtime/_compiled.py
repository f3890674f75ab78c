"""Compiled modules: one in a process for the same bytes, however many plugins and versions are made of them.

A module is immutable and may be shared by threads and stores. It is kept as long as somebody uses it. Two threads that
come with new bytes at once both compile, and use what came first; nobody waits for another's compilation.
"""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

import wasmtime

from hotswap._runtime._admit import Admitted, compile_module
from hotswap._runtime._engine import engine

_lock = threading.RLock()  # a module's finalizer may run in here
_modules: WeakValueDictionary[tuple[bool, str], wasmtime.Module] = WeakValueDictionary()


def compiled(admitted: Admitted, *, metered: bool) -> wasmtime.Module:
    """The module of these bytes. Raises `ModuleRejected`."""
    key = metered, admitted.digest
    with _lock:
        module = _modules.get(key)
    if module is None:
        module = compile_module(admitted, engine(metered))
        with _lock:
            module = _modules.setdefault(key, module)
    return module
