"""Whether prepared calls work here, tried out before the first is made.

wasmtime-py promises nothing of what `_capi.py` uses. So it is looked at first (are the symbols there, do the sizes
fit), and then driven on a module of our own: an answer, a trap, an error, the memory. If anything is not as expected,
calls take the public way, which is slower and otherwise the same.
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from importlib.metadata import version
from typing import Final

import wasmtime

from hotswap._errors import CallTrapped
from hotswap._manifest import ResourceLimits
from hotswap._runtime import _capi
from hotswap._runtime._census import Place
from hotswap._runtime._deadline import StopFlag
from hotswap._runtime._engine import engine
from hotswap._runtime._limits import CallLimits
from hotswap._runtime._linkage import Export, PublicLinkage
from hotswap._runtime._prepared import PreparedLinkage
from hotswap._runtime._ticker import TICKER
from hotswap._signature import Signature

SWITCH: Final = "HOTSWAP_FASTCALL"
"""An environment variable. `0`: take the public way, and do not ask."""

_log = logging.getLogger("hotswap")
_PAGE: Final = 65_536
_TRIAL: Final = """(module
  (memory (export "memory") 1)
  (func (export "mix") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
    (f64.mul (local.get 3) (f64.const 2)) (f32.neg (local.get 2))
    (i64.sub (local.get 1) (i64.const 1)) (i32.add (local.get 0) (i32.const 1)))
  (func (export "fall") unreachable))"""
_MIX: Final = Signature(("i32", "i64", "f32", "f64"), ("f64", "f32", "i64", "i32"))
_ARGS: Final = (-(2**31), 2**63 - 1, 1.5, 1e300)
_ANSWER: Final = (2e300, -1.5, 2**63 - 2, 1 - 2**31)


Ways = type[PreparedLinkage] | type[PublicLinkage]


class Unfit(Exception):
    """What is not as prepared calls need it."""


class Choice:
    """The way that calls take. Made once in a process, by whoever comes first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._way: Ways | None = None

    def way(self) -> Ways:
        """Raises `HotswapError` if no call can be made at all."""
        if self._way is None:
            with self._lock:
                if self._way is None:
                    self._way = _choose()
        return self._way


UNFIT: Final = (
    Unfit,
    CallTrapped,
    AttributeError,
    ValueError,
    TypeError,
    wasmtime.WasmtimeError,
    ctypes.ArgumentError,
)
"""What a trial raises, or wasmtime-py or ctypes in it, if something is not as it is taken for granted."""


def _choose() -> Ways:
    if os.environ.get(SWITCH) == "0":
        return PublicLinkage
    try:
        examine()
    except UNFIT as error:
        _log.warning(
            "prepared calls do not work with wasmtime %s: %s; calls take the public way, which is slower. "
            "Install a version that hotswap names, or set %s=0 to go without this warning",
            version("wasmtime"),
            error,
            SWITCH,
        )
        return PublicLinkage
    return PreparedLinkage


def examine() -> None:
    """Raises `Unfit`, or what Python raises if something is not there."""
    for symbol in _capi.NEEDED:
        _capi.raw(symbol)
    for what, (expected, found) in _capi.layout().items():
        _expect(f"the size of {what}", expected, found)
    store = wasmtime.Store(engine(metered=False))
    limits = CallLimits(store, ResourceLimits(fuel_limit=0), StopFlag())
    place = Place()
    try:
        TICKER.enter(place)
        limits.begin()
        exports = wasmtime.Instance(store, wasmtime.Module(store.engine, bytes(wasmtime.wat2wasm(_TRIAL))), []).exports(
            store
        )
        functions = {name: each for name, each in exports.items() if isinstance(each, wasmtime.Func)}
        memory = exports["memory"]
        if not isinstance(memory, wasmtime.Memory):
            raise Unfit("the memory of a trial module was not found")
        _try_out(limits, PreparedLinkage(limits, functions, memory), memory)
    finally:
        _capi.delete_store(store)
        limits.close()
        TICKER.leave(place)


def _try_out(limits: CallLimits, linkage: PreparedLinkage, memory: wasmtime.Memory) -> None:
    mix = linkage.entry(Export.of("mix", _MIX))
    _expect("an answer", _ANSWER, mix(_ARGS))
    try:
        linkage.entry(Export.of("fall", Signature((), ())))(())
    except CallTrapped as error:
        trap = error.__cause__
        _expect("a trap", wasmtime.TrapCode.UNREACHABLE, trap.trap_code if isinstance(trap, wasmtime.Trap) else trap)
    else:
        raise Unfit("a trap went unnoticed")
    refusal = _capi.raw("wasmtime_context_set_fuel")(_capi.context_of(limits.store), _capi.word(1))
    if refusal is None:
        raise Unfit("an error went unnoticed")
    _expect("an error", True, "fuel" in str(_capi.error_from(refusal)))
    _expect("the size of a memory", (True, False), (linkage.holds(1, _PAGE - 1), linkage.holds(1, _PAGE)))
    linkage.write(_PAGE - 3, b"abc")
    _expect("a memory", b"abc", bytes(memory.read(limits.store, _PAGE - 3, _PAGE)))
    _expect("a memory", b"abc", linkage.read(_PAGE - 3, 3))


def _expect(what: str, expected: object, found: object) -> None:
    if expected != found:
        raise Unfit(f"{what}: expected {expected}, found {found}")


CHOICE: Final = Choice()
