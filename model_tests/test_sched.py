"""The scheduler itself: it finds what is known to be there, leaves nothing out, and replays exactly."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sched_programs import (
    bags,
    children,
    counters,
    locked_counters,
    must_be,
    parkers,
    spins,
    stores_and_a_lock,
    the_seeds_race,
    two_locks,
    waits_for_a_timeout,
    waits_well,
    waits_with_if,
    wakes_too_soon,
)
from scheduler import (
    Check,
    CheckFailed,
    Deadlock,
    Limits,
    Livelock,
    LostWakeup,
    Program,
    Reduction,
    Run,
    SchedulerClock,
    SchedulerSync,
    Shared,
    TaskFailed,
    UnknownFootprint,
    explore,
    replay,
    sample,
    shortest,
)

pytestmark = pytest.mark.schedules

ONE_OF_EACH = Limits(timeouts=1, spurious=1)


@pytest.mark.parametrize(
    ("program", "limits"),
    [
        (counters, Limits()),
        (locked_counters, Limits()),
        (stores_and_a_lock, Limits()),
        (bags, Limits()),
        (parkers, Limits()),
        (parkers, Limits(timeouts=1)),
        (parkers, ONE_OF_EACH),
        (children, Limits()),
    ],
)
def test_what_is_left_out_changes_no_outcome(program: Program, limits: Limits) -> None:
    full, asleep, raced = (explore(program, limits, reduction=reduction) for reduction in Reduction)
    assert full.coverage == asleep.coverage == raced.coverage == "exhaustive"
    assert set(full.outcomes) == set(asleep.outcomes) == set(raced.outcomes)
    assert asleep.schedules == raced.schedules < full.schedules, "each class is run to its end once"
    assert raced.pruned <= asleep.pruned


def test_the_counts_of_small_programs_are_known() -> None:
    """n critical sections have n! orders; two unlocked increments of three steps each, 6 over 3 schedules."""
    assert explore(locked_counters).schedules == 6
    assert explore(counters, reduction=Reduction.NONE).schedules == 20


def test_a_bound_of_preemptions_is_kept_and_reaches_everything_in_the_end() -> None:
    found = [set(explore(bags, preemptions=bound).outcomes) for bound in range(5)]
    assert found[0] < found[1] <= found[2] <= found[3] <= found[4]
    assert found[4] == set(explore(bags).outcomes)


DEFECTS = [
    (must_be(counters, 2), CheckFailed, Limits(), 1),
    (two_locks, Deadlock, Limits(), 1),
    (wakes_too_soon, LostWakeup, Limits(), 1),
    (waits_with_if, TaskFailed, Limits(spurious=1), 0),
    (spins, Livelock, Limits(steps=50), 0),
    (waits_for_a_timeout, LostWakeup, Limits(), 0),
    (the_seeds_race, TaskFailed, Limits(), 1),
]


@pytest.mark.parametrize(("program", "kind", "limits", "preemptions"), DEFECTS)
def test_a_known_defect_is_found_and_its_line_replays_it(
    program: Program, kind: type[Exception], limits: Limits, preemptions: int
) -> None:
    for reduction in Reduction:
        assert (failure := explore(program, limits, reduction=reduction).failure) is not None
        assert failure.kind is kind
    bounds = [explore(program, limits, preemptions=bound).failure for bound in range(preemptions + 1)]
    assert [failure is not None for failure in bounds] == [False] * preemptions + [True]
    found = shortest(program, limits)
    assert found == bounds[-1]
    assert found is not None
    assert replay(program, found.schedule, limits) == found
    assert found.kind is kind


@pytest.mark.parametrize("program", [locked_counters, waits_well])
def test_a_program_without_defect_passes(program: Program) -> None:
    verdict = explore(program, Limits(spurious=2))
    assert verdict.failure is None
    assert verdict.coverage == "exhaustive"


def test_time_passes_when_nobody_can_go_on_if_that_is_allowed() -> None:
    assert set(explore(waits_for_a_timeout, Limits(idle=True)).outcomes) == {5.0}


def test_a_verdict_says_what_it_means() -> None:
    assert str(explore(counters)).startswith("exhaustive: ")
    assert str(explore(counters, preemptions=1)).startswith("bounded to 1 preemptions: ")
    assert str(sample(counters, runs=9)) == "sampled with seed 0: 9 schedules (+ 0 pruned), 54 steps"
    assert str(explore(bags, runs_max=3)).startswith("cut off after 3 runs, exhaustive otherwise: ")
    assert str(explore(two_locks)).startswith("stopped: ")


def test_a_clock_is_read_and_moves_only_by_timeouts() -> None:
    def program(run: Run) -> Check:
        clock, parker, seen = SchedulerClock(run), SchedulerSync(run).parker(), list[float]()

        def looker() -> None:
            seen.extend([clock.now(), clock.now()])

        run.task("sleeper", lambda: parker.park(5.0))
        run.task("looker", looker)
        return lambda: tuple(seen)

    assert set(explore(program, Limits(timeouts=1)).outcomes) == {(0.0, 0.0), (0.0, 5.0), (5.0, 5.0)}


def test_an_unknown_footprint_conflicts_with_everything() -> None:
    def program(run: Run) -> Check:
        mute, order = Shared(run, "mute"), list[str]()

        def worker(name: str) -> Callable[[], None]:
            def work() -> None:
                run.announce(mute, True, "does something to")
                order.append(name)

            return work

        for name in "ABC":
            run.task(name, worker(name))
        return lambda: tuple(order)

    assert len(explore(program, reduction=Reduction.SLEEP).outcomes) == 6
    with pytest.raises(UnknownFootprint, match="not known"):
        explore(program, reduction=Reduction.RACES)


def test_finalizers_run_where_the_last_reference_goes_and_may_touch_what_is_shared() -> None:
    def program(run: Run) -> Check:
        bag = SchedulerSync(run).bag(list[int]())

        class Lease:
            def __del__(self) -> None:
                bag.append(1)

        def drops() -> None:
            lease = Lease()
            del lease

        run.task("drops", drops)
        run.task("counts", lambda: len(bag))
        return lambda: len(bag)

    for reduction in Reduction:
        assert set(explore(program, reduction=reduction).outcomes) == {1}
