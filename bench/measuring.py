"""How the benches measure: contenders in turn, in blocks, in one run; every block is kept, and handed on as it was.

A machine's speed drifts while a bench runs, so figures of two moments cannot be compared. Here each turn times one
block of calls of every contender, and a ratio is taken within a turn. pytest-benchmark shows and saves the blocks.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import statistics
import subprocess
import sys
import timeit
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_benchmark.fixture import BenchmarkFixture

HERE: Final = Path(__file__).resolve().parent
SIZE: Final = os.environ.get("BENCH", "usual")
"""How long to run: `usual`, or `short`, which tells whether everything works, and no figures."""

os.environ.setdefault("HOTSWAP_COMPILE", "inprocess")
"""Modules are compiled where they are needed, here and in the processes that are started: what takes its time is to be
what a bench is about. `test_bench_compile.py` asks for the child where it wants it."""

Block = Callable[[int], float]
"""Makes so many calls, and says how many seconds they took."""


def sized_run(short: int, usual: int) -> int:
    """One of the two, as the environment asks."""
    return {"short": short, "usual": usual}[SIZE]


def machine() -> dict[str, object]:
    """What figures depend on, apart from what pytest-benchmark notes itself."""
    packages = {name: _version(name) for name in ("wasmtime", "extism", "pywasm3", "pluggy")}
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    return {"cores": os.cpu_count(), "load": os.getloadavg()[0], "size": SIZE, "gil": gil, "packages": packages}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def statement(text: str, names: Mapping[str, Any]) -> Block:
    """A block of a Python statement, compiled into its loop; the collector of cycles is off meanwhile."""
    timer = timeit.Timer(text, globals=dict(names))
    return lambda calls: timer.timeit(calls)


def interleave(contenders: Mapping[str, Block], turns: int, block_s: float = 0.002) -> dict[str, list[float]]:
    """Seconds a call, one figure a turn, for each contender; blocks are about as long as said."""
    calls = {name: calls_in(block, block_s) for name, block in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(turns):
        for name, block in contenders.items():
            times[name].append(block(calls[name]) / calls[name])
    return times


def calls_in(block: Block, seconds: float) -> int:
    """How many calls take about that long, by the best of three, since a block that was interrupted says nothing.

    Finding out warms the contender up, too.
    """
    for calls in (1 << power for power in itertools.count()):
        took = min(block(calls) for _ in range(3))
        if took >= seconds / 2:
            return max(1, round(calls * seconds / took))
    raise AssertionError  # for mypy: it counts without end


def record(benchmark: BenchmarkFixture, seconds: Sequence[float], **facts: object) -> None:
    """Hand what was measured to pytest-benchmark, one round each: it reads a clock that shows these seconds."""
    readings = itertools.chain.from_iterable((0.0, each) for each in seconds)
    benchmark._timer = lambda: next(readings)
    benchmark.pedantic(lambda: None, rounds=len(seconds))  # type: ignore[no-untyped-call]
    assert benchmark.stats is None or benchmark.stats.stats.data == list(seconds)
    benchmark.extra_info.update(facts)


def quartiles(found: Sequence[float]) -> tuple[float, float, float]:
    if len(found) == 1:
        return (found[0],) * 3
    low, middle, high = statistics.quantiles(found, n=4, method="inclusive")
    return low, middle, high


def ratios(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Turn by turn."""
    return [one / other for one, other in zip(mine, theirs, strict=True)]


PERCENTILES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


def percentiles(found: Sequence[float]) -> dict[str, float]:
    """Nearest rank, of sorted or unsorted figures."""
    order = sorted(found)
    return {name: order[min(len(order) - 1, int(len(order) * part))] for name, part in PERCENTILES.items() if order}


def in_a_process(script: str, *arguments: object, **environment: str) -> Any:
    """What a script of this folder prints, as JSON; in a process of its own, so that its memory is its own."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


class Elsewhere:
    """Blocks that a script of this folder runs in its own process, when asked: their seconds compare with ours.

    The script reads a line of the workload's name and the number of calls, and answers with a line of seconds.
    """

    def __init__(self, script: str, *arguments: object, **environment: str) -> None:
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
        self._process = subprocess.Popen(
            command, env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def block(self, workload: str) -> Block:
        def ask(calls: int) -> float:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(f"{workload}\t{calls}\n")
            self._process.stdin.flush()
            return float(self._process.stdout.readline())

        return ask

    def close(self) -> None:
        self._process.communicate()


def answer_blocks(blocks: Mapping[str, Block]) -> None:
    """The other end of `Elsewhere`."""
    for line in sys.stdin:
        workload, calls = line.rstrip("\n").split("\t")
        print(blocks[workload](int(calls)), flush=True)
