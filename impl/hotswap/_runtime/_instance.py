"""One wasm instance: a store, what it exports, and the two ways to call it.

A store and everything made in it belong to this one object, so that nothing of it can meet another store, which
would abort the process. One thread at a time is inside; the lease sees to that (S3). A call that trapped, was
stopped, or was left by any exception after it entered the wasm leaves the instance `broken`.
"""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import wasmtime

from hotswap._errors import BadArgument, BadReply, OutOfMemory, UnknownFunction
from hotswap._frames import demand_frames
from hotswap._host import NO_IMPORTS, Imports
from hotswap._ports import Data, Number, Value
from hotswap._runtime._capi import delete_store
from hotswap._runtime._capi_check import CHOICE
from hotswap._runtime._census import CENSUS, Census, Place
from hotswap._runtime._deadline import StopFlag
from hotswap._runtime._engine import engine
from hotswap._runtime._host_calls import HostCall, Link, close_all
from hotswap._runtime._limits import CallLimits
from hotswap._runtime._linkage import Entry, Export, Linkage
from hotswap._runtime._ticker import TICKER
from hotswap._signature import Signature

if TYPE_CHECKING:
    from hotswap._manifest import ResourceLimits

ALLOC, FREE, MEMORY = "hotswap_alloc", "hotswap_free", "memory"
_MAX_TABLES, _MAX_TABLE_ELEMENTS = 4, 100_000
_U32, _U64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF
_I32_MAX = 0x7FFF_FFFF
_MAX_BYTES = _I32_MAX
_BYTES = Signature(("i32", "i32"), ("i64",))


class _Entries(dict[str, Entry]):
    """The entries of one instance, each made when it is first called. Without a linkage it is closed."""

    __slots__ = ("_table", "linkage")

    def __init__(self, table: Mapping[str, Export]) -> None:
        self._table = table
        self.linkage: Linkage | None = None

    def close(self) -> None:
        """Nothing is left that could reach the store. Works while the interpreter goes down, too."""
        self.linkage = None
        self.clear()

    def __missing__(self, func: str) -> Entry:
        export = _known(self._table, func)
        if export.converters is None:
            raise BadArgument(f"{func}{export.signature}: expected a function of i32, i64, f32 and f64 only")
        entry = self[func] = _open(self.linkage).entry(export)
        return entry


class WasmInstance:
    """Implements the port `Instance`."""

    def __init__(
        self,
        module: wasmtime.Module,
        table: dict[str, Export],
        limits: ResourceLimits,
        interrupted: StopFlag,
        imports: Imports = NO_IMPORTS,
        links: tuple[Link, ...] = (),
    ) -> None:
        self._table, self._imports = table, imports
        self._entries = _Entries(table)
        self._hosts: list[HostCall] = []
        self._exits: list[Callable[[], object]] = []
        """What undoes each step, the last one first; each may be done again, or before its step was taken."""
        try:
            place = Place()
            self._exits.append(partial(_leave, place, CENSUS))
            CENSUS.enter(place)
            TICKER.enter(place)
            way = CHOICE.way()
            store = wasmtime.Store(engine(metered=limits.fuel_limit > 0))
            self._limits = CallLimits(store, limits, interrupted)
            self._exits.append(self._limits.close)
            if links:
                self._exits.append(partial(close_all, self._hosts))
            self._exits.append(partial(delete_store, store))
            store.set_limits(
                memory_size=_bytes_of(limits.memory_limit_mb),
                table_elements=_MAX_TABLE_ELEMENTS,
                instances=1,
                tables=_MAX_TABLES,
                memories=1,
            )
            self._hosts += [HostCall(each, imports, store, self._limits.deadline) for each in links]
            exports = self._start(module)
            functions = {name: item for name, item in exports.items() if isinstance(item, wasmtime.Func)}
            memory = exports.get(MEMORY)
            self._entries.linkage = way(
                self._limits, functions, memory if isinstance(memory, wasmtime.Memory) else None
            )
        except BaseException:
            self.close()
            raise

    @property
    def broken(self) -> bool:
        return self._limits.broken

    def call(self, func: str, args: tuple[Number, ...]) -> Value:
        """Call a numeric export. Raises `UnknownFunction`, `BadArgument`, `CallTrapped` and its kinds."""
        return self._entries[func](args)

    def call_bytes(self, func: str, data: Data) -> bytes:
        """Call a bytes export (docs/plugin-authors.md). Raises as `call` does, and `BadReply`."""
        export = _known(self._table, func)
        if export.signature != _BYTES:
            raise BadArgument(f"{func}{export.signature}: expected the signature {_BYTES} of a bytes call")
        linkage, limits = _open(self._entries.linkage), self._limits
        if not (linkage.holds(0, 0) and {ALLOC, FREE} <= self._table.keys()):
            raise BadArgument(f"{func}: a bytes call needs the exports {MEMORY}, {ALLOC}, {FREE}; see the plugin guide")
        data = _flat(data)
        if len(data) > _MAX_BYTES:
            raise BadArgument(f"{func}: expected at most {_MAX_BYTES} bytes, found {len(data)}")
        linkage.begin()
        limits.spoiled = True  # until the call is known to have come back
        try:
            result = self._exchange(linkage, export, data)
        except BaseException as error:  # noqa: BLE001  raised again, typed
            limits.fail(func, error)
        limits.raise_pending()
        limits.spoiled = False
        return result

    def run_hook(self, func: str) -> int:
        """Call a `() -> i32` export of ours, the init or the probe."""
        answer = self.call(func, ())
        assert isinstance(answer, int)  # noqa: S101  the module was checked for it
        return answer

    def close(self) -> None:
        """Each step is listed until it is done. One that an exception cuts short, Ctrl-C say, is done once more."""
        demand_frames()
        self._entries.close()
        try:
            while self._exits:
                self._exits[-1]()
                self._exits.pop()
        except BaseException:
            try:
                if self._exits:
                    self._exits.pop()()
            finally:
                self.close()  # the other steps
            raise

    def __del__(self) -> None:
        if hasattr(self, "_exits"):
            try:
                self.close()
            except RecursionError:  # a thread of its own has room
                start_new_thread(WasmInstance.close, (self,))

    def _start(self, module: wasmtime.Module) -> Mapping[str, object]:
        limits = self._limits
        limits.begin()
        try:
            exports = wasmtime.Instance(limits.store, module, [each.func for each in self._hosts]).exports(limits.store)
        except BaseException as error:  # noqa: BLE001  raised again, typed
            limits.fail("start", error)
        limits.raise_pending()
        return exports

    def _exchange(self, linkage: Linkage, export: Export, data: bytes | memoryview) -> bytes:
        """Copy in, call, copy out, free both. Nothing the plugin returns is trusted."""
        alloc, free, size = self._table[ALLOC], self._table[FREE], len(data)
        pointer = linkage.step(alloc, size) & _U32
        if pointer == 0 and data:
            raise OutOfMemory(f"{export.name}: {ALLOC} could not give {size} bytes (resources.memory_limit_mb)")
        if not linkage.holds(pointer, size):
            raise _bad_reply(ALLOC, pointer, size, linkage.memory_size())
        if data:
            linkage.write(pointer, data)
        packed = linkage.step(export, _i32(pointer), size) & _U64
        reply, reply_size = packed >> 32, packed & _U32
        if not linkage.holds(reply, reply_size):
            raise _bad_reply(export.name, reply, reply_size, linkage.memory_size())
        result = linkage.read(reply, reply_size)
        linkage.step(free, _i32(pointer), size)
        linkage.step(free, _i32(reply), _i32(reply_size))
        return result


class HostedInstance(WasmInstance):
    """One that may call the host. Whoever is in such a function of the plugin's may not call it again."""

    def call(self, func: str, args: tuple[Number, ...]) -> Value:
        self._imports.refuse_reentry()
        return super().call(func, args)

    def call_bytes(self, func: str, data: Data) -> bytes:
        self._imports.refuse_reentry()
        return super().call_bytes(func, data)


def _leave(place: Place, census: Census) -> None:
    TICKER.leave(place)
    census.leave(place)


def _known(table: Mapping[str, Export], func: str) -> Export:
    export = table.get(func)
    if export is None:
        there = ", ".join(f"{name}{item.signature}" for name, item in sorted(table.items())) or "none"
        raise UnknownFunction(f"the plugin exports no function {func!r}; it exports: {there}")
    return export


def _open(linkage: Linkage | None) -> Linkage:
    if linkage is None:
        raise RuntimeError("a closed instance was called; expected its version to be drained before")
    return linkage


def _flat(data: Data) -> bytes | memoryview:
    """The bytes one after another, without a copy where they lie so already."""
    if isinstance(data, bytes):
        return data
    view = memoryview(data)
    return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()


def _bytes_of(megabytes: int) -> int:
    return megabytes << 20


def _bad_reply(func: str, start: int, size: int, limit: int) -> BadReply:
    return BadReply(f"{func} returned {size} bytes at {start}, but the memory ends at {limit}; the plugin is wrong")


def _i32(pointer: int) -> int:
    """An unsigned 32-bit number as the i32 that wasm takes."""
    return pointer - (1 << 32) if pointer > _I32_MAX else pointer
