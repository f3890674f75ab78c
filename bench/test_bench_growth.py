"""What grows with the number of plugins, of instances and of reloads, and what does not. One thread, nobody else.

A process may have 16,000 instances at once; 10,000 plugins with one each stay below. Each bench has a child process.
"""

from __future__ import annotations

import functools
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from measuring import in_a_process, record, sized_run

PLUGINS = (1, 10, 100, 1_000, 10_000)[: sized_run(short=3, usual=5)]
INSTANCES = (1, 4, 16, 64)
RELOADS = sized_run(short=100, usual=10_000)

grown = functools.cache(in_a_process)


def figures(what: str, numbers: tuple[int, ...], number: int) -> dict[str, Any]:
    found: dict[str, Any] = grown("growth.py", what, *numbers)[numbers.index(number)]
    return found.copy()


@pytest.mark.timeout(900)
@pytest.mark.benchmark(group="plugins of one instance each: a call of i32 add, uncontended, one thread")
@pytest.mark.parametrize("number", PLUGINS)
def test_plugins(benchmark: BenchmarkFixture, number: int) -> None:
    found = figures("plugins", PLUGINS, number)
    record(benchmark, found.pop("call"), **found)


@pytest.mark.timeout(900)
@pytest.mark.benchmark(group="instances of one version: a call of i32 add, uncontended, one thread")
@pytest.mark.parametrize("number", INSTANCES)
def test_instances(benchmark: BenchmarkFixture, number: int) -> None:
    found = figures("instances", INSTANCES, number)
    record(benchmark, found.pop("call"), **found)


@pytest.mark.timeout(900)
@pytest.mark.benchmark(group="reloads of a small plugin, uncontended, one thread")
def test_reloads(benchmark: BenchmarkFixture) -> None:
    found = figures("reloads", (RELOADS,), RELOADS)
    record(benchmark, found.pop("upgrade"), **found)
