"""How late after its deadline a call is stopped: with nothing beside it, and beside a thread that keeps the GIL.

One caller, an endless loop in the wasm. Deadlines of several lengths, since a tick is 5 ms: how they lie to each other
is part of how late it is. Calls begin at all moments of a tick.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter, sleep

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import hotswap
from goals import BESIDE, BUSY, QUIET
from measuring import record, sized_run

LOOP = '(module (func (export "loop") (loop br 0)))'
TIMEOUTS_MS = (20, 21, 23, 50, 52, 54)
TURNS = sized_run(short=2, usual=30)


@contextmanager
def busy() -> Iterator[None]:
    """A thread that runs Python and nothing else."""
    over = False

    def run() -> None:
        number = 0
        while not over:
            number += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over = True
        thread.join()


def plugin(exits: ExitStack, timeout_ms: int) -> hotswap.HotReloadablePlugin:
    builder = hotswap.ManifestBuilder("p", "1.0.0").limit("timeout_ms", timeout_ms).limit("fuel_limit", 0)
    return exits.enter_context(hotswap.HotReloadablePlugin("p", LOOP, builder.build()))


def late(one: hotswap.HotReloadablePlugin, timeout_ms: int) -> float:
    begun = perf_counter()
    try:
        one.call("loop")
    except hotswap.DeadlineExceeded:
        return perf_counter() - begun - timeout_ms / 1000
    raise AssertionError("an endless loop came to an end")


@pytest.fixture(scope="module")
def lateness() -> Iterator[dict[str, list[float]]]:
    found: dict[str, list[float]] = {beside: [] for beside in BESIDE}
    with ExitStack() as exits:
        plugins = {timeout_ms: plugin(exits, timeout_ms) for timeout_ms in TIMEOUTS_MS}
        for turn in range(TURNS):
            for timeout_ms, one in plugins.items():
                sleep(turn / TURNS * 0.005)
                found[QUIET].append(late(one, timeout_ms))
                with busy():
                    found[BUSY].append(late(one, timeout_ms))
        yield found


@pytest.mark.timeout(300)
@pytest.mark.benchmark(group="after the deadline of an endless loop, 1 caller")
@pytest.mark.parametrize("beside", BESIDE)
def test_late(benchmark: BenchmarkFixture, lateness: dict[str, list[float]], beside: str) -> None:
    record(benchmark, lateness[beside])
