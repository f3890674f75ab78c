"""A schedule replays exactly, and what would make that untrue is noticed: chance, accesses not announced."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sched_programs import counters, locked_counters, the_seeds_race
from scheduler import (
    Cell,
    Check,
    Limits,
    Nondeterministic,
    Reduction,
    Run,
    SchedulerSync,
    Shared,
    Unannounced,
    explore,
    replay,
    shortest,
)
from scheduler._guides import Guide
from scheduler._search import search
from scheduler._story import parsed, spelled

pytestmark = pytest.mark.schedules


def test_a_schedule_is_one_line() -> None:
    choices = [0, 0, 0, 3, 0, 7, 7, 5]
    assert spelled(choices) == "0x3,1,0,2tx2,1s"
    assert parsed("0x3,1,0,2tx2,1s") == parsed(" 0,0x2, 1,0,2t,2t,1s") == choices
    with pytest.raises(ValueError, match="found '1x'"):
        parsed("0,1x")


def test_two_runs_of_one_schedule_tell_the_same_story() -> None:
    first, second = (shortest(the_seeds_race) for _ in range(2))
    assert first is not None
    assert first == second
    told = str(first)
    assert "caller: AssertionError: a call runs on the version that was freed" in told
    assert "entered = epoch.value" in told, "the line of source"
    assert "stores to epoch#" in told, "the object, by the name it has in the source"


def test_a_schedule_of_another_program_is_refused() -> None:
    with pytest.raises(Nondeterministic, match="step 1 of the schedule is 5, possible are 0, 1"):
        replay(counters, "5", Limits())


def test_a_program_that_does_not_repeat_itself_is_noticed() -> None:
    runs = iter(range(1_000))

    def fickle(run: Run) -> Check:
        sync = SchedulerSync(run)
        objects = [sync.atomic(0), sync.atomic(0)]
        number = next(runs)

        def work() -> None:
            objects[number % 2].value += 1

        run.task("A", work)
        run.task("B", work)
        return lambda: None

    with pytest.raises(Nondeterministic):
        explore(fickle)


def test_chance_in_what_a_step_does_is_noticed_in_time() -> None:
    """The same accesses, but a store changes something or not: only careful runs see that."""
    runs = iter(range(1_000_000))

    def fickle(run: Run) -> Check:
        sync = SchedulerSync(run)
        flag, others = sync.atomic(0), [sync.atomic(0) for _ in range(4)]
        number = next(runs)

        def work() -> None:
            flag.value = number // 3 % 2
            for other in others:
                other.value = other.value + 1

        run.task("A", work)
        run.task("B", work)
        return lambda: None

    with pytest.raises(Nondeterministic):
        explore(fickle, reduction=Reduction.NONE)


# What is not announced -------------------------------------------------------------------------------


def test_an_access_without_its_announcement_is_refused() -> None:
    def sneaky(run: Run) -> Check:
        seen, unseen = Shared(run, "seen"), Shared(run, "unseen")

        def work() -> None:
            run.announce(seen, False, "reads")
            run.touch(unseen, False)

        run.task("A", work)
        return lambda: None

    def changes_what_it_said_it_reads(run: Run) -> Check:
        seen = Shared(run, "seen")

        def work() -> None:
            run.announce(seen, False, "reads")
            run.touch(seen, True)

        run.task("A", work)
        return lambda: None

    for program in (sneaky, changes_what_it_said_it_reads):
        failure = explore(program).failure
        assert failure is not None
        assert failure.kind is Unannounced


def plain(run: Run, *, lock: bool) -> Check:
    """The flag that hid a bug: shared, and neither announced nor guarded."""
    sync = SchedulerSync(run)
    closed, guard, other = Cell(run, False), sync.lock(), sync.lock()

    def closer() -> None:
        with guard:
            closed.set(True)

    def caller() -> None:
        with guard if lock else other:
            closed.get()

    run.task("closer", closer)
    run.task("caller", caller)
    return lambda: None


def test_a_plain_access_that_no_step_orders_is_found_in_any_schedule() -> None:
    limits = Limits(races=True)
    verdict = explore(lambda run: plain(run, lock=False), limits, reduction=Reduction.RACES)
    assert verdict.failure is not None
    assert verdict.failure.kind is Unannounced
    assert verdict.schedules == 1
    assert explore(lambda run: plain(run, lock=True), limits).failure is None


# The search --------------------------------------------------------------------------------------------


def test_search_takes_any_guide() -> None:
    class Last(Guide):
        def choose(self, enabled: list[int]) -> int:
            return enabled[-1]

    assert search(counters, Last(), "the last one", Limits()).outcomes == {2: 1}


def test_a_long_search_says_how_far_it_is() -> None:
    told = list[int]()
    explore(locked_counters, reduction=Reduction.NONE, progress=lambda runs, seconds: told.append(runs))
    assert told == sorted(set(told)) != []


def test_the_environment_can_ask_for_that(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SCHED_PROGRESS", "0.000001")
    monkeypatch.setattr("sys.__stderr__", sys.stderr)
    explore(locked_counters, reduction=Reduction.NONE)
    assert "test_the_environment_can_ask_for_that: 64 schedules, " in capfd.readouterr().err


@pytest.mark.parametrize("workers", ["0", "2"])
def test_and_pytest_lets_it_be_seen(workers: str) -> None:
    case = "test_interleavings.py::test_every_interleaving_keeps_s1_to_s8[execute, cancel]"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", workers, str(Path(__file__).parent / case)],
        env={**os.environ, "SCHED_PROGRESS": "0.000001"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"\[execute, cancel\]: 64 schedules, [\d,]+ a second", done.stderr)
