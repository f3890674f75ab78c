"""What the monitor costs a call: calls with it on, as a ratio to calls without it, in one run, blocks in turn.

That it costs nothing when it is off is no figure: `model_tests/test_monitor.py` shows that the code is the same then.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hotswap import HotReloadablePlugin, ManifestBuilder
from hotswap.monitor import Monitor

WAT = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
BLOCKS, CALLS = 40, 400
Plugins = dict[str, HotReloadablePlugin]


@pytest.fixture
def plugins() -> Iterator[Plugins]:
    """The same plugin with the monitor off and on; what the monitor found must be nothing."""
    manifest = ManifestBuilder("b", "1.0.0").export("add").limit("fuel_limit", 0).limit("timeout_ms", 60_000).build()
    with (
        Monitor() as monitor,
        HotReloadablePlugin("b", WAT, manifest) as off,
        HotReloadablePlugin("b", WAT, manifest, monitor=monitor) as on,
    ):
        yield {"off": off, "on": on}
        assert monitor.flush(20)
        assert (monitor.divergences, monitor.failure, monitor.lost) == ([], None, False)


def calls_of(plugin: HotReloadablePlugin, calls: int = CALLS) -> None:
    for _ in range(calls):
        plugin.call("add", 1, 2)


def guard_alone(plugin: HotReloadablePlugin, calls: int = CALLS) -> None:
    """Admit and release, and no wasm between: the ratio that faster calls would come near to."""
    core = plugin._protocol
    for _ in range(calls):
        lease = core.admit()
        assert lease is not None
        core.release(lease)


def on_threads(plugin: HotReloadablePlugin, threads: int = 4) -> None:
    """So many threads share the calls of a block."""
    many = [threading.Thread(target=calls_of, args=(plugin, CALLS // threads)) for _ in range(threads)]
    for one in many:
        one.start()
    for one in many:
        one.join()


def under_upgrades(plugin: HotReloadablePlugin) -> None:
    """Two upgrades in a block of calls: their steps are checked on another thread meanwhile."""
    manifest = plugin.manifest
    for _ in range(2):
        calls_of(plugin, CALLS // 2)
        plugin.upgrade(WAT, manifest, allow_rebuild=True)


@pytest.mark.benchmark(group="i32 add, uncontended, one thread")
@pytest.mark.parametrize("monitor", ["off", "on"])
def test_call(benchmark: BenchmarkFixture, plugins: Plugins, monitor: str) -> None:
    benchmark(plugins[monitor].call, "add", 1, 2)


@pytest.mark.benchmark(group="the monitor on, as a ratio to off")
@pytest.mark.parametrize("load", [calls_of, guard_alone, on_threads, under_upgrades], ids=lambda load: load.__name__)
def test_ratio(
    benchmark: BenchmarkFixture,
    plugins: Plugins,
    load: Callable[[HotReloadablePlugin], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    times: dict[str, list[float]] = {kind: [] for kind in plugins}

    def block(plugin: HotReloadablePlugin) -> float:
        begun = time.perf_counter()
        load(plugin)
        return time.perf_counter() - begun

    def rounds() -> None:
        for _ in range(BLOCKS):
            for kind, plugin in plugins.items():
                times[kind].append(block(plugin))

    benchmark.pedantic(rounds, rounds=1)  # type: ignore[no-untyped-call]
    ratios = [on / off for on, off in zip(times["on"], times["off"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    best = {kind: CALLS / min(found) for kind, found in times.items()}
    benchmark.extra_info["ratio"] = middle
    with capsys.disabled():
        print(
            f"\n{load.__name__}: time with the monitor / without: median {middle:.2f} "
            f"(quartiles {low:.2f} to {high:.2f}); at best {best['off']:,.0f} calls/s without, {best['on']:,.0f} with",
            end="",
        )
