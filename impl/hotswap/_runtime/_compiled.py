"""Compiled modules: one in a process for the same bytes, however many plugins and versions are made of them.

A module is immutable and may be shared by threads and stores. It is kept as long as somebody uses it. Two threads that
come with new bytes at once both compile, and use what came first; nobody waits for another's compilation. With a
`CompileCache`, what is new to this process may be known to the folder. What is new to both is compiled in a child
process, unless this one was told to do it itself.
"""

from __future__ import annotations

import hashlib
import os
import platform
import threading
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from typing import Final
from weakref import WeakValueDictionary

import wasmtime

from hotswap._cache import CompileCache
from hotswap._errors import ModuleRejected
from hotswap._runtime._admit import Admitted, compile_module
from hotswap._runtime._child import ChildCompiler
from hotswap._runtime._child_errors import SWITCH
from hotswap._runtime._engine import engine, settings


class InProcess:
    """For `use_compiler`: this process compiles by itself, at once, and nothing can stop it. For modules you trust."""


_lock = threading.RLock()  # a module's finalizer may run in here
_modules: WeakValueDictionary[tuple[bool, str], wasmtime.Module] = WeakValueDictionary()
_cache: CompileCache | None = None
_compiler: ChildCompiler | InProcess | None = None
_by_default: Final = ChildCompiler()


def use_compile_cache(cache: CompileCache | None) -> None:
    """From now on, look for compiled modules in this cache, for all plugins of the process; None: in none."""
    global _cache
    _cache = cache


def use_compiler(compiler: ChildCompiler | InProcess | None) -> None:
    """From now on, compile so, for all plugins of the process; None: as the environment says, in a child usually.

    Raises `TypeError` for anything else.
    """
    global _compiler
    if not isinstance(compiler, ChildCompiler | InProcess | None):
        raise TypeError(f"use_compiler: expected a ChildCompiler(), an InProcess() or None, found {compiler!r}")
    _compiler = compiler


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
        return _anew(admitted, metered)[0]
    name = _name(admitted.digest, metered)
    code = kept.get(name)
    if code is not None:
        try:
            return wasmtime.Module.deserialize(engine(metered), code)
        except wasmtime.WasmtimeError:
            kept.refused()
    module, code = _anew(admitted, metered)
    with suppress(wasmtime.WasmtimeError):  # what cannot be kept can be used all the same
        kept.put(name, code or bytes(module.serialize()))
    return module


def _anew(admitted: Admitted, metered: bool) -> tuple[wasmtime.Module, bytes | None]:
    """The module; and its serialized form, if it has come that way."""
    compiler = _compiler or (InProcess() if os.environ.get(SWITCH) == "inprocess" else _by_default)
    if isinstance(compiler, InProcess):
        return compile_module(admitted, engine(metered)), None
    code = compiler.compile(admitted, settings(metered))
    try:
        return wasmtime.Module.deserialize(engine(metered), code), code
    except wasmtime.WasmtimeError as error:
        raise ModuleRejected(f"{admitted.origin}: what a child compiled cannot be loaded here: {error}") from error


def _name(digest: str, metered: bool) -> str:
    """Of an entry: whatever the compiled code depends on is in it."""
    return hashlib.sha256(repr((*_machine(), settings(metered), digest)).encode()).hexdigest()


@cache
def _machine() -> tuple[str, str, str]:
    return version("wasmtime"), platform.system(), platform.machine()
