"""All that is private to wasmtime-py, and nothing else: the C interface of the library that it ships.

Three things need it. To stop one store's calls there is no public way (`_deadline.py`); without these symbols hotswap
does not work at all. To call without looking a function's type up each time, and without a list of values made anew,
there is a public way that takes fifty times as long; `_capi_check.py` tries the private one out before it is used.

A prepared call hands the C function five words that never change. So they are made once, as ctypes passes them on
(`byref`, `from_param`), and the function has no `argtypes` to convert them by. What they point to they keep alive, but
for the store: nobody may call when that is gone.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

import wasmtime
from wasmtime import _ffi as ffi

# -- stopping a call ---------------------------------------------------------------------------------------------

TickCallback: Final = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.POINTER(ffi.wasmtime_context_t),
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.POINTER(ffi.wasmtime_update_deadline_kind_t),
)
"""What wasmtime calls when a store reaches its tick deadline: 0 to go on, or an error, which becomes wasmtime's."""
_NO_FINALIZER: Final = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))


def on_tick(store: wasmtime.Store, callback: Any) -> None:
    """Have `callback`, a `TickCallback` that is kept alive elsewhere, called at the store's deadline."""
    ffi.wasmtime_store_epoch_deadline_callback(store.ptr(), callback, None, _NO_FINALIZER)


def new_error(message: bytes) -> tuple[Any, int]:
    """An error of wasmtime's, and its address. Whoever has it must hand it on or delete it."""
    error = ffi.wasmtime_error_new(message)
    return error, ctypes.addressof(error.contents)


def delete_error(error: Any) -> None:
    ffi.wasmtime_error_delete(error)


_delete_store: Final = ffi.dll.wasmtime_store_delete
"""The C function itself: Ctrl-C could strike where a Python function around it begins, and lose what it was given."""


def delete_store(store: wasmtime.Store) -> None:
    """Close a store for good. May be done again.

    Its own `close` may, when Ctrl-C strikes between its two steps, free it twice.
    """
    with suppress(ValueError):  # it is gone
        _delete_store(store._consume())  # noqa: SLF001


# -- calling the host ---------------------------------------------------------------------------------------------

HostCallback: Final = ctypes.CFUNCTYPE(
    ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
)
"""What wasmtime calls for an import: data of ours (none), the caller, the address of the slots, their number. 0: go on.

The arguments lie in the slots, and the results are left there."""


def new_func(store: wasmtime.Store, type: wasmtime.FuncType, callback: Any) -> wasmtime.Func:  # noqa: A002
    """A function of the store that calls `callback`, a `HostCallback` that is kept alive elsewhere."""
    made = ffi.wasmtime_func_t()
    plain = ctypes.cast(callback, ffi.wasmtime_func_unchecked_callback_t)
    ffi.wasmtime_func_new_unchecked(store._context(), type.ptr(), plain, None, _NO_FINALIZER, ctypes.byref(made))  # noqa: SLF001
    return wasmtime.Func._from_raw(made)  # noqa: SLF001


def stopper(store: wasmtime.Store) -> Callable[[], object]:
    """What moves the store's tick deadline to now. Not to be called when the store is gone."""
    return partial(raw("wasmtime_context_set_epoch_deadline"), context_of(store), word(0))


# -- prepared calls ----------------------------------------------------------------------------------------------

SLOT_BYTES: Final = 16
"""One argument or result. It lies at the start of its slot, in the byte order of the machine."""
NEEDED: Final = (
    "wasmtime_func_call_unchecked",
    "wasmtime_context_set_fuel",
    "wasmtime_memory_data",
    "wasmtime_memory_data_size",
)

Raw = Callable[..., int | None]
"""A C function that takes prepared arguments, and returns an address or a size. None is 0."""


def raw(symbol: str) -> Raw:
    """A function object of our own: wasmtime-py has another, with `argtypes`. `AttributeError` if there is none."""
    function: Any = ffi.dll[symbol]
    function.restype = ctypes.c_void_p
    function.argtypes = None
    return cast(Raw, function)


def word(value: int) -> Any:
    """A number or an address, made ready to be passed."""
    return ctypes.c_void_p.from_param(value)


def context_of(store: wasmtime.Store) -> Any:
    return word(ctypes.addressof(store._context().contents))  # noqa: SLF001


def func_of(func: wasmtime.Func) -> Any:
    return _alone(func._func)  # noqa: SLF001


def memory_of(memory: wasmtime.Memory) -> Any:
    return _alone(memory._memory)  # noqa: SLF001


def _alone(part: Any) -> Any:
    """A copy: what wasmtime-py hands out lies in a larger structure, which it would keep."""
    return ctypes.byref(type(part).from_buffer_copy(part))


def error_from(address: int) -> wasmtime.WasmtimeError:
    """Takes over the error that lies there."""
    pointer = ctypes.cast(address, ctypes.POINTER(ffi.wasmtime_error_t))
    return wasmtime.WasmtimeError._from_ptr(pointer)  # noqa: SLF001


def trap_from(address: int) -> wasmtime.Trap:
    """Takes over the trap that lies there."""
    return wasmtime.Trap._from_ptr(ctypes.cast(address, ctypes.POINTER(ffi.wasm_trap_t)))  # noqa: SLF001


def layout() -> dict[str, tuple[int, int]]:
    """What the above takes for granted: the size that is expected, and the one that is found, in bytes."""
    return {
        "an address": (8, ctypes.sizeof(ctypes.c_void_p)),
        "wasmtime_val_raw_t": (SLOT_BYTES, ctypes.sizeof(ffi.wasmtime_val_raw_t)),
        "wasmtime_func_t": (16, ctypes.sizeof(ffi.wasmtime_func_t)),
        "wasmtime_memory_t": (24, ctypes.sizeof(ffi.wasmtime_memory_t)),
    }


_view_of = ctypes.pythonapi.PyMemoryView_FromMemory
_view_of.restype = ctypes.py_object
_view_of.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int]
_PY_BUF_WRITE: Final = 0x200


def view_of(address: int, size: int) -> memoryview:
    """The bytes that lie there, to read and write. Nothing keeps them there."""
    view: memoryview = _view_of(address, size, _PY_BUF_WRITE)
    return view
