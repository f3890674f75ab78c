"""What the guard and the pool add to a call: ratios, taken in one run, blocks of each kind in turn.

Uncontended, one thread. `bare` is wasmtime-py's own call, `func(store, a, b)`; `guarded` is the same call between the
core's admit and release; `plugin.call` is what embedders use, with argument checks and a deadline on top.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import pytest
import wasmtime
from pytest_benchmark.fixture import BenchmarkFixture

from hotswap import HotReloadablePlugin, ManifestBuilder

WAT = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
BLOCKS, CALLS = 60, 1_000
Body = Callable[[], object]


@pytest.fixture
def plugin() -> Iterator[HotReloadablePlugin]:
    manifest = ManifestBuilder("b", "1.0.0").export("add").limit("fuel_limit", 0).limit("timeout_ms", 60_000).build()
    with HotReloadablePlugin("b", WAT, manifest) as made:
        yield made


def bodies(plugin: HotReloadablePlugin) -> dict[str, Body]:
    core = plugin._protocol
    store = wasmtime.Store(wasmtime.Engine())
    func = wasmtime.Instance(store, wasmtime.Module(store.engine, bytes(wasmtime.wat2wasm(WAT))), []).exports(store)[
        "add"
    ]
    assert isinstance(func, wasmtime.Func)

    def bare() -> object:
        return func(store, 1, 2)

    def guarded() -> object:
        lease = None
        try:
            lease = core.admit() or plugin._queue()
            return func(store, 1, 2)
        finally:
            if lease is not None:
                core.release(lease)

    def full() -> object:
        return plugin.call("add", 1, 2)

    return {"bare": bare, "guarded": guarded, "plugin.call": full}


@pytest.mark.benchmark(group="i32 add, uncontended, one thread")
@pytest.mark.parametrize("kind", ["bare", "guarded", "plugin.call"])
def test_call(benchmark: BenchmarkFixture, plugin: HotReloadablePlugin, kind: str) -> None:
    benchmark(bodies(plugin)[kind])


@pytest.mark.benchmark(group="ratio to bare, uncontended, one thread")
def test_guard_and_pool_add_at_most_5_percent_to_a_bare_call(
    benchmark: BenchmarkFixture, plugin: HotReloadablePlugin, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = bodies(plugin)
    times: dict[str, list[float]] = {kind: [] for kind in kinds}

    def block(body: Body) -> float:
        begun = time.perf_counter()
        for _ in range(CALLS):
            body()
        return time.perf_counter() - begun

    def rounds() -> None:
        for _ in range(BLOCKS):
            for kind, body in kinds.items():
                times[kind].append(block(body))

    benchmark.pedantic(rounds, rounds=1)  # type: ignore[no-untyped-call]
    ratios = {
        kind: [mine / bare for mine, bare in zip(times[kind], times["bare"], strict=True)]
        for kind in kinds
        if kind != "bare"
    }
    with capsys.disabled():
        for kind, found in ratios.items():
            low, middle, high = statistics.quantiles(found, n=4)
            benchmark.extra_info[kind] = middle
            print(f"\n{kind} / bare: median {middle:.3f} (quartiles {low:.3f} to {high:.3f})", end="")
    assert statistics.median(ratios["guarded"]) <= 1.05
