"""Two and four threads against one: what the body of a call must cost before more threads do more calls.

The control is C: threads of the system on instances of the same module, in the same turn. What it does not reach, the
machine does not give. Every thread has an instance of its own, and all of them check for the tick.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import product
from time import perf_counter

import pytest
import wasmtime
from pytest_benchmark.fixture import BenchmarkFixture

from contenders import BODIES, plugin, spins
from measuring import calls_in, record, sized_run, statement
from modules import OURS, binary
from native import Calls, Missing, on_threads

TURNS = sized_run(short=3, usual=15)
BLOCK_S = 0.02
THREADS = (1, 2, 4)
Run = Callable[[int, int, int], float]
"""Of so many threads, each makes so many calls of so many rounds: seconds."""


class Crew:
    """Threads that stay, since to start one costs more than some blocks; each runs the calls that it was made for."""

    def __init__(self, calls: list[Callable[[int], object]]) -> None:
        self._calls, self._todo = calls, 0
        self._gates = {count: threading.Barrier(count + 1) for count in THREADS}
        self._wanted = [threading.Semaphore(0) for _ in calls]
        self._count, self._rounds = 0, 0
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(len(calls))]
        for thread in self._threads:
            thread.start()

    def run(self, count: int, calls: int, rounds: int) -> float:
        self._count, self._todo, self._rounds = count, calls, rounds
        for wanted in self._wanted[:count]:
            wanted.release()
        self._gates[count].wait()
        begun = perf_counter()
        self._gates[count].wait()
        return perf_counter() - begun

    def close(self) -> None:
        self._count = 0
        for wanted in self._wanted:
            wanted.release()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        call = self._calls[number]
        block = statement("call(crew._rounds)", {"call": call, "crew": self})
        while self._wanted[number].acquire() and self._count:
            gate = self._gates[self._count]
            gate.wait()
            block(self._todo)
            gate.wait()


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Run]]:
    config = wasmtime.Config()
    config.epoch_interruption = True
    engine = wasmtime.Engine(config)
    module = wasmtime.Module(engine, binary(OURS))
    most = max(THREADS)

    def bare() -> Callable[[int], object]:
        store = wasmtime.Store(engine)
        store.set_epoch_deadline(1 << 60)
        spin = wasmtime.Instance(store, module, []).exports(store)["spin"]
        assert isinstance(spin, wasmtime.Func)
        return lambda rounds: spin(store, rounds)

    with ExitStack() as exits:
        made = plugin(exits, instances=most)
        ours = Crew([lambda rounds: made.call("spin", rounds)] * most)
        exits.callback(ours.close)
        others = Crew([bare() for _ in range(most)])
        exits.callback(others.close)
        found: dict[str, Run] = {"hotswap": ours.run, "bare wasmtime-py": others.run}
        try:
            in_c = [Calls(engine, module, ticks=True) for _ in range(most)]
            found["C"] = lambda count, calls, rounds: on_threads(in_c[:count], "spin", rounds, calls)
        except Missing:
            pass
        yield found


def alone(run: Run, rounds: int, calls: int) -> float:
    return run(1, calls, rounds)


@pytest.fixture(scope="module")
def taken(runs: dict[str, Run]) -> dict[tuple[str, str, int], list[float]]:
    """Seconds that a call of each costs the whole crew: by contender, body and threads, one figure a turn."""
    times: dict[tuple[str, str, int], list[float]] = {}
    for body, seconds in BODIES.items():
        rounds = spins(seconds)
        calls = {name: calls_in(partial(alone, run, rounds), BLOCK_S) for name, run in runs.items()}
        for _, name, count in product(range(TURNS), runs, THREADS):
            took = runs[name](count, calls[name], rounds)
            times.setdefault((name, body, count), []).append(took / (calls[name] * count))
    return times


CASES = [
    pytest.param(
        name, body, count, marks=pytest.mark.benchmark(group=f"threads, {body} bodies, {os.cpu_count()} cores")
    )
    for body in BODIES
    for name in ("C", "hotswap", "bare wasmtime-py")
    for count in THREADS
]


@pytest.mark.parametrize(("name", "body", "count"), CASES)
def test_threads(
    benchmark: BenchmarkFixture, taken: dict[tuple[str, str, int], list[float]], name: str, body: str, count: int
) -> None:
    if (name, body, count) not in taken:
        pytest.skip("no C control here")
    record(benchmark, taken[name, body, count])
