"""One wasm instance: a store, what it exports, and the two ways to call it.

A store and everything made in it belong to this one object, so that nothing of it can meet another store, which
would abort the process. One thread at a time is inside; the lease sees to that (S3). A call that trapped, was
stopped, or was left by any exception after it entered the wasm leaves the instance `broken`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import wasmtime

from hotswap._errors import (
    BadArgument,
    BadReply,
    CallInterrupted,
    CallTrapped,
    DeadlineExceeded,
    OutOfFuel,
    OutOfMemory,
    UnknownFunction,
)
from hotswap._ports import Number, Value
from hotswap._runtime._census import CENSUS
from hotswap._runtime._deadline import Deadline, StopFlag, StopReason, delete_store
from hotswap._runtime._ticker import TICKER
from hotswap._runtime._values import Converter, convert_arguments, converters_for
from hotswap._signature import Signature

if TYPE_CHECKING:
    from hotswap._manifest import ResourceLimits

ALLOC, FREE, MEMORY = "hotswap_alloc", "hotswap_free", "memory"
_MAX_TABLES, _MAX_TABLE_ELEMENTS = 4, 100_000
_U32, _U64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF
_MAX_BYTES = 0x7FFF_FFFF
_BYTES = Signature(("i32", "i32"), ("i64",))


@dataclass(frozen=True, slots=True)
class Export:
    """What is known of an exported function before any call."""

    signature: Signature
    converters: tuple[Converter, ...] | None

    @classmethod
    def of(cls, signature: Signature) -> Export:
        return cls(signature, converters_for(signature))


class WasmInstance:
    """Implements the port `Instance`."""

    def __init__(
        self,
        module: wasmtime.Module,
        engine: wasmtime.Engine,
        table: dict[str, Export],
        limits: ResourceLimits,
        interrupted: StopFlag,
    ) -> None:
        self.broken = False
        self._table = table
        self._timeout_s = limits.timeout_ms / 1000
        self._fuel = limits.fuel_limit
        self._exits = ExitStack()
        try:
            CENSUS.enter()
            self._exits.callback(CENSUS.leave)
            TICKER.enter()
            self._exits.callback(TICKER.leave)
            self._store = wasmtime.Store(engine)
            self._deadline = Deadline(self._store, interrupted)
            self._exits.callback(self._deadline.close)
            self._exits.callback(delete_store, self._store)
            self._store.set_limits(
                memory_size=_bytes_of(limits.memory_limit_mb),
                table_elements=_MAX_TABLE_ELEMENTS,
                instances=1,
                tables=_MAX_TABLES,
                memories=1,
            )
            exports = self._start(module)
            self._functions = {name: item for name, item in exports.items() if isinstance(item, wasmtime.Func)}
            memory = exports.get(MEMORY)
            self._memory = memory if isinstance(memory, wasmtime.Memory) else None
        except BaseException:
            self.close()
            raise

    def call(self, func: str, args: tuple[Number, ...]) -> Value:
        """Call a numeric export. Raises `UnknownFunction`, `BadArgument`, `CallTrapped` and its kinds."""
        export = self._export(func)
        if export.converters is None:
            raise BadArgument(f"{func}{export.signature}: expected a function of i32, i64, f32 and f64 only")
        converted = convert_arguments(func, export.signature, export.converters, args)
        self._arm()
        self.broken = True  # until the call is known to have come back
        try:
            result = self._functions[func](self._store, *converted)
        except BaseException as error:  # noqa: BLE001  raised again, typed
            self._fail(func, error)
        self._raise_pending()
        self.broken = False
        return tuple(result) if isinstance(result, list) else result

    def call_bytes(self, func: str, data: bytes) -> bytes:
        """Call a bytes export (docs/plugin-authors.md). Raises as `call` does, and `BadReply`."""
        signature = self._export(func).signature
        if signature != _BYTES:
            raise BadArgument(f"{func}{signature}: expected the signature {_BYTES} of a bytes call")
        memory = self._memory
        if memory is None or not {ALLOC, FREE} <= self._functions.keys():
            raise BadArgument(f"{func}: a bytes call needs the exports {MEMORY}, {ALLOC}, {FREE}; see the plugin guide")
        if len(data) > _MAX_BYTES:
            raise BadArgument(f"{func}: expected at most {_MAX_BYTES} bytes, found {len(data)}")
        self._arm()
        self.broken = True
        try:
            result = self._exchange(memory, func, data)
        except BaseException as error:  # noqa: BLE001  raised again, typed
            self._fail(func, error)
        self._raise_pending()
        self.broken = False
        return result

    def run_hook(self, func: str) -> int:
        """Call a `() -> i32` export of ours, the init or the probe."""
        answer = self.call(func, ())
        assert isinstance(answer, int)  # noqa: S101  the module was checked for it
        return answer

    def close(self) -> None:
        self._exits.pop_all().close()

    def __del__(self) -> None:
        if hasattr(self, "_exits"):
            self.close()

    def _export(self, func: str) -> Export:
        export = self._table.get(func)
        if export is None:
            there = ", ".join(f"{name}{item.signature}" for name, item in sorted(self._table.items())) or "none"
            raise UnknownFunction(f"the plugin exports no function {func!r}; it exports: {there}")
        return export

    def _start(self, module: wasmtime.Module) -> Mapping[str, object]:
        self._arm()
        try:
            exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        except BaseException as error:  # noqa: BLE001  raised again, typed
            self._fail("start", error)
        self._raise_pending()
        return exports

    def _exchange(self, memory: wasmtime.Memory, func: str, data: bytes) -> bytes:
        """Copy in, call, copy out, free both. Nothing the plugin returns is trusted."""
        pointer = self._step(ALLOC, len(data)) & _U32
        if pointer == 0 and data:
            raise OutOfMemory(f"{func}: {ALLOC} could not give {len(data)} bytes (resources.memory_limit_mb)")
        self._check_range(memory, ALLOC, pointer, len(data))
        if data:
            memory.write(self._store, data, pointer)
        packed = self._step(func, _i32(pointer), len(data)) & _U64
        reply, size = packed >> 32, packed & _U32
        self._check_range(memory, func, reply, size)
        result = bytes(memory.read(self._store, reply, reply + size))
        self._step(FREE, _i32(pointer), len(data))
        self._step(FREE, _i32(reply), _i32(size))
        return result

    def _step(self, func: str, *args: int) -> int:
        return int(self._functions[func](self._store, *args) or 0)

    def _check_range(self, memory: wasmtime.Memory, func: str, start: int, size: int) -> None:
        limit = memory.data_len(self._store)
        if start + size > limit:
            raise _bad_reply(func, start, size, limit)

    def _arm(self) -> None:
        """A call begins: all its steps share one deadline and one load of fuel."""
        self._deadline.arm(self._store, self._timeout_s)
        if self._fuel:
            self._store.set_fuel(self._fuel)

    def _fail(self, func: str, error: BaseException) -> NoReturn:
        """Raise what ended a call, as a typed error; the instance is not used again."""
        self._raise_pending()
        self.broken = not isinstance(error, OutOfMemory)
        if not isinstance(error, wasmtime.WasmtimeError | wasmtime.Trap):
            raise error
        raise self._typed(func, error) from error

    def _raise_pending(self) -> None:
        """A Ctrl-C that struck inside the wasm is the caller's, now that the call is out of it.

        The instance stays broken: from then on its deadline stops every call.
        """
        pending = self._deadline.exception
        if pending is not None:
            self._deadline.exception = None
            raise pending

    def _typed(self, func: str, error: wasmtime.WasmtimeError | wasmtime.Trap) -> CallTrapped:
        reason = self._deadline.reason
        if reason is StopReason.INTERRUPTED:
            return CallInterrupted(
                f"{func}: stopped, since its version is retired and the drain timeout passed; {error}"
            )
        if reason is StopReason.DEADLINE:
            return DeadlineExceeded(
                f"{func}: ran longer than {self._timeout_s * 1000:.0f} ms (resources.timeout_ms); {error}"
            )
        if isinstance(error, wasmtime.Trap) and error.trap_code is wasmtime.TrapCode.OUT_OF_FUEL:
            return OutOfFuel(f"{func}: used more than {self._fuel} units of fuel (resources.fuel_limit); {error}")
        return CallTrapped(f"{func}: {error}")


def _bytes_of(megabytes: int) -> int:
    return megabytes << 20


def _bad_reply(func: str, start: int, size: int, limit: int) -> BadReply:
    return BadReply(f"{func} returned {size} bytes at {start}, but the memory ends at {limit}; the plugin is wrong")


def _i32(pointer: int) -> int:
    """An unsigned 32-bit number as the i32 that wasmtime-py takes."""
    return pointer - (1 << 32) if pointer > _MAX_BYTES else pointer
