"""Upgrades under load: how long calls take before an upgrade, while it runs, and after it.

One core is left to the upgrade, so that what shows is the cutover and not the lack of a processor; with a single core
there is one caller all the same. Each turn is one upgrade of each service, to fresh bytes of a module of about 1 MB.
No compiled code is kept anywhere: wasmtime's cache is off, extism's and hotswap's too.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hotswap import ChildCompiler, Cutover, use_compiler
from measuring import percentiles, record, sized_run
from native import Missing
from services import PHASES, Caller, Service, extism, lock_and_replace, ours

TURNS = sized_run(short=2, usual=10)
QUIET_S = sized_run(short=100, usual=300) / 1000
KILOBYTES = sized_run(short=100, usual=1000)
CALLERS = max(1, min(4, (os.cpu_count() or 1) - 1))
NAMES = ("lock and replace", "extism", "hotswap: OVERLAP", "hotswap: EXCLUSIVE")


class Observed:
    """What one service's calls and upgrades took: the calls of all turns together, and what each turn's came to."""

    def __init__(self) -> None:
        self.upgrades: list[float] = []
        self.calls = {phase: array("d") for phase in PHASES}
        self.turns: list[dict[str, dict[str, float]]] = []

    def turn(self, service: Service) -> None:
        pause = threading.Event()
        callers = [Caller(service.call) for _ in range(CALLERS)]
        try:
            pause.wait(QUIET_S)
            begun = perf_counter()
            service.upgrade()
            ended = perf_counter()
            pause.wait(QUIET_S)
        finally:
            for caller in callers:
                caller.stop()
        self.upgrades.append(ended - begun)
        took = [caller.took(begun, ended) for caller in callers]
        found = {phase: [each for one in took for each in one[phase]] for phase in PHASES}
        for phase in PHASES:
            self.calls[phase].extend(found[phase])
        self.turns.append({phase: percentiles(found[phase]) for phase in PHASES})


@pytest.fixture(scope="module")
def observed() -> Iterator[dict[str, Observed]]:
    with ExitStack() as exits:
        exits.callback(use_compiler, None)
        use_compiler(ChildCompiler())  # as it is unless one asks for something else
        services = {
            "lock and replace": lock_and_replace(KILOBYTES),
            "hotswap: OVERLAP": ours(Cutover.OVERLAP, KILOBYTES, exits),
            "hotswap: EXCLUSIVE": ours(Cutover.EXCLUSIVE, KILOBYTES, exits),
        }
        try:
            services["extism"] = extism(KILOBYTES)
        except Missing:
            pass
        found = {name: Observed() for name in services}
        for _ in range(TURNS):
            for name, service in services.items():
                found[name].turn(service)
        yield found


@pytest.mark.timeout(600)
@pytest.mark.benchmark(group=f"upgrade of {KILOBYTES} KB under load, {CALLERS} caller(s), {os.cpu_count()} cores")
@pytest.mark.parametrize("name", NAMES)
def test_upgrade_under_load(benchmark: BenchmarkFixture, observed: dict[str, Observed], name: str) -> None:
    if name not in observed:
        pytest.skip("extism is not installed")
    found = observed[name]
    record(
        benchmark,
        found.upgrades,
        latencies={phase: percentiles(calls) for phase, calls in found.calls.items()},
        calls={phase: len(calls) for phase, calls in found.calls.items()},
        turns=found.turns,
    )
