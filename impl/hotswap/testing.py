"""Fakes of the ports, for tests of code that uses plugins, and of the protocol itself. No wasm is involved.

A `FakeRuntime` loads a `FakeModule`, which is a few Python callables. It behaves as the real one does where the
protocol can tell, and it is stricter: two threads in one instance, a call into a closed instance, a second close and
a close during a call go into `violations`, where wasmtime would abort the process or silently lose updates.
"""

from __future__ import annotations

import hashlib
import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from hotswap._compat import ModuleFacts
from hotswap._errors import (
    BadArgument,
    CallInterrupted,
    CallTrapped,
    HotswapError,
    InitFailed,
    ModuleRejected,
    ProbeFailed,
    UnknownFunction,
)
from hotswap._host import NO_IMPORTS, Imports
from hotswap._manifest import PluginManifest
from hotswap._ports import Clock, Data, Number, Ports, Sync, Trace, Value
from hotswap._signature import Signature
from hotswap._threads import MONOTONIC, THREADS

__all__ = ["FakeCode", "FakeInstance", "FakeModule", "FakeRuntime", "Recorder", "fake_ports"]


class FakeModule(bytes):
    """What a `FakeRuntime` loads in place of wasm: bytes, so that it goes wherever wasm goes, with functions.

    `functions` take and return i32; one that raises anything but a `HotswapError` traps. A function named in
    `endless` runs until it is interrupted. `label` is the content, of which the digest is taken.
    """

    functions: Mapping[str, Callable[..., Value]]
    init: Callable[[], int]
    probe: Callable[[], int]
    endless: frozenset[str]

    def __new__(
        cls,
        functions: Mapping[str, Callable[..., Value]],
        label: str = "fake",
        *,
        init: Callable[[], int] = lambda: 0,
        probe: Callable[[], int] = lambda: 0,
        endless: frozenset[str] = frozenset(),
    ) -> Self:
        module = super().__new__(cls, label.encode())
        module.functions, module.init, module.probe, module.endless = functions, init, probe, endless
        return module


class FakeRuntime:
    """Implements the port `Runtime`; counts what it makes and closes, and what must not happen."""

    def __init__(self) -> None:
        self.created = 0
        self.closed = 0
        self.violations: list[str] = []
        self._lock = threading.Lock()

    def load(self, wasm: object, manifest: PluginManifest, imports: Imports = NO_IMPORTS) -> FakeCode:  # noqa: ARG002
        if not isinstance(wasm, FakeModule):
            raise ModuleRejected(f"fake runtime: expected a FakeModule, found {type(wasm).__name__}")
        return self._code(wasm)

    def _code(self, module: FakeModule) -> FakeCode:
        return FakeCode(self, module)

    def count(self, created: int = 0, closed: int = 0) -> None:
        with self._lock:
            self.created += created
            self.closed += closed

    def violated(self, what: str) -> None:
        self.violations.append(what)


class FakeCode:
    """Implements the port `Code`."""

    def __init__(self, runtime: FakeRuntime, module: FakeModule) -> None:
        self.runtime, self.module = runtime, module
        self.stopping = threading.Event()
        functions = {name: _signature(function) for name, function in module.functions.items()}
        functions |= {name: Signature((), ("i32",)) for name in module.endless}
        digest = hashlib.sha256(module).hexdigest()
        self.facts = ModuleFacts(digest=digest, functions=functions)

    def instantiate(self, *, probe: bool) -> FakeInstance:
        instance = self._instance()
        try:
            _answer("hotswap_init", self.module.init, InitFailed)
            if probe:
                _answer("hotswap_probe", self.module.probe, ProbeFailed)
        except BaseException:
            instance.close()
            raise
        return instance

    def interrupt(self, stop: bool) -> None:
        if stop:
            self.stopping.set()
        else:
            self.stopping.clear()

    def _instance(self) -> FakeInstance:
        return FakeInstance(self)

    def _run_until_stopped(self) -> None:
        self.stopping.wait()


class FakeInstance:
    """Implements the port `Instance`."""

    def __init__(self, code: FakeCode) -> None:
        self.broken = False
        self._code = code
        self._inside = threading.Lock()
        self._closed = False
        code.runtime.count(created=1)

    def call(self, func: str, args: tuple[Number, ...]) -> Value:
        code = self._code
        signature = code.facts.functions.get(func)
        if signature is None:
            raise UnknownFunction(
                f"the plugin exports no function {func!r}; it exports: {sorted(code.facts.functions)}"
            )
        if len(args) != len(signature.params):
            raise BadArgument(f"{func}{signature}: expected {len(signature.params)} arguments, found {len(args)}")
        if self._closed:
            code.runtime.violated(f"S3: {func} entered a closed instance")
        if not self._inside.acquire(blocking=False):
            code.runtime.violated(f"S3: {func} entered an instance that another thread is in")
            return None
        try:
            return self._run(func, args)
        except HotswapError:
            raise
        except Exception as error:
            self.broken = True
            raise CallTrapped(f"{func}: {error!r}") from error
        except BaseException:
            self.broken = True
            raise
        finally:
            self._inside.release()

    def call_bytes(self, func: str, data: Data) -> bytes:
        """The fake of a bytes call is the sum of the bytes, through the function of that name."""
        return str(self.call(func, (sum(bytes(data)),))).encode()

    def close(self) -> None:
        if self._closed:
            return
        if self._inside.locked():
            self._code.runtime.violated("S3: an instance was closed while a call was inside")
        self._closed = True
        self._code.runtime.count(closed=1)

    def _run(self, func: str, args: tuple[Number, ...]) -> Value:
        if func in self._code.module.endless:
            self._code._run_until_stopped()  # noqa: SLF001  a scheduler's fakes wait in their own way
            self.broken = True
            raise CallInterrupted(f"{func}: stopped")
        return self._code.module.functions[func](*args)


@dataclass
class Recorder:
    """Implements the port `Trace`: keeps what it was told."""

    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def __call__(self, event: str, **facts: object) -> None:
        self.events.append((event, facts))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]


def fake_ports(
    runtime: FakeRuntime | None = None, *, sync: Sync = THREADS, clock: Clock = MONOTONIC, trace: Trace | None = None
) -> Ports:
    """Ports on a fake runtime, with real threads and time unless told otherwise."""
    return Ports(runtime or FakeRuntime(), sync, clock, trace or Recorder())


def _signature(function: Callable[..., Value]) -> Signature:
    return Signature(("i32",) * len(inspect.signature(function).parameters), ("i32",))


def _answer(hook: str, function: Callable[[], int], failure: type[ModuleRejected]) -> None:
    try:
        answer = function()
    except Exception as error:
        raise failure(f"{hook} failed: {error!r}") from error
    if answer != 0:
        raise failure(f"{hook}: expected 0, found {answer}")
