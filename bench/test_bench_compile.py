"""What calls notice of a compilation: their p99 while a module of about 1 MB is compiled and published, to steady.

In a child, which is what hotswap does unless it is told otherwise, and in this process, in turn. Compiling elsewhere
must not cost the calls more than compiling here: the aim is 1.25 times steady at most. `cost` is what the child adds to
a small module, for which it is started too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hotswap import ChildCompiler, Cutover, HotReloadablePlugin, InProcess, use_compiler
from measuring import percentiles, record, sized_run
from modules import fresh, sized
from runs import spread, times
from services import PHASES, ours
from test_bench_load import CALLERS, KILOBYTES, Observed
from test_bench_upgrade import plugin, upgrade

TURNS = sized_run(short=2, usual=10)
SMALL_TURNS = sized_run(short=3, usual=30)
COMPILERS: dict[str, ChildCompiler | InProcess] = {"in a child": ChildCompiler(), "in this process": InProcess()}


@pytest.fixture(scope="module")
def observed() -> Iterator[dict[str, Observed]]:
    found = {name: Observed() for name in COMPILERS}
    with ExitStack() as exits:
        service = ours(Cutover.OVERLAP, KILOBYTES, exits)
        exits.callback(use_compiler, None)
        for _ in range(TURNS):
            for name, compiler in COMPILERS.items():
                use_compiler(compiler)
                found[name].turn(service)
        yield found


@pytest.mark.timeout(600)
@pytest.mark.benchmark(group=f"upgrade of {KILOBYTES} KB under load, by who compiles, {CALLERS} caller(s)")
@pytest.mark.parametrize("name", COMPILERS)
def test_compile_under_load(benchmark: BenchmarkFixture, observed: dict[str, Observed], name: str) -> None:
    found = observed[name]
    ratios = [turn["during"]["p99"] / turn["steady"]["p99"] for turn in found.turns]
    print(f"{name}: p99 during to steady {spread(ratios, times)}, {CALLERS} caller(s), {os.cpu_count()} cores")
    record(
        benchmark,
        found.upgrades,
        latencies={phase: percentiles(found.calls[phase]) for phase in PHASES},
        turns=found.turns,
        p99_ratio=median(ratios),
    )


@pytest.fixture(scope="module")
def small() -> Iterator[dict[str, list[float]]]:
    found: dict[str, list[float]] = {name: [] for name in COMPILERS}
    with ExitStack() as exits:
        made: HotReloadablePlugin = plugin(exits, sized(1), instances=1)
        exits.callback(use_compiler, None)
        for _ in range(SMALL_TURNS):
            for name, compiler in COMPILERS.items():
                use_compiler(compiler)
                begun = perf_counter()
                upgrade(made, fresh(sized(1)))
                found[name].append(perf_counter() - begun)
        yield found


@pytest.mark.benchmark(group="upgrade of 1 KB, idle, by who compiles")
@pytest.mark.parametrize("name", COMPILERS)
def test_compile_cost(benchmark: BenchmarkFixture, small: dict[str, list[float]], name: str) -> None:
    record(benchmark, small[name])
