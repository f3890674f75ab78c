"""The two worlds in which the protocol is tested: Python fakes, and real wasm on real wasmtime.

Both offer the same module, by number: `version() -> n`, `hold()`, which stays inside its call until the test lets
go, `loop()`, which only an interrupt or a deadline ends, and `trap()`. In the real world `hold` enters the wasm first
and then waits with the lease in hand; the instance under it is a real one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hotswap import HotReloadablePlugin, ManifestBuilder, PluginManifest
from hotswap._errors import MalformedModule, ModuleRejected
from hotswap._host import NO_IMPORTS, Imports
from hotswap._ports import Code, Instance, Number, Ports, Value
from hotswap._runtime import CENSUS, WasmRuntime
from hotswap._threads import MONOTONIC, THREADS
from hotswap.testing import FakeModule, FakeRuntime, Recorder

WAIT_S = 20.0  # no test waits this long unless it fails


def manifest(
    number: int, *, name: str = "p", version: str | None = None, max_instances: int = 2, timeout_ms: int = 60_000
) -> PluginManifest:
    builder = ManifestBuilder(name, version or f"{number}.0.0").export("version").export("hold")
    builder = builder.limit("max_instances", max_instances).limit("timeout_ms", timeout_ms)
    return builder.limit("fuel_limit", 0).limit("memory_limit_mb", 1).build()


def wat(number: int, *, init: str = "", probe: str = "", extra: str = "") -> str:
    init = f'(func (export "hotswap_init") (result i32) {init})' if init else ""
    probe = f'(func (export "hotswap_probe") (result i32) {probe})' if probe else ""
    return f"""(module
      (func (export "version") (result i32) i32.const {number})
      (func (export "hold") (result i32) i32.const {number})
      (func (export "loop") (result i32) (loop br 0) i32.const 0)
      (func (export "trap") (result i32) unreachable)
      {init} {probe} {extra})"""


class Gate:
    """Where `hold` waits. `entered` counts the calls that came in."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)

    def hold(self) -> None:
        self.entered.release()
        assert self.open.wait(WAIT_S), "the test never let go"

    def await_entered(self, calls: int = 1) -> None:
        for _ in range(calls):
            assert self.entered.acquire(timeout=WAIT_S), "no call came in"


class World:
    """What a test of the protocol needs; subclasses say where it runs."""

    garbage: type[ModuleRejected]
    """What is said of bytes that are no module."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.trace = Recorder()
        self.ports: Ports

    def module(self, number: int) -> Any:
        raise NotImplementedError

    def bad_module(self, fault: str) -> Any:
        """A module that fails in prepare: garbage, import, start, init, init_trap, probe."""
        raise NotImplementedError

    def instances(self) -> tuple[int, int]:
        """Created and closed so far."""
        raise NotImplementedError

    def violations(self) -> list[str]:
        return []

    @contextmanager
    def plugin(self, *, max_instances: int = 2, **options: Any) -> Iterator[HotReloadablePlugin]:
        options.setdefault("drain_timeout", WAIT_S)
        plugin = HotReloadablePlugin(
            "p", self.module(1), manifest(1, max_instances=max_instances), ports=self.ports, **options
        )
        try:
            yield plugin
        finally:
            self.gate.open.set()
            plugin.close()
            created, closed = self.instances()
            assert created == closed, f"S8: {created} instances created, {closed} closed"
            assert self.violations() == []


class FakeWorld(World):
    garbage = ModuleRejected

    def __init__(self) -> None:
        super().__init__()
        self.runtime = FakeRuntime()
        self.ports = Ports(self.runtime, THREADS, MONOTONIC, self.trace)

    def module(self, number: int) -> FakeModule:
        def hold() -> int:
            self.gate.hold()
            return number

        def trap() -> int:
            raise ZeroDivisionError

        functions: dict[str, Callable[..., Value]] = {"version": lambda: number, "hold": hold, "trap": trap}
        return FakeModule(functions, label=f"v{number}", endless=frozenset({"loop"}))

    def bad_module(self, fault: str) -> Any:
        def boom() -> int:
            raise ZeroDivisionError

        good = self.module(2).functions
        return {
            "garbage": b"garbage",
            "import": b"import",
            "start": FakeModule(good, init=boom),
            "init": FakeModule(good, init=lambda: 1),
            "init_trap": FakeModule(good, init=boom),
            "probe": FakeModule(good, probe=lambda: 1),
        }[fault]

    def instances(self) -> tuple[int, int]:
        return self.runtime.created, self.runtime.closed

    def violations(self) -> list[str]:
        return self.runtime.violations


class _HeldInstance:
    """A real instance whose `hold` stays in the call at the test's gate."""

    def __init__(self, instance: Instance, gate: Gate) -> None:
        self._instance, self._gate = instance, gate
        self.call_bytes, self.close = instance.call_bytes, instance.close

    @property
    def broken(self) -> bool:
        return self._instance.broken

    def call(self, func: str, args: tuple[Number, ...]) -> Value:
        result = self._instance.call(func, args)
        if func == "hold":
            self._gate.hold()
        return result


class _HeldCode:
    def __init__(self, code: Code, gate: Gate) -> None:
        self._code, self._gate = code, gate
        self.facts, self.interrupt = code.facts, code.interrupt

    def instantiate(self, *, probe: bool) -> Instance:
        return _HeldInstance(self._code.instantiate(probe=probe), self._gate)


class _HeldRuntime:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def load(self, wasm: object, manifest: PluginManifest, imports: Imports = NO_IMPORTS) -> Code:
        return _HeldCode(WasmRuntime().load(wasm, manifest, imports), self._gate)


class WasmWorld(World):
    garbage = MalformedModule

    def __init__(self) -> None:
        super().__init__()
        self._before = CENSUS.created, CENSUS.closed
        self.ports = Ports(_HeldRuntime(self.gate), THREADS, MONOTONIC, self.trace)

    def module(self, number: int) -> str:
        return wat(number)

    def bad_module(self, fault: str) -> Any:
        return {
            "garbage": b"garbage",
            "import": '(module (import "env" "f" (func)))',
            "start": wat(2, extra="(func $s unreachable) (start $s)"),
            "init": wat(2, init="i32.const 1"),
            "init_trap": wat(2, init="unreachable"),
            "probe": wat(2, probe="i32.const 1"),
        }[fault]

    def instances(self) -> tuple[int, int]:
        return CENSUS.created - self._before[0], CENSUS.closed - self._before[1]


class Runner:
    """Threads of a test: each keeps its result or its error, and none outlives the test."""

    def __init__(self, work: Callable[..., object], *args: object) -> None:
        self.result: object = None
        self.error: BaseException | None = None
        self._work, self._args = work, args
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._work(*self._args)
        except BaseException as error:  # noqa: BLE001  kept for the test
            self.error = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> Runner:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "the thread hangs"
        return self

    def value(self) -> object:
        """The result, or the error raised."""
        self.join()
        if self.error is not None:
            raise self.error
        return self.result


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for another thread to get somewhere; fails after `WAIT_S`."""
    ends = MONOTONIC.now() + WAIT_S
    tick = threading.Event()
    while not condition():
        assert MONOTONIC.now() < ends, "it never came about"
        tick.wait(0.001)
