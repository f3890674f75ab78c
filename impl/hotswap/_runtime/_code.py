"""The real `Runtime` and `Code` ports: compile a module, check it, make instances under its manifest's limits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import wasmtime

from hotswap._compat import ModuleFacts, refuse_other_bytes
from hotswap._errors import CallTrapped, HotswapError, InitFailed, ModuleRejected, Overloaded, ProbeFailed
from hotswap._host import NO_IMPORTS, Imports
from hotswap._runtime._admit import Admitted, admit
from hotswap._runtime._compiled import compiled
from hotswap._runtime._deadline import StopFlag
from hotswap._runtime._engine import MIN_THREAD_STACK
from hotswap._runtime._host_calls import link
from hotswap._runtime._instance import HostedInstance, WasmInstance
from hotswap._runtime._linkage import Export
from hotswap._runtime._source import read_wasm
from hotswap._runtime._ticker import TICKER

if TYPE_CHECKING:
    from hotswap._manifest import PluginManifest

try:
    import resource
except ImportError:  # a system without such limits
    resource = None  # type: ignore[assignment]

INIT, PROBE = "hotswap_init", "hotswap_probe"


class _Known:
    """What is known of a module, once for all that is made of it."""

    __slots__ = ("__weakref__", "facts", "table")

    def __init__(self, admitted: Admitted) -> None:
        shape = admitted.shape
        functions = shape.functions
        imports = frozenset(item.full_name for item in shape.imports)
        self.facts = ModuleFacts(admitted.digest, functions, imports)
        self.table = {name: Export.of(name, signature) for name, signature in functions.items()}


_lock = threading.RLock()  # a finalizer may run in here
_known: WeakValueDictionary[str, _Known] = WeakValueDictionary()


def _known_of(admitted: Admitted) -> _Known:
    with _lock:
        return _known.get(admitted.digest) or _known.setdefault(admitted.digest, _Known(admitted))


class WasmCode:
    """A compiled module under its manifest's limits. Implements the port `Code`."""

    def __init__(self, admitted: Admitted, manifest: PluginManifest, imports: Imports) -> None:
        self._imports, self._links = imports, link(admitted.shape, imports)
        self._limits = manifest.resources
        self._interrupted = StopFlag()
        self._module = compiled(admitted, metered=self._limits.fuel_limit > 0)
        self._known = _known_of(admitted)
        self.facts, self._table = self._known.facts, self._known.table

    def instantiate(self, *, probe: bool) -> WasmInstance:
        """Make and initialise one instance, and probe it if asked to.

        Raises `ModuleRejected` (and its kinds `InitFailed`, `ProbeFailed`) or `Overloaded`; the instance is closed.
        """
        try:
            instance = self._instance()
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

    def _instance(self) -> WasmInstance:
        made_of = self._module, self._table, self._limits, self._interrupted
        return HostedInstance(*made_of, self._imports, self._links) if self._links else WasmInstance(*made_of)

    def interrupt(self, stop: bool) -> None:
        self._interrupted.on = stop
        if stop:
            TICKER.supervise()

    def _run(self, instance: WasmInstance, hook: str, failure: type[ModuleRejected]) -> None:
        if hook not in self._table:
            return
        try:
            answer = instance.run_hook(hook)
        except HotswapError as error:
            raise failure(f"{hook} failed: {error}") from error
        if answer != 0:
            raise failure(f"{hook}: expected 0, found {answer}; the plugin says that it is not fit to serve")


def _start_failed(error: CallTrapped) -> ModuleRejected:
    """A trap while instantiating is the start function's; any other failure means the module asks for too much."""
    if isinstance(error.__cause__, wasmtime.Trap) or type(error) is not CallTrapped:
        return InitFailed(f"the module's start failed: {error}")
    return ModuleRejected(f"the module cannot be instantiated within its manifest's resources: {error}")


def _stack_size() -> int:
    """Of threads to come, in bytes; 0: as the system has it. On Linux that is the limit of the process."""
    size = threading.stack_size()
    if size or resource is None:
        return size
    limit = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return 0 if limit == resource.RLIM_INFINITY else limit


class WasmRuntime:
    """Implements the port `Runtime`."""

    def load(self, wasm: object, manifest: PluginManifest, imports: Imports = NO_IMPORTS) -> WasmCode:
        """Read, admit, compile and check `wasm`. Raises `ModuleRejected`."""
        stack = _stack_size()
        if 0 < stack < MIN_THREAD_STACK:
            raise Overloaded(
                f"threads of this process have stacks of {stack} bytes; expected at least {MIN_THREAD_STACK}, since "
                "wasm that overflows a smaller one kills the process. Raise threading.stack_size() or leave it at 0, "
                "and raise the limit of the process (ulimit -s)"
            )
        limits = manifest.resources
        admitted = admit(read_wasm(wasm, limits.max_module_kb), limits)
        refuse_other_bytes(admitted.origin, admitted.digest, manifest)
        return WasmCode(admitted, manifest, imports)
