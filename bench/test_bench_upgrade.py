"""What an upgrade costs: by the size of the module when nobody calls, and by the calls in flight that it drains.

Fresh bytes each time, and no compiled code is kept; but for *from the cache*, where the folder has the code of bytes
that are nowhere in the process any more.
"""

from __future__ import annotations

import gc
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from time import perf_counter

import pytest
import wasmtime
from pytest_benchmark.fixture import BenchmarkFixture

from contenders import spins
from hotswap import CompileCache, Cutover, HotReloadablePlugin, ManifestBuilder, use_compile_cache
from measuring import record, sized_run
from modules import fresh, sized

WAT = '(module (func (export "f") (result i32) i32.const {}))'
SIZES = sized_run(short=1, usual=3)
KILOBYTES = (1, 250, 1000)[:SIZES]
STEPS = ("compile alone", "prepare", "cut over")
CACHED = "from the cache"
TURNS = sized_run(short=2, usual=10)
DRAINS = sized_run(short=1, usual=5)
BODY_S = 60e-3
IN_FLIGHT = (1, 4, 16, 64)


@pytest.mark.benchmark(group="upgrade of a small plugin, idle")
@pytest.mark.parametrize("cutover", list(Cutover), ids=lambda c: c.name)
def test_upgrade(benchmark: BenchmarkFixture, cutover: Cutover) -> None:
    numbers = itertools.count(1)
    manifest = ManifestBuilder("u", "1.0.0").export("f").build()
    with HotReloadablePlugin("u", WAT.format(0), manifest, cutover=cutover) as plugin:
        benchmark(lambda: plugin.upgrade(WAT.format(next(numbers)), manifest, allow_rebuild=True))


def plugin(exits: ExitStack, wasm: bytes, instances: int) -> HotReloadablePlugin:
    builder = ManifestBuilder("bench", "1.0.0").export("spin").limit("max_instances", instances)
    manifest = builder.limit("fuel_limit", 0).limit("timeout_ms", 60_000).build()
    return exits.enter_context(HotReloadablePlugin("bench", fresh(wasm), manifest, drain_timeout=30))


def upgrade(made: HotReloadablePlugin, wasm: bytes) -> None:
    made.upgrade(wasm, made.manifest, allow_rebuild=True)


def through(cache: CompileCache, made: HotReloadablePlugin, wasm: bytes) -> float:
    """Seconds of an upgrade by way of the cache, when nothing in the process has these bytes."""
    gc.collect()
    use_compile_cache(cache)
    try:
        begun = perf_counter()
        upgrade(made, wasm)
        return perf_counter() - begun
    finally:
        use_compile_cache(None)


@pytest.fixture(scope="module")
def by_size(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[int, str], list[float]]]:
    """Seconds of each step, one figure a turn. Compiling alone has the settings that hotswap compiles with."""
    config = wasmtime.Config()
    config.epoch_interruption, config.parallel_compilation = True, False
    engine = wasmtime.Engine(config)
    found: dict[tuple[int, str], list[float]] = {}
    folder = tmp_path_factory.mktemp("cache")
    cache = CompileCache(folder / "modules", folder / "key")
    kept = {size: fresh(sized(size)) for size in KILOBYTES}
    with ExitStack() as exits:
        plugins = {size: plugin(exits, sized(size), instances=4) for size in KILOBYTES}
        for size in KILOBYTES:
            through(cache, plugins[size], kept[size])
        for _, size in itertools.product(range(TURNS), KILOBYTES):
            wasm, moments = sized(size), [perf_counter()]
            wasmtime.Module(engine, fresh(wasm))
            moments.append(perf_counter())
            plugins[size].prepare_upgrade(fresh(wasm), plugins[size].manifest, allow_rebuild=True)
            moments.append(perf_counter())
            plugins[size].execute_upgrade()
            moments.append(perf_counter())
            for step, (begun, ended) in zip(STEPS, itertools.pairwise(moments), strict=True):
                found.setdefault((size, step), []).append(ended - begun)
            found.setdefault((size, CACHED), []).append(through(cache, plugins[size], kept[size]))
        assert cache.stats.hits == TURNS * len(KILOBYTES)
        yield found


SIZE_CASES = [
    pytest.param(size, step, marks=pytest.mark.benchmark(group=f"upgrade of {size} KB, four instances, idle"))
    for size in KILOBYTES
    for step in (*STEPS, CACHED)
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("size", "step"), SIZE_CASES)
def test_cost(benchmark: BenchmarkFixture, by_size: dict[tuple[int, str], list[float]], size: int, step: str) -> None:
    record(benchmark, by_size[size, step], bytes=len(sized(size)))


@pytest.mark.timeout(600)
@pytest.mark.benchmark(group=f"drain of calls in flight, OVERLAP, {os.cpu_count()} cores")
@pytest.mark.parametrize("in_flight", IN_FLIGHT)
def test_drain(benchmark: BenchmarkFixture, in_flight: int) -> None:
    """So many threads make one call each; when all are in flight the upgrade cuts over, and waits for them."""
    rounds, drains, found = spins(BODY_S), [], []
    with ExitStack() as exits:
        made = plugin(exits, sized(1), instances=in_flight)
        for _ in range(DRAINS):
            made.prepare_upgrade(fresh(sized(1)), made.manifest, allow_rebuild=True)
            before = made.stats().total_drain_time_us
            back = threading.Event()
            callers = [threading.Thread(target=call_once, args=(made, rounds, back)) for _ in range(in_flight)]
            for caller in callers:
                caller.start()
            while (there := sum(made.stats().in_flight.values())) < in_flight and not back.wait(0.001):
                pass  # the first call that is back ends the wait, too: then fewer are in flight, and the report says so
            made.execute_upgrade()
            for caller in callers:
                caller.join()
            drains.append((made.stats().total_drain_time_us - before) / 1e6)
            found.append(there)
    record(benchmark, drains, in_flight=found, body_s=BODY_S, cores=os.cpu_count())


def call_once(made: HotReloadablePlugin, rounds: int, back: threading.Event) -> None:
    made.call("spin", rounds)
    back.set()
