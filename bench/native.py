"""Builds native.c with the C compiler that there is, and calls it on wasmtime-py's own stores and functions."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import wasmtime
from wasmtime import _ffi as ffi

from measuring import HERE, Block

COMPILERS: Final = ("cc", "gcc", "clang")


class Missing(Exception):
    """A contender is not to be had here; the message says why."""


@functools.cache
def library() -> ctypes.CDLL:
    """Raises `Missing`."""
    compiler = next(filter(None, map(shutil.which, [os.environ.get("CC", ""), *COMPILERS])), None)
    if compiler is None:
        raise Missing(f"no C compiler: none of {', '.join(COMPILERS)} is on the PATH, and CC names none")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "native.so"
        command = [compiler, "-O2", "-shared", "-fPIC", "-pthread", "-o", str(target), str(HERE / "native.c")]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise Missing(f"{compiler} cannot build the harness: {done.stderr.strip().splitlines()[-1]}")
        made = ctypes.CDLL(str(target))
    for timed in (made.numeric, made.bytes, made.threads):
        timed.restype = ctypes.c_int64
    made.setup(*(ctypes.cast(getattr(ffi.dll, name), ctypes.c_void_p) for name in WASMTIME))
    return made


WASMTIME: Final = ("wasmtime_func_call_unchecked", "wasmtime_memory_data")


def no_op() -> tuple[Any, tuple[Any, ...], str]:
    """A foreign function of five pointers that does nothing, arguments for it, and what it is."""
    function: Any
    try:
        function, name = library().noop, "a C function that returns 0"
    except Missing:
        function, name = ctypes.CDLL(None).labs, "labs of the C library"
    function.argtypes, function.restype = None, ctypes.c_void_p
    return function, tuple(ctypes.c_void_p.from_param(0) for _ in range(5)), name


class Calls:
    """One instance, called from C. A store that is given an epoch deadline never reaches it."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module, *, ticks: bool = False) -> None:
        self._library = library()
        self.store = wasmtime.Store(engine)
        if ticks:
            self.store.set_epoch_deadline(1 << 60)
        exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        self._items = {name: exports[name] for name in exports}
        self.context = self.store._context()

    def address(self, name: str) -> ctypes.c_void_p:
        item = self._items[name]
        return ctypes.c_void_p(ctypes.addressof(item._memory if isinstance(item, wasmtime.Memory) else item._func))  # type: ignore[union-attr]

    def numeric(self, name: str, *args: int) -> tuple[int, Block]:
        """What it answers, and a block of calls."""
        reply, func = ctypes.c_int32(), self.address(name)
        first, second = (*args, 0, 0)[:2]

        def block(calls: int) -> float:
            took: int = self._library.numeric(
                self.context, func, first, second, ctypes.c_size_t(calls), ctypes.byref(reply)
            )
            assert took >= 0, f"{name} failed in C"
            return took / 1e9

        block(1)
        return reply.value, block

    def bytes(self, name: str, data: bytes) -> tuple[bytes, Block]:
        got, room = ctypes.c_uint32(), ctypes.create_string_buffer(len(data))
        addresses = [self.address(each) for each in ("hotswap_alloc", name, "hotswap_free", "memory")]

        def block(calls: int) -> float:
            took: int = self._library.bytes(
                self.context, *addresses, data, len(data), room, ctypes.c_size_t(calls), ctypes.byref(got)
            )
            assert took >= 0, f"{name} failed in C"
            return took / 1e9

        block(1)
        return room.raw[: got.value], block


def on_threads(instances: Sequence[Calls], name: str, argument: int, calls: int) -> float:
    """Seconds that as many threads of the system take for so many calls each, on an instance each."""
    count = len(instances)
    contexts = (ctypes.c_void_p * count)(*(ctypes.cast(each.context, ctypes.c_void_p).value for each in instances))
    funcs = (ctypes.c_void_p * count)(*(each.address(name).value for each in instances))
    took: int = library().threads(contexts, funcs, ctypes.c_size_t(count), argument, ctypes.c_size_t(calls))
    assert took >= 0, f"{name} failed in C"
    return took / 1e9
