"""Real wasm under the scheduler: the production runtime, with the fakes' scheduling points and the fakes' strictness.

Each instance is a real one inside a fake one. The fake has the scheduling points and sees to it that nobody enters a
closed or an occupied instance, which wasmtime would not survive; the call itself runs in wasm. The production runtime
grants no host functions, so there is no point inside a call: a call is entered, runs, and is left. One that
runs until it is stopped waits for the stop before it enters, and then wasmtime stops it.

Needs tasks on threads (`Threads`). Compiled code is kept; a run pays for its instances.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

from hotswap._host import NO_IMPORTS, Imports
from hotswap._manifest import PluginManifest
from hotswap._ports import Number, Value
from hotswap._runtime import CENSUS, WasmRuntime
from hotswap._runtime._census import Place
from hotswap._runtime._code import WasmCode
from hotswap._runtime._deadline import StopFlag
from hotswap._runtime._instance import WasmInstance
from hotswap._runtime._ticker import TICKER
from scheduler._fakes import Flag, SchedulerCode, SchedulerInstance, SchedulerRuntime
from scheduler._run import Run

ENDLESS: Final = "loop"
"""The export that runs until it is stopped."""


@contextmanager
def ticking() -> Iterator[None]:
    """Keeps wasmtime's ticker alive from run to run; otherwise each run starts a thread for it, and ends it."""
    place = Place()
    TICKER.enter(place)
    try:
        yield
    finally:
        TICKER.leave(place)


_load = cache(WasmRuntime().load)


class SchedulerWasmRuntime(SchedulerRuntime):
    """Implements the port `Runtime`."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._before = CENSUS.created, CENSUS.alive
        self._real: list[WasmInstance] = []
        run.at_end.append(self._put_away)

    def load(self, wasm: object, manifest: PluginManifest, imports: Imports = NO_IMPORTS) -> SchedulerCode:
        self.run.access(self.shared, False, "compiles on")
        return _SchedulerWasmCode(self, _load(wasm, manifest), manifest)

    def made(self, real: WasmInstance) -> None:
        self._real.append(real)

    def _put_away(self) -> None:
        """What a run that was given up has left open. The census must say what the fakes have counted."""
        created, alive = CENSUS.created - self._before[0], CENSUS.alive - self._before[1]
        assert (created, alive) == (self.created, self.created - self.closed), "S8: real instances and counted ones"
        for real in self._real:
            real.close()
        assert CENSUS.alive == self._before[1]


class _SchedulerWasmCode(SchedulerCode):
    def __init__(self, runtime: SchedulerWasmRuntime, compiled: WasmCode, manifest: PluginManifest) -> None:
        self.wasm_runtime = runtime
        self.real = copy.copy(compiled)
        self.real._interrupted = StopFlag()
        self.facts, self.stopping = compiled.facts, Flag()
        self._at(runtime, int(manifest.plugin.version.partition(".")[0]))

    def instantiate(self, *, probe: bool) -> SchedulerInstance:
        self.run.access(self.shared, False, "instantiates on")
        real = self.real.instantiate(probe=probe)
        self.wasm_runtime.made(real)
        return _SchedulerWasmInstance(self, real)

    def interrupt(self, stop: bool) -> None:
        super().interrupt(stop)
        self.real.interrupt(stop)


class _SchedulerWasmInstance(SchedulerInstance):
    def __init__(self, code: _SchedulerWasmCode, real: WasmInstance) -> None:
        super().__init__(code)
        self._real = real

    def close(self) -> None:
        super().close()
        self._real.close()

    def _work(self, func: str, args: tuple[Number, ...]) -> Value:
        if func == ENDLESS:
            self.scheduler_code.run_until_stopped()
        if self._closed:
            raise RuntimeError("closed")  # the fake has taken it down; wasmtime need not see it
        try:
            return self._real.call(func, args)
        finally:
            self.broken = self._real.broken
