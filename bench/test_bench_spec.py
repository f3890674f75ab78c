"""How many states of the admission level the explorer visits in a second, with every property checked.

The best of several runs counts: what is slower is another process's doing. The collector of cycles is off, as it is
in the command.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hotswap_spec import LEVELS
from hotswap_spec._explore import Exploration

STATES_PER_SECOND_MIN = 50_000


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.benchmark(group="exploration, every property checked", min_rounds=20)
def test_admission(benchmark: BenchmarkFixture) -> None:
    level = LEVELS["admission"]
    size, states = level.bounds["small"]
    found = benchmark(Exploration, level, level.initial(**size))
    assert len(found.states) == states
    assert benchmark.stats
    per_second = states / benchmark.stats.stats.min
    benchmark.extra_info["states_per_second"] = round(per_second)
    assert per_second >= STATES_PER_SECOND_MIN, f"{per_second:,.0f} states a second"
