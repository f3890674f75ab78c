"""The real `Runtime` and `Code` ports: compile a module, check it, make instances under its manifest's limits."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import wasmtime

from hotswap._compat import ModuleFacts
from hotswap._errors import CallTrapped, HotswapError, InitFailed, ModuleRejected, Overloaded, ProbeFailed
from hotswap._runtime._compiled import compiled
from hotswap._runtime._deadline import StopFlag
from hotswap._runtime._engine import MIN_THREAD_STACK
from hotswap._runtime._instance import WasmInstance
from hotswap._runtime._linkage import Export
from hotswap._runtime._source import read_wasm
from hotswap._signature import Signature

if TYPE_CHECKING:
    from hotswap._manifest import PluginManifest

INIT, PROBE = "hotswap_init", "hotswap_probe"
MAX_EXPORTS = 1_000
"""wasmtime lists an instance's exports in quadratic time: 16,000 of them take seconds, for each instance."""


def signature_of(kind: wasmtime.FuncType) -> Signature:
    """A function's type. wasmtime-py prints externref as anyref, which our configuration does not have."""

    def names(types: list[wasmtime.ValType]) -> tuple[str, ...]:
        return tuple(str(each).replace("anyref", "externref") for each in types)

    return Signature(names(kind.params), names(kind.results))


class WasmCode:
    """A compiled module under its manifest's limits. Implements the port `Code`."""

    def __init__(self, wasm: bytes, manifest: PluginManifest) -> None:
        self._limits = manifest.resources
        self._interrupted = StopFlag()
        digest = hashlib.sha256(wasm).hexdigest()
        try:
            self._module = compiled(wasm, digest, metered=self._limits.fuel_limit > 0)
        except wasmtime.WasmtimeError as error:
            raise ModuleRejected(f"plugin {manifest.plugin.name!r}: the module does not compile: {error}") from error
        self._refuse_imports()
        exports = self._module.exports
        if len(exports) > MAX_EXPORTS:
            raise ModuleRejected(f"expected at most {MAX_EXPORTS} exports, found {len(exports)}")
        signatures = {
            item.name: signature_of(item.type) for item in exports if isinstance(item.type, wasmtime.FuncType)
        }
        self.facts = ModuleFacts(digest=digest, functions=signatures)
        self._table = {name: Export.of(name, signature) for name, signature in signatures.items()}

    def instantiate(self, *, probe: bool) -> WasmInstance:
        """Make and initialise one instance, and probe it if asked to.

        Raises `ModuleRejected` (and its kinds `InitFailed`, `ProbeFailed`) or `Overloaded`; the instance is closed.
        """
        try:
            instance = WasmInstance(self._module, self._table, self._limits, self._interrupted)
        except CallTrapped as error:
            raise _start_failed(error) from error
        try:
            self._run(instance, INIT, InitFailed)
            if probe:
                self._run(instance, PROBE, ProbeFailed)
        except BaseException:
            instance.close()
            raise
        return instance

    def interrupt(self, stop: bool) -> None:
        self._interrupted.on = stop

    def _run(self, instance: WasmInstance, hook: str, failure: type[ModuleRejected]) -> None:
        if hook not in self._table:
            return
        try:
            answer = instance.run_hook(hook)
        except HotswapError as error:
            raise failure(f"{hook} failed: {error}") from error
        if answer != 0:
            raise failure(f"{hook}: expected 0, found {answer}; the plugin says that it is not fit to serve")

    def _refuse_imports(self) -> None:
        wanted = [f"{item.module}.{item.name}" for item in self._module.imports]
        if wanted:
            raise ModuleRejected(
                f"the module imports {', '.join(wanted[:10])}{' and more' if len(wanted) > 10 else ''}; "
                "expected no imports, since none is granted. Build it without WASI and without host functions"
            )


def _start_failed(error: CallTrapped) -> ModuleRejected:
    """A trap while instantiating is the start function's; any other failure means the module asks for too much."""
    if isinstance(error.__cause__, wasmtime.Trap) or type(error) is not CallTrapped:
        return InitFailed(f"the module's start failed: {error}")
    return ModuleRejected(f"the module cannot be instantiated within its manifest's resources: {error}")


class WasmRuntime:
    """Implements the port `Runtime`."""

    def load(self, wasm: object, manifest: PluginManifest) -> WasmCode:
        """Read, compile and check `wasm`. Raises `ModuleRejected`."""
        stack = threading.stack_size()
        if 0 < stack < MIN_THREAD_STACK:
            raise Overloaded(
                f"threads of this process have stacks of {stack} bytes; expected at least {MIN_THREAD_STACK}, since "
                "wasm that overflows a smaller one kills the process. Raise threading.stack_size() or leave it at 0"
            )
        return WasmCode(read_wasm(wasm), manifest)
