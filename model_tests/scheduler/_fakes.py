"""The fake runtime of `hotswap.testing` with scheduling points.

Going into an instance, leaving it and closing it are steps that change it. Making one is a step as well, so that others
can come between two; that it is counted is no access, since counts are looked at when all is over. The fakes'
own locks are never contended: only one task runs at a time, and none stops while it holds one, but for the
mark that somebody is inside, which is never waited for.
"""

from __future__ import annotations

from threading import Event
from typing import Final

from hotswap._compat import ModuleFacts
from hotswap._host import NO_IMPORTS, Imports
from hotswap._manifest import PluginManifest
from hotswap._ports import Number, Value
from hotswap.testing import FakeCode, FakeInstance, FakeModule, FakeRuntime
from scheduler._run import Run
from scheduler._task import Shared


class SchedulerRuntime(FakeRuntime):
    """Implements the port `Runtime`."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.shared = Shared(run, "runtime")
        self.one_version = False
        """Whether it is a violation that two versions run at once. Who enters then looks at the others' instances."""
        self.instances: list[SchedulerInstance] = []

    def load(self, wasm: object, manifest: PluginManifest, imports: Imports = NO_IMPORTS) -> FakeCode:
        self.run.access(self.shared, False, "compiles on")
        return super().load(wasm, manifest, imports)

    def count(self, created: int = 0, closed: int = 0) -> None:
        self.created += created
        self.closed += closed

    def _code(self, module: FakeModule) -> FakeCode:
        return SchedulerCode(self, module)


_FACTS: Final[dict[int, tuple[FakeModule, ModuleFacts, int]]] = {}
"""By identity: the module, what is known of it, and its number."""


class Flag(Event):
    """An event that nobody waits for: waiting is the scheduler's business."""

    def __init__(self) -> None:
        self._flag = False

    def is_set(self) -> bool:
        return self._flag

    def set(self) -> None:
        self._flag = True

    def clear(self) -> None:
        self._flag = False


class SchedulerCode(FakeCode):
    """A module's facts are found out once, and not in each run."""

    def __init__(self, runtime: SchedulerRuntime, module: FakeModule) -> None:
        known = _FACTS.get(id(module))
        if known is None or known[0] is not module:
            super().__init__(runtime, module)
            known = _FACTS[id(module)] = module, self.facts, int(module.removeprefix(b"v"))
        self.module, self.facts, number = known
        self.stopping = Flag()
        self._at(runtime, number)

    def _at(self, runtime: SchedulerRuntime, number: int) -> None:
        self.runtime: SchedulerRuntime = runtime
        self.number = number
        self.run, self.shared = runtime.run, runtime.shared
        self._stop = Shared(self.run, "stop")

    def instantiate(self, *, probe: bool) -> FakeInstance:
        self.run.access(self.shared, False, "instantiates on")
        return super().instantiate(probe=probe)

    def _instance(self) -> FakeInstance:
        return SchedulerInstance(self)

    def interrupt(self, stop: bool) -> None:
        self.run.announce(self._stop, True, "interrupts by" if stop else "lets run by")
        self.run.touch(self._stop, stop is not self.stopping.is_set())
        super().interrupt(stop)

    def run_until_stopped(self) -> None:
        self.run.announce(self._stop, False, "runs until", self.stopping.is_set)
        self.run.touch(self._stop, False)

    _run_until_stopped = run_until_stopped


class SchedulerInstance(FakeInstance):
    def __init__(self, code: SchedulerCode) -> None:
        super().__init__(code)
        self.scheduler_code = code
        self.shared = Shared(code.run, "instance")
        self.number = code.number
        code.runtime.instances.append(self)

    @property
    def inside(self) -> bool:
        return self._inside.locked()

    def call(self, func: str, args: tuple[Number, ...]) -> Value:
        runtime = self.scheduler_code.runtime
        others = [other for other in runtime.instances if other._code is not self._code] if runtime.one_version else []
        self._enters(others)
        if any(other.inside for other in others):
            runtime.violated("EXCLUSIVE: two versions run at once")
        return super().call(func, args)

    def close(self) -> None:
        self.shared.run.access(self.shared, True, "closes")
        super().close()

    def _run(self, func: str, args: tuple[Number, ...]) -> Value:
        try:
            return self._work(func, args)
        finally:
            self.shared.run.access(self.shared, True, "leaves")

    def _work(self, func: str, args: tuple[Number, ...]) -> Value:
        """What is done inside."""
        return super()._run(func, args)

    def _enters(self, others: list[SchedulerInstance]) -> None:
        if others:
            self.shared.run.announce(self.shared, True, "enters")
            self.shared.run.touch(self.shared, True, tuple(other.shared.code for other in others))
        else:
            self.shared.run.access(self.shared, True, "enters")
