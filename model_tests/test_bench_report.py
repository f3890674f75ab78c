"""What the report of the benches says of a goal follows from the figures; and the report in docs shows every goal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chart import chart
from goals import FASTER_MIN, GOALS, TWO_THREADS_MIN, Answer, judged, stall, two_threads
from measuring import percentiles, quartiles
from runs import Run, megabytes, seconds, times

DOCS = Path(__file__).parent.parent / "docs"


def bench(test: str, found: list[float], facts: dict[str, Any] | None = None, **params: object) -> dict[str, Any]:
    name = f"test_{test}[{'-'.join(map(str, params.values()))}]"
    return {"name": name, "group": "g", "params": params, "stats": {"data": found}, "extra_info": facts or {}}


def run(*benches: dict[str, Any], python: str = "3.13.0") -> Run:
    return Run({"machine_info": {"python_version": python}, "commit_info": {"id": "c"}, "benchmarks": list(benches)})


def calls(**ns: float) -> Iterator[dict[str, Any]]:
    for name, took in ns.items():
        yield bench("ladder", [took * 1e-9] * 3, name=NAMES[name], workload="i32 add")


NAMES = {"bare": "bare wasmtime-py", "call": "hotswap: call", "floor": "ctypes no-op"}


def verdict(of: Run, starts: str) -> Answer:
    (found,) = [answer for text, answer in judged(of) if text.startswith(starts)]
    return found


@pytest.mark.parametrize(("took", "met"), [(499.0, True), (501.0, False)])
def test_faster_than_bare(took: float, met: bool) -> None:
    assert verdict(run(*calls(bare=500.0 * FASTER_MIN, call=took)), f"i32 add: at least {FASTER_MIN}x").met is met


@pytest.mark.parametrize(("python", "met"), [("3.13.0", False), ("3.11.7", True)])
def test_the_floor_allows_older_interpreters_more(python: str, met: bool) -> None:
    assert verdict(run(*calls(call=210.0, floor=100.0), python=python), "i32 add: at most").met is met


def test_a_goal_that_was_not_measured_is_neither_met_nor_missed() -> None:
    assert {answer.met for _, answer in judged(run())} == {None}


@pytest.mark.parametrize(("took", "met"), [(0.005, True), (0.0051, False)])
def test_an_upgrade_from_the_cache(took: float, met: bool) -> None:
    cost = bench("cost", [took] * 3, size=1000, step="from the cache")
    assert verdict(run(cost), "upgrade to 1 MB that is in the compile cache").met is met


@pytest.mark.parametrize(("latest", "met"), [(0.01, True), (0.0101, False)])
def test_the_latest_stop_counts(latest: float, met: bool) -> None:
    assert verdict(run(bench("late", [0.001, latest], beside="nothing")), "an endless loop beside nothing").met is met


def crew(name: str, up: float) -> Iterator[dict[str, Any]]:
    for body in ("1 us", "10 us", "100 us", "1 ms", "5 ms"):
        for count, took in ((1, up), (2, 1.0)):
            yield bench("threads", [took] * 3, name=name, body=body, count=count)


@pytest.mark.parametrize(
    ("ours", "control", "met"),
    [(TWO_THREADS_MIN, 1.9, True), (TWO_THREADS_MIN - 0.01, 1.9, False), (TWO_THREADS_MIN, 1.8, None)],
)
def test_two_threads_are_judged_where_the_control_reaches_its_own(ours: float, control: float, met: bool) -> None:
    assert two_threads(run(*crew("hotswap", ours), *crew("C", control))).met is met


@pytest.mark.parametrize(("longest", "met"), [(0.02, True), (0.021, False)])
def test_the_longest_call_is_that_of_all_turns(longest: float, met: bool) -> None:
    facts = {"latencies": {"during": {"max": longest}}}
    names = ("hotswap: OVERLAP", "lock and replace")
    assert stall(run(*(bench("upgrade_under_load", [1.0], facts, name=name) for name in names)), names[0]).met is met


def test_the_report_shows_every_goal() -> None:
    page = (DOCS / "benchmarks.md").read_text()
    assert [text for text, *_ in GOALS if f"| {text} |" not in page] == []


def test_the_chart_draws_what_there_is() -> None:
    drawn = chart(run(*calls(bare=20_000.0, floor=200.0)))
    assert drawn.count("<rect ") == 2
    assert "20 us" in drawn
    assert "200 ns" in drawn


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (seconds(14e-9), "14 ns"),
        (seconds(999.6e-9), "1 us"),
        (seconds(0.0271), "27.1 ms"),
        (seconds(2), "2 s"),
        (times(0.512), "0.512x"),
        (times(1234.5), "1,234x"),
        (megabytes(200e6), "200.0 MB"),
    ],
)
def test_how_figures_are_written(written: str, text: str) -> None:
    assert written == text


def test_percentiles_and_quartiles() -> None:
    assert percentiles([float(each) for each in range(1000, 0, -1)]) == {
        "p50": 501.0,
        "p99": 991.0,
        "p99.9": 1000.0,
        "max": 1000.0,
    }
    assert quartiles([3.0, 1.0, 2.0]) == (1.5, 2.0, 2.5)
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)
