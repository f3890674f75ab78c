"""Schedules by random priorities find known defects as often as they must, and nothing where nothing is."""

from __future__ import annotations

import pytest

from sched_programs import (
    counters,
    locked_counters,
    must_be,
    parkers,
    the_seeds_race,
    two_locks,
    waits_for_a_timeout,
    waits_well,
    waits_with_if,
    wakes_too_soon,
)
from scheduler import CheckFailed, Deadlock, Limits, LostWakeup, Program, TaskFailed, pct, replay

pytestmark = pytest.mark.schedules


@pytest.mark.parametrize(
    ("program", "kind", "limits", "depth"),
    [
        (must_be(counters, 2), CheckFailed, Limits(), 2),
        (the_seeds_race, TaskFailed, Limits(), 2),
        (two_locks, Deadlock, Limits(), 2),
        (wakes_too_soon, LostWakeup, Limits(), 2),
        (waits_with_if, TaskFailed, Limits(spurious=1), 2),
        (waits_for_a_timeout, LostWakeup, Limits(), 1),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_a_known_defect_is_found_soon(
    program: Program, kind: type[Exception], limits: Limits, depth: int, seed: int
) -> None:
    found = pct(program, limits, runs=100, depth=depth, seed=seed)
    assert found.failure is not None
    assert found.failure.kind is kind
    assert replay(program, found.failure.schedule, limits) == found.failure
    assert found == pct(program, limits, runs=100, depth=depth, seed=seed), "the seed decides"


def test_a_run_finds_a_defect_with_the_probability_that_is_promised() -> None:
    """Two tasks of three steps; the lost update needs one change of priorities."""
    runs = 2_000
    lost = pct(counters, runs=runs, depth=2, steps=6).outcomes[1]
    assert lost / runs >= 1 / (2 * 6)


def test_without_a_change_of_priorities_nobody_is_preempted() -> None:
    """A preemption is what the lost update needs."""
    assert set(pct(counters, runs=50, depth=1).outcomes) == {2}
    assert set(pct(counters, runs=50, depth=2).outcomes) == {1, 2}


def test_a_wait_that_ends_by_itself_has_a_priority_of_its_own() -> None:
    outcomes = pct(parkers, Limits(timeouts=1), runs=100).outcomes
    assert {outcome[1] for outcome in outcomes if isinstance(outcome, tuple)} == {0.0, 5.0}


@pytest.mark.parametrize("program", [locked_counters, waits_well])
def test_nothing_is_found_where_nothing_is(program: Program) -> None:
    verdict = pct(program, Limits(spurious=1), runs=200, depth=3)
    assert verdict.failure is None
    assert verdict.coverage == "sampled: PCT of depth 3, 200 runs, seed 0"
    assert verdict.schedules == 200


def test_a_depth_needs_as_many_steps() -> None:
    with pytest.raises(ValueError, match="as many steps"):
        pct(counters, runs=1, depth=9, steps=2)
