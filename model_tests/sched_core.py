"""The production core and protocol alone under the scheduler: callers, and one operator who cuts over.

Without the plugin around them a run is short, so all interleavings of more parties can be looked at, and the
scheduler's own speed shows. The runtime is the fake one or real wasm.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache

from hotswap import Cutover
from hotswap._ports import Code, Instance
from hotswap._protocol import HotReloadProtocol
from hotswap._version import Attempt, Version
from hotswap.testing import FakeModule
from scheduler import Check, Program, Run, SchedulerClock, SchedulerSync
from scheduler._fakes import SchedulerRuntime
from scheduler._watch import begin
from worlds import manifest as a_manifest

manifest = cache(a_manifest)


@cache
def module(number: int) -> FakeModule:
    return FakeModule({"version": lambda: number}, f"v{number}")


class CoreRun:
    """One protocol with version 1 serving and version 2 prepared."""

    def __init__(self, run: Run, runtime: SchedulerRuntime, modules: Callable[[int], object]) -> None:
        begin(run)
        self.run, self.runtime = run, runtime
        self.sync = SchedulerSync(run)
        (code, instance), (new_code, new_instance) = (self._made(modules(number), number) for number in (1, 2))
        first = Version(1, code, manifest(1), [instance], self.sync)
        self.protocol = HotReloadProtocol("p", first, self.sync, SchedulerClock(run))
        first.live.value = True
        prepared = Attempt()
        self.protocol.claim(prepared)
        self.protocol.offer(prepared, new_code, manifest(2), [new_instance])
        self.results: list[list[object]] = []
        self.versions = first, prepared.candidate
        run.at_end.append(self.leave)

    def _made(self, module: object, number: int) -> tuple[Code, Instance]:
        code = self.runtime.load(module, manifest(number))
        return code, code.instantiate(probe=False)

    def leave(self) -> None:
        """Nothing holds itself afterwards: to look for garbage would be a tenth of a search."""
        self.protocol.abandon()
        self.runtime.instances.clear()
        for version in self.versions:
            if version is not None:
                version.gathered.clear()
                del version.wake

    def caller(self) -> None:
        mine: list[object] = []
        self.results.append(mine)

        def call() -> None:
            lease = self.protocol.admit() or self.protocol.queue(5.0)
            assert lease is not None
            mine.append(lease.instance.call("version", ()))
            self.protocol.release(lease)

        self.run.task(f"caller {len(self.results)}", call)

    def operator(self) -> None:
        def cut_over() -> None:
            protocol, attempt = self.protocol, Attempt()
            old, candidate = protocol.begin(attempt, Cutover.OVERLAP)
            protocol.publish(old, candidate)
            assert protocol.await_drain(old, None)
            protocol.commit(attempt, 0)
            for lease in protocol.reclaim(old):
                lease.instance.close()
            protocol.forget(old)
            protocol.finish(attempt)

        self.run.task("operator", cut_over)

    def check(self) -> Hashable:
        assert self.runtime.violations == [], self.runtime.violations
        assert self.protocol.retired() == [], "L2: the old version is reclaimed"
        assert (self.runtime.created, self.runtime.closed) == (2, 1), "S8: created = closed + serving"
        current = self.protocol.current.value
        assert (current.id, len(current.free), len(self.protocol._waiters)) == (2, 1, 0)
        return tuple(map(tuple, self.results))


def core(
    callers: int,
    runtime: Callable[[Run], SchedulerRuntime] = SchedulerRuntime,
    modules: Callable[[int], object] = module,
) -> Program:
    """So many callers and an operator."""

    def program(run: Run) -> Check:
        work = CoreRun(run, runtime(run), modules)
        for _ in range(callers):
            work.caller()
        work.operator()
        return work.check

    return program
