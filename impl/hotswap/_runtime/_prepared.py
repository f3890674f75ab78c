"""Calls that were made ready beforehand: what a call costs is little more than a call through ctypes.

Each kind of signature gets a function of its own, written as text once and compiled, as `dataclasses` does: it knows
how many arguments there are, stores each into its slot of the instance's array, which checks type and range, makes the
call, and reads the results from the same slots. Whatever is out of the ordinary leaves it for a slower place: a wrong
argument for the converters of `_values.py`, which say what is wrong; an ended beat for `Deadline.arm`; an error or a
trap for `CallLimits`, which types and frees it.

A prepared call must not outlive its store. So only the instance's entries and its linkage hold any, and
`WasmInstance.close` drops both before the store goes.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping
from functools import cache
from struct import calcsize
from typing import Final, cast

import wasmtime

from hotswap._ports import Data
from hotswap._runtime import _capi
from hotswap._runtime._deadline import HEADROOM, demand_headroom
from hotswap._runtime._limits import CallLimits
from hotswap._runtime._linkage import Entry, Export
from hotswap._runtime._ticker import TICKER
from hotswap._runtime._values import CONVERTERS, FORMATS
from hotswap._signature import Signature

_CHECKED: Final = {"f32": "f32_from({0})", "f64": "{0} if type({0}) is float else f64_from({0})"}
"""How a value is checked that its slot would take though the converter does not. A slot of an int needs no help."""

_WHOLE_CALL: Final = """
def call(args):
    try:
        {arguments} = args
        {stores}
        if {bools}:
            raise TypeError
    except (TypeError, ValueError):
        {arguments} = convert(args)
        {stores}
    if deadline.beat is not TICKER.beat:
        arm(store)
    {refuel}
    {headroom}
    error = run(*handles)
    if error is not None or trap or deadline.exception is not None:
        fail(name, error)
    return {results}
"""
_STEP: Final = """
def call(args):
    {arguments} = args
    {stores}
    error = run(*handles)
    if error is not None or trap:
        raise ended(error)
    return {results}
"""
_REFUEL: Final = "if (error := set_fuel(*fuel)) is not None: fail(name, error)"
_HEADROOM: Final = "demand_headroom()" if sys.version_info >= (3, 12) else "isinstance(None, HEADROOM)"
_CELLS: Final = (
    *("arm", "convert", "deadline", "ended", "fail", "fuel", "handles", "name", "run", "set_fuel", "store", "trap"),
    *FORMATS,
)
"""What a prepared call knows of its instance."""
_GLOBALS: Final = {
    "TICKER": TICKER,
    "HEADROOM": HEADROOM,
    "demand_headroom": demand_headroom,
    "f32_from": CONVERTERS["f32"],
    "f64_from": CONVERTERS["f64"],
}


@cache
def _maker(signature: Signature, template: str, metered: bool) -> Callable[..., Entry]:
    """Compiles the function for calls of this kind; what it returns binds one to an instance."""
    names = [f"a{position}" for position in range(len(signature.params))]
    integers = [name for name, kind in zip(names, signature.params, strict=True) if kind not in _CHECKED]
    stores = [
        f"{kind}[{_index(kind, position)}] = {_CHECKED.get(kind, '{0}').format(name)}"
        for position, (kind, name) in enumerate(zip(signature.params, names, strict=True))
    ]
    results = [f"{kind}[{_index(kind, position)}]" for position, kind in enumerate(signature.results)]
    text = template.format(
        arguments=f"({', '.join(names)}{',' if names else ''})",
        stores="; ".join(stores) or "pass",
        bools=" or ".join(f"{name} is True or {name} is False" for name in integers) or "False",
        refuel=_REFUEL if metered else "pass",
        headroom=_HEADROOM,
        results=results[0] if len(results) == 1 else f"({', '.join(results)})" if results else "None",
    )
    body = text.replace("\n", "\n    ")
    made: dict[str, Callable[..., Entry]] = {}
    exec(f"def make({', '.join(_CELLS)}):{body}\n    return call", dict(_GLOBALS), made)  # noqa: S102  our own text
    return made["make"]


def _index(kind: str, position: int) -> int:
    """Of a slot, in the view of the array that has elements of this kind."""
    return position * _capi.SLOT_BYTES // calcsize(FORMATS[kind])


@cache
def _functions() -> tuple[_capi.Raw, ...]:
    return tuple(_capi.raw(symbol) for symbol in _capi.NEEDED)


class PreparedLinkage:
    """Implements `Linkage` on the C interface."""

    __slots__ = (
        *("_base", "_context", "_data", "_data_size", "_fuel", "_functions", "_limits"),
        *("_run", "_set_fuel", "_size", "_steps", "_view", "_where"),
    )

    def __init__(
        self, limits: CallLimits, functions: Mapping[str, wasmtime.Func], memory: wasmtime.Memory | None
    ) -> None:
        self._limits = limits
        self._functions = {name: _capi.func_of(function) for name, function in functions.items()}
        self._context = _capi.context_of(limits.store)
        self._run, self._set_fuel, self._data, self._data_size = _functions()
        self._fuel = self._context, _capi.word(limits.fuel)
        self._steps: dict[str, Entry] = {}
        self._base, self._size, self._view = 0, 0, memoryview(b"")
        self._where = None if memory is None else (self._context, _capi.memory_of(memory))

    def entry(self, export: Export) -> Entry:
        return self._bind(export, _WHOLE_CALL)

    def begin(self) -> None:
        limits = self._limits
        limits.make_stoppable()
        if limits.fuel and (error := self._set_fuel(*self._fuel)) is not None:
            limits.fail_prepared("begin", error)

    def step(self, export: Export, *args: int) -> int:
        call = self._steps.get(export.name)
        if call is None:
            call = self._steps[export.name] = self._bind(export, _STEP)
        return cast(int, call(args))

    def holds(self, start: int, size: int) -> bool:
        """A memory never shrinks, so what it held it holds."""
        return self._where is not None and (start + size <= self._size or start + size <= self.memory_size())

    def memory_size(self) -> int:
        if self._where is not None:
            self._base, self._size = 0, self._data_size(*self._where) or 0
        return self._size

    def write(self, start: int, data: Data) -> None:
        self._seen()[start : start + len(data)] = data

    def read(self, start: int, size: int) -> bytes:
        return bytes(self._seen()[start : start + size]) if size else b""

    def _seen(self) -> memoryview:
        """The memory as it lies now: when it grew, it may have moved."""
        assert self._where is not None  # noqa: S101  it holds what is reached for
        base = self._data(*self._where) or 0
        if base != self._base:
            self._base, self._view = base, _capi.view_of(base, self._size)
        return self._view

    def _bind(self, export: Export, template: str) -> Entry:
        limits, signature = self._limits, export.signature
        slots = max(len(signature.params), len(signature.results), 1)
        array = (ctypes.c_byte * (slots * _capi.SLOT_BYTES))()
        view = memoryview(array).cast("B")
        return _maker(signature, template, limits.fuel > 0)(
            arm=limits.deadline.arm,
            convert=export.convert,
            deadline=limits.deadline,
            ended=limits.ended,
            fail=limits.fail_prepared,
            fuel=self._fuel,
            handles=(
                self._context,
                self._functions[export.name],
                ctypes.byref(array),
                _capi.word(slots),
                ctypes.byref(limits.trap),
            ),
            name=export.name,
            run=self._run,
            set_fuel=self._set_fuel,
            store=limits.store,
            trap=limits.trap,
            **{kind: view.cast(form) for kind, form in FORMATS.items()},
        )
