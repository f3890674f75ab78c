"""What the calls of one instance run under, and what becomes of a call that ends badly.

Time and fuel are for a whole call, however many steps it takes. Whatever ends a call but its own return is raised as a
typed error, and spoils the instance, unless it is known that the wasm was left in order.

Prepared calls hold this object and never the instance, so that an instance that is dropped is closed at once.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, NoReturn

import wasmtime

from hotswap._errors import CallInterrupted, CallTrapped, DeadlineExceeded, HostFunctionFailed, OutOfFuel, OutOfMemory
from hotswap._runtime import _capi
from hotswap._runtime._deadline import Deadline, StopFlag, StopReason, demand_headroom
from hotswap._runtime._ticker import TICKER

if TYPE_CHECKING:
    from hotswap._manifest import ResourceLimits


class CallLimits:
    """Those of one store. `close` it when the store is closed."""

    __slots__ = ("deadline", "fuel", "spoiled", "store", "trap")

    def __init__(self, store: wasmtime.Store, limits: ResourceLimits, interrupted: StopFlag) -> None:
        self.store = store
        self.deadline = Deadline(store, limits.timeout_ms / 1000, interrupted)
        self.fuel = limits.fuel_limit
        """0: unmetered."""
        self.spoiled = False
        """A call is in the wasm that may leave it in disorder, or one has left it so."""
        self.trap = ctypes.c_void_p()
        """Where wasmtime puts the trap of a prepared call. It is ours from then on."""

    @property
    def broken(self) -> bool:
        """The instance must not be used again. Ctrl-C may have come before the end of a call could be noted."""
        deadline = self.deadline
        return self.spoiled or bool(self.trap) or deadline.reason is not None or deadline.exception is not None

    def make_stoppable(self) -> None:
        """A call begins. Raises `HotswapError`, or `RecursionError` if there is no room to stop it."""
        demand_headroom()
        if self.deadline.beat is not TICKER.beat:
            self.deadline.arm(self.store)

    def begin(self) -> None:
        """The same, with a load of fuel."""
        self.make_stoppable()
        if self.fuel:
            self.store.set_fuel(self.fuel)

    def raise_pending(self) -> None:
        """What struck inside the wasm is the caller's, now that the call is out of it: a Ctrl-C, or what a function
        of the host raised. The instance stays broken.
        """
        pending, host = self.deadline.exception, self.deadline.host
        if pending is not None:
            self.spoiled = True
            self.deadline.exception = None
            if host is not None and isinstance(pending, Exception):
                raise HostFunctionFailed(f"{host}: {type(pending).__name__}: {pending}") from pending
            raise pending

    def fail(self, func: str, error: BaseException) -> NoReturn:
        """Raise what ended a call, as a typed error."""
        self.raise_pending()
        self.spoiled = not isinstance(error, OutOfMemory)
        if not isinstance(error, wasmtime.WasmtimeError | wasmtime.Trap):
            raise error
        # A frame of wasmtime-py holds its trap, and the trap that frame, and both the instance: part them.
        raise self._typed(func, error) from error.with_traceback(None)

    def fail_prepared(self, func: str, error: int | None) -> NoReturn:
        """The same for a prepared call: `error` is what the C function returned."""
        self.spoiled = True
        found = self.ended(error)
        self.raise_pending()
        assert found is not None  # noqa: S101  there was an error, a trap, or something pending
        raise self._typed(func, found) from found

    def ended(self, error: int | None) -> wasmtime.WasmtimeError | wasmtime.Trap | None:
        """What a prepared call ended with; its finalizer frees it."""
        if error is not None:
            return _capi.error_from(error)
        address = self.trap.value
        if address is None:
            return None
        self.trap.value = None  # first: rather lost than freed twice
        return _capi.trap_from(address)

    def close(self) -> None:
        self.ended(None)
        self.deadline.close()

    def _typed(self, func: str, error: wasmtime.WasmtimeError | wasmtime.Trap) -> CallTrapped:
        try:
            said = str(error)
        except ctypes.ArgumentError as cause:  # in which ctypes wraps what a message meets that near to the limit
            raise RecursionError(f"{func}: ended, and there were too few frames left to say how") from cause
        reason = self.deadline.reason
        if reason is StopReason.INTERRUPTED:
            return CallInterrupted(
                f"{func}: stopped, since its version is retired and the drain timeout passed; {said}"
            )
        if reason is StopReason.DEADLINE:
            timeout_ms = self.deadline.timeout_s * 1000
            return DeadlineExceeded(f"{func}: ran longer than {timeout_ms:.0f} ms (resources.timeout_ms); {said}")
        if isinstance(error, wasmtime.Trap) and error.trap_code is wasmtime.TrapCode.OUT_OF_FUEL:
            return OutOfFuel(f"{func}: used more than {self.fuel} units of fuel (resources.fuel_limit); {said}")
        return CallTrapped(f"{func}: {said}")
