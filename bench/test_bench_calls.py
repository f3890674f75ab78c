"""The call ladder: one thread, nobody else; who makes the same call for how much. Blocks of all, in turn, in one run.

`hotswap: call` is guarded and has a deadline. Notes on what cannot be compared are kept with the figures.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from contenders import ADD, LADDER, LOOP_S, WORKLOADS, Contender, spins
from measuring import interleave, machine, record, sized_run
from native import Missing

TURNS = sized_run(short=3, usual=40)


class Ladder:
    def __init__(self, exits: ExitStack) -> None:
        self.machine = machine()
        self.made: dict[str, Contender] = {}
        self.missing: dict[str, str] = {}
        for name, make in LADDER.items():
            try:
                self.made[name] = make(spins(LOOP_S), exits)
            except Missing as why:
                self.missing[name] = str(why)

    @functools.cache  # noqa: B019  one ladder a process
    def times(self, workload: str) -> dict[str, list[float]]:
        able = {name: made.blocks[workload] for name, made in self.made.items() if workload in made.blocks}
        return interleave(able, TURNS)


@pytest.fixture(scope="module")
def ladder() -> Iterator[Ladder]:
    with ExitStack() as exits:
        yield Ladder(exits)


CASES = [
    pytest.param(name, workload, marks=pytest.mark.benchmark(group=f"{workload}, uncontended, one thread"))
    for workload in WORKLOADS
    for name in LADDER
    if workload == ADD or name not in ("ctypes no-op", "hotswap: guard alone")
]


@pytest.mark.parametrize(("name", "workload"), CASES)
def test_ladder(benchmark: BenchmarkFixture, ladder: Ladder, name: str, workload: str) -> None:
    if name in ladder.missing:
        pytest.skip(ladder.missing[name])
    facts = {"note": ladder.made[name].note, "missing": ladder.missing, "machine": ladder.machine}
    record(benchmark, ladder.times(workload)[name], **facts)
