"""Histories of calls and upgrades, recorded from real threads: when each began and ended, and on which version it ran.

The stamps are those of one clock, `time.perf_counter_ns`, which does not go back from one thread to another; equal
stamps count as overlapping. Two of a call's three stamps are taken inside its instance, where the lease is held: the
admission was before the one, and what waits for the call goes on after the other.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from random import Random
from time import perf_counter_ns
from typing import Any, Final

import hotswap
from hotswap import Cutover, HotReloadablePlugin, HotReloadManager, ManifestBuilder, OnDrainTimeout, PluginManifest
from hotswap._host import NO_IMPORTS, Imports
from hotswap._ports import Code, Instance, Number, Ports, Runtime, Value
from hotswap._runtime import WasmRuntime
from hotswap._threads import MONOTONIC, THREADS
from hotswap.testing import Recorder
from linearizability import CLOSED, Call, Contradiction, Effect, Upgrade, check
from worlds import WAIT_S, Runner

CALLERS: Final = 4
FAILED: Final = hotswap.UpgradeCancelled, hotswap.ModuleRejected, hotswap.WrongState
LONG: Final = 6_000_000
"""Rounds of the module's loop that take a few milliseconds: long enough for a drain to give up."""

WAT: Final = """(module (func (export "version") (param $n i32) (result i32)
  (loop $again (br_if $again (i32.gt_s (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 0))))
  (i32.const {})))"""


def manifest(number: int) -> PluginManifest:
    builder = ManifestBuilder("h", f"{number}.0.0").export("version").limit("max_instances", CALLERS + 1)
    return builder.limit("fuel_limit", 0).limit("timeout_ms", 60_000).limit("memory_limit_mb", 1).build()


class _StampedInstance:
    """Answers with its result and when it was entered and left, by the history's clock."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.call_bytes, self.close = instance.call_bytes, instance.close

    @property
    def broken(self) -> bool:
        return self._instance.broken

    def call(self, func: str, args: tuple[Number, ...]) -> Value:
        entered = perf_counter_ns()
        version = self._instance.call(func, args)
        assert isinstance(version, int)
        return version, entered, perf_counter_ns()


class _StampedCode:
    def __init__(self, code: Code) -> None:
        self._code, self.facts, self.interrupt = code, code.facts, code.interrupt

    def instantiate(self, *, probe: bool) -> Instance:
        return _StampedInstance(self._code.instantiate(probe=probe))


@dataclass
class StampedRuntime:
    runtime: Runtime = field(default_factory=WasmRuntime)

    def load(self, wasm: object, manifest: PluginManifest, imports: Imports = NO_IMPORTS) -> Code:
        return _StampedCode(self.runtime.load(wasm, manifest, imports))


class History:
    """What one plugin did, from its first version to its end."""

    def __init__(self, first: int = 1, runtime: Runtime | None = None) -> None:
        self.first = first
        self.ports = Ports(StampedRuntime(runtime or WasmRuntime()), THREADS, MONOTONIC, Recorder())
        self.upgrades: list[Upgrade] = []
        self.closed: list[Upgrade] = []
        self._logs: list[array[int]] = []
        self._local = threading.local()

    def call(self, plugin: HotReloadablePlugin, func: str, *args: int) -> bool:
        """Make a call and record it; False if the plugin is closed."""
        log = self._log()
        began = perf_counter_ns()
        try:
            version, entered, left = plugin.call(func, *args)  # type: ignore[misc]
        except hotswap.PluginClosed:
            told = perf_counter_ns()
            log.extend((began, told, told, CLOSED))
            return False
        log.extend((began, entered, left, version))  # type: ignore[arg-type]
        return True

    def _log(self) -> array[int]:
        """One for each thread, of bare numbers: a million calls are 32 MB."""
        if not hasattr(self._local, "log"):
            self._local.log = array("q")
            self._logs.append(self._local.log)
        log: array[int] = self._local.log
        return log

    def upgrade(self, work: Callable[[], object], version: int, *, overlap: bool = True, drained: bool = True) -> bool:
        """Run an upgrade to that version and record it; False once the plugin is closed. By one thread at a time."""
        effect: Effect = "published"
        began, goes_on = perf_counter_ns(), True
        try:
            work()
        except FAILED:
            effect = "nothing"
        except hotswap.DrainTimeout:
            effect = "restored" if overlap else "nothing"
        except hotswap.PluginClosed:  # if it had published, it is as if it had restored, and then all was closed
            effect, goes_on = "restored" if overlap else "nothing", False
        except hotswap.PluginNotFound:  # it was unregistered before this upgrade had found it
            effect, goes_on = "nothing", False
        self.upgrades.append(Upgrade(began, perf_counter_ns(), version, effect, drained))
        return goes_on

    def close(self, work: Callable[[], object]) -> None:
        """Run a close and record it: from then on no version is current."""
        began = perf_counter_ns()
        work()
        self.closed.append(Upgrade(began, perf_counter_ns(), CLOSED))

    @property
    def calls_made(self) -> int:
        return sum(len(log) // 4 for log in self._logs)

    def calls(self) -> Iterator[Call]:
        for log in self._logs:
            numbers = iter(log)
            yield from map(Call, numbers, numbers, numbers, numbers)

    def contradiction(self) -> Contradiction | None:
        return check(self.first, [*self.upgrades, *self.closed], self.calls())


@dataclass(frozen=True)
class Kind:
    """How the plugin of a stress run is upgraded."""

    cutover: Cutover
    on_drain_timeout: OnDrainTimeout = OnDrainTimeout.ROLLBACK
    by_name: bool = False

    def options(self) -> dict[str, Any]:
        return {"cutover": self.cutover, "on_drain_timeout": self.on_drain_timeout}

    def effects(self) -> dict[str, bool]:
        detaches = self.on_drain_timeout is OnDrainTimeout.DETACH
        return {"overlap": self.cutover is Cutover.OVERLAP, "drained": not detaches}


KINDS: Final = {
    "overlap": Kind(Cutover.OVERLAP),
    "exclusive": Kind(Cutover.EXCLUSIVE),
    "detach": Kind(Cutover.OVERLAP, OnDrainTimeout.DETACH),
    "by name": Kind(Cutover.OVERLAP, by_name=True),
}


def stress(kind: Kind, calls: int, seed: int) -> History:
    """Call, upgrade, cancel and, once so many calls have been made, unregister: each on threads of its own."""
    history, random = History(), Random(seed)
    share, done, over = calls // CALLERS + 1, threading.Semaphore(0), threading.Event()
    patience = threading.Lock()
    upgrade_now, cancel_now = threading.Semaphore(0), threading.Semaphore(0)
    manager = HotReloadManager(ports=history.ports)
    plugin = manager.register("h", WAT.format(1), manifest(1), **kind.options())

    def call(seed: int) -> None:
        """Short calls mostly, some that an upgrade overtakes, and few that outlast its patience."""
        rounds = Random(seed).choices([1, 20_000, LONG], [4_000, 200, 1], k=9_973)
        made = 0
        while history.call(plugin, "version", rounds[made % len(rounds)]):
            made += 1
            if made == share:
                done.release()
            if made % 100 == 0:
                upgrade_now.release()
            if made % 777 == 0:
                cancel_now.release()

    def upgrade_often() -> None:
        number, goes_on = 1, True
        while goes_on:
            assert upgrade_now.acquire(timeout=WAIT_S)
            number += 1
            with patience:
                if not over.is_set():
                    plugin.drain_timeout = random.choice([0.0, 0.001, WAIT_S])
            wasm = random.choice([WAT.format(number)] * 9 + ["(module)"])
            upgrade = partial(manager.upgrade, "h") if kind.by_name else plugin.upgrade
            goes_on = history.upgrade(partial(upgrade, wasm, manifest(number)), number, **kind.effects())

    def cancel() -> None:
        while not over.is_set():
            assert cancel_now.acquire(timeout=WAIT_S)
            try:
                plugin.cancel_upgrade()
            except hotswap.Busy:
                pass

    workers = [Runner(call, seed + n) for n in range(CALLERS)] + [Runner(upgrade_often), Runner(cancel)]
    for _ in range(CALLERS):
        assert done.acquire(timeout=1_000), [worker.error for worker in workers]
    with patience:  # the close interrupts nobody
        over.set()
        plugin.drain_timeout = WAIT_S
    history.close(partial(manager.unregister, "h"))
    upgrade_now.release()
    cancel_now.release()
    for worker in workers:
        worker.value()
    manager.close()
    return history
