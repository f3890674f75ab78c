"""How an instance's functions and memory are reached: what `_instance.py` needs, and the public way to it.

There are two ways. `PublicLinkage` uses what wasmtime-py documents. `PreparedLinkage` (`_prepared.py`) does the same
through the C interface, many times faster, and is used if `_capi_check.py` finds it to work here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import wasmtime

from hotswap._ports import Data, Number, Value
from hotswap._runtime._limits import CallLimits
from hotswap._runtime._values import Converter, convert_arguments, converters_for
from hotswap._signature import Signature

Entry = Callable[[tuple[Number, ...]], Value]
"""One function of one instance, ready to be called."""


@dataclass(frozen=True, slots=True)
class Export:
    """What is known of an exported function before any call."""

    name: str
    signature: Signature
    converters: tuple[Converter, ...] | None
    """None: it has values that a numeric call cannot express, and gets no entry."""

    @classmethod
    def of(cls, name: str, signature: Signature) -> Export:
        return cls(name, signature, converters_for(signature))

    def convert(self, args: tuple[object, ...]) -> list[Number]:
        """The arguments as wasm takes them. Raises `BadArgument`."""
        return convert_arguments(self.name, self.signature, self.converters or (), args)


class Linkage(Protocol):
    """The functions and the memory of one instance. All of it is over when the store is closed."""

    def entry(self, export: Export) -> Entry:
        """A whole numeric call: checks the arguments, begins, calls, raises what it ended with."""

    def begin(self) -> None:
        """A call of several steps begins. Raises as `CallLimits.begin`."""

    def step(self, export: Export, *args: int) -> int:
        """One step of a call that has begun. The arguments fit; wasmtime's errors are raised as they are."""

    def holds(self, start: int, size: int) -> bool:
        """Whether so many bytes from `start` on lie in the memory."""

    def memory_size(self) -> int:
        """In bytes; 0 without a memory."""

    def write(self, start: int, data: Data) -> None:
        """To where the memory holds it."""

    def read(self, start: int, size: int) -> bytes: ...


class PublicLinkage:
    """Implements `Linkage` with what wasmtime-py documents."""

    def __init__(
        self, limits: CallLimits, functions: Mapping[str, wasmtime.Func], memory: wasmtime.Memory | None
    ) -> None:
        self._limits, self._functions, self._memory = limits, functions, memory

    def entry(self, export: Export) -> Entry:
        limits, name, function = self._limits, export.name, self._functions[export.name]

        def call(args: tuple[Number, ...]) -> Value:
            converted = export.convert(args)
            limits.begin()
            limits.spoiled = True  # until the call is known to have come back
            try:
                result = function(limits.store, *converted)
            except BaseException as error:  # noqa: BLE001  raised again, typed
                limits.fail(name, error)
            limits.raise_pending()
            limits.spoiled = False
            return tuple(result) if isinstance(result, list) else result

        return call

    def begin(self) -> None:
        self._limits.begin()

    def step(self, export: Export, *args: int) -> int:
        return int(self._functions[export.name](self._limits.store, *args) or 0)

    def holds(self, start: int, size: int) -> bool:
        return self._memory is not None and start + size <= self.memory_size()

    def memory_size(self) -> int:
        return 0 if self._memory is None else self._memory.data_len(self._limits.store)

    def write(self, start: int, data: Data) -> None:
        assert self._memory is not None  # noqa: S101  it holds what is written
        self._memory.write(self._limits.store, bytes(data), start)

    def read(self, start: int, size: int) -> bytes:
        assert self._memory is not None  # noqa: S101  it holds what is read
        return bytes(self._memory.read(self._limits.store, start, start + size))
