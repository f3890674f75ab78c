"""How many schedules a second the scheduler makes, on production code.

The bounds hold for the exhaustive search of the production core and protocol with one caller and one operator who
cuts over (`model_tests/sched_core.py`): on fakes and greenlets, and on real wasm and threads of the system, with the
same classes of schedules in both. Beside them, without a bound: two callers, cut off, and the whole plugin. The best
of several rounds counts, and time is the processor's, so that what other processes take is not counted. One thread
runs at a time: on an idle machine the clock says the same, but for the moments in which one thread wakes the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from interleaved_workloads import CASES
from sched_core import core
from scheduler import Limits, Program, Threads, explore
from scheduler._wasm import SchedulerWasmRuntime, ticking
from scheduler._watch import watched
from worlds import wat

ON_THREADS = Limits(backend=Threads)
ON_FAKES_MIN, ON_WASM_MIN = 5_000, 1_500
CLASSES = 704

pytestmark = pytest.mark.benchmark(timer=time.process_time)


@pytest.fixture(autouse=True)
def _watched() -> Iterator[None]:
    with watched(checked=False), ticking():
        yield


def per_second(
    benchmark: BenchmarkFixture, program: Program, limits: Limits, runs_max: int | None = None, rounds: int = 8
) -> tuple[int, float]:
    """How many schedules there are, and how many of them a second."""
    verdict = benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: explore(program, limits, runs_max=runs_max), rounds=rounds, warmup_rounds=1
    )
    assert verdict.failure is None, str(verdict)
    assert benchmark.stats
    rate = verdict.schedules / benchmark.stats.stats.min
    benchmark.extra_info["schedules_per_second"] = round(rate)
    print(f"\n{benchmark.name}: {rate:,.0f} schedules a second")
    return verdict.schedules, rate


@pytest.mark.benchmark(group="schedules, caller and operator on the core, fakes, greenlets")
def test_core_on_greenlets(benchmark: BenchmarkFixture) -> None:
    schedules, rate = per_second(benchmark, core(1), Limits())
    assert schedules == CLASSES
    assert rate >= ON_FAKES_MIN, f"{rate:,.0f} schedules a second"


@pytest.mark.benchmark(group="schedules, caller and operator on the core, fakes, threads")
def test_core_on_threads(benchmark: BenchmarkFixture) -> None:
    schedules, _ = per_second(benchmark, core(1), ON_THREADS)
    assert schedules == CLASSES


@pytest.mark.benchmark(group="schedules, caller and operator on the core, real wasm")
def test_core_on_threads_with_wasm(benchmark: BenchmarkFixture) -> None:
    schedules, rate = per_second(benchmark, core(1, SchedulerWasmRuntime, wat), ON_THREADS)
    assert schedules == CLASSES
    assert rate >= ON_WASM_MIN, f"{rate:,.0f} schedules a second"


@pytest.mark.benchmark(
    group="schedules, two callers and operator on the core, fakes, cut off after 3,000", timer=time.process_time
)
def test_core_with_two_callers(benchmark: BenchmarkFixture) -> None:
    per_second(benchmark, core(2), Limits(), runs_max=3_000, rounds=3)


@pytest.mark.benchmark(
    group="schedules, call and execute on the whole plugin, fakes, greenlets", timer=time.process_time
)
def test_plugin_on_greenlets(benchmark: BenchmarkFixture) -> None:
    case = CASES["call, execute"]
    schedules, _ = per_second(benchmark, case.program, case.limits, rounds=3)
    assert schedules == 1_312


@pytest.mark.benchmark(group="schedules, call and execute on the whole plugin, fakes, threads")
def test_plugin_on_threads(benchmark: BenchmarkFixture) -> None:
    case = CASES["call, execute"]
    schedules, _ = per_second(benchmark, case.program, replace(case.limits, backend=Threads), rounds=3)
    assert schedules == 1_312
