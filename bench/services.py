"""One plugin that is called and replaced while it is called, in four ways; and a caller that notes every call.

A call is the loop of 10 us, which leaves the interpreter to others meanwhile, as a service's calls do. The caller makes
its next call when the last has come back. So a stall shows as one slow call among very many: look at the longest, not
only at percentiles.
"""

from __future__ import annotations

import struct
import threading
from array import array
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import wasmtime

from contenders import LOOP_S, extism_plugin, spins, spun
from hotswap import Cutover, HotReloadablePlugin, ManifestBuilder
from modules import FOR_EXTISM, OURS, fresh, sized

PHASES: Final = ("steady", "during", "after")


@dataclass(frozen=True)
class Service:
    call: Callable[[], object]
    upgrade: Callable[[], object]
    """To bytes that nobody has compiled before."""

    def __post_init__(self) -> None:
        assert self.call() == spun(spins(LOOP_S))


def ours(cutover: Cutover, kilobytes: int, exits: ExitStack, instances: int = 4) -> Service:
    wasm = sized(kilobytes, OURS)
    builder = ManifestBuilder("bench", "1.0.0").export("spin").limit("max_instances", instances)
    manifest = builder.limit("fuel_limit", 0).limit("timeout_ms", 60_000).build()
    rounds = spins(LOOP_S)
    plugin = exits.enter_context(HotReloadablePlugin("bench", fresh(wasm), manifest, cutover=cutover))
    return Service(
        call=lambda: plugin.call("spin", rounds),
        upgrade=lambda: plugin.upgrade(fresh(wasm), manifest, allow_rebuild=True),
    )


def lock_and_replace(kilobytes: int) -> Service:
    """The plain way: a lock around the instance, and the new one is made by whoever holds it."""
    wasm, lock, engine = sized(kilobytes, OURS), threading.Lock(), wasmtime.Engine()
    rounds = spins(LOOP_S)
    store: wasmtime.Store
    func: wasmtime.Func

    def upgrade() -> None:
        nonlocal store, func
        with lock:
            store = wasmtime.Store(engine)
            func = wasmtime.Instance(store, wasmtime.Module(engine, fresh(wasm)), []).exports(store)["spin"]  # type: ignore[assignment]

    def call() -> object:
        with lock:
            return func(store, rounds)

    upgrade()
    return Service(call, upgrade)


def extism(kilobytes: int) -> Service:
    """A new Plugin, made beside the old one and put in its place; a lock each, since a Plugin is for one thread."""
    wasm, number, rounds = sized(kilobytes, FOR_EXTISM), struct.Struct("<i"), spins(LOOP_S)
    current = extism_plugin(fresh(wasm)), threading.Lock()

    def upgrade() -> None:
        nonlocal current
        current = extism_plugin(fresh(wasm)), threading.Lock()

    def call() -> object:
        plugin, lock = current
        with lock:
            return number.unpack(plugin.call("spin", number.pack(rounds)))[0]

    return Service(call, upgrade)


class Caller:
    """Calls all the time, on a thread of its own, until it is told to stop."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.begun, self.ended = array("d"), array("d")
        self._call, self._over = call, False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        begun, ended, call = self.begun.append, self.ended.append, self._call
        try:
            while not self._over:
                begun(perf_counter())
                call()
                ended(perf_counter())
        except BaseException as error:  # noqa: BLE001  raised again by `stop`
            self._error = error

    def stop(self) -> None:
        self._over = True
        self._thread.join()
        if self._error is not None:
            raise self._error

    def took(self, begun: float, ended: float) -> dict[str, list[float]]:
        """Seconds of every call, by what it met of an upgrade between these two moments."""
        found: dict[str, list[float]] = {phase: [] for phase in PHASES}
        for start, end in zip(self.begun, self.ended, strict=True):
            phase = "steady" if end < begun else "after" if start > ended else "during"
            found[phase].append(end - start)
        return found
