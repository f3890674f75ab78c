"""Accesses that join the step before them: no outcome, no defect and no class of schedules is lost by that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sched_programs import bags, children, locked_counters, parkers, stores_and_a_lock, waits_well
from scheduler import Check, Limits, Livelock, Program, Reduction, Run, SchedulerSync, explore, replay

pytestmark = pytest.mark.schedules

Act = tuple[Any, ...]
"""`read i`, `write i value`, `append value`, `pop`, `copy`, or `lock i acts`."""

ACCESSES = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 1)),
    st.tuples(st.just("write"), st.integers(0, 1), st.integers(0, 2)),
    st.tuples(st.just("append"), st.integers(1, 2)),
    st.tuples(st.just("pop")),
    st.tuples(st.just("copy")),
)
LOCKED = st.tuples(st.just("lock"), st.integers(0, 1), st.lists(ACCESSES, max_size=2))
NESTED = st.tuples(st.just("lock"), st.integers(0, 1), st.lists(st.one_of(ACCESSES, LOCKED), max_size=2))


def does_not_wait_for_itself(act: Act) -> bool:
    return not any(inner[0] == "lock" and inner[1] == act[1] for inner in act[2])


ACTS = st.one_of(ACCESSES, LOCKED, NESTED.filter(does_not_wait_for_itself))
PROGRAMS = st.one_of(
    st.lists(st.lists(ACTS, min_size=1, max_size=2), min_size=2, max_size=2),
    st.lists(st.lists(LOCKED, min_size=1, max_size=1), min_size=3, max_size=3),
)


def program_of(tasks: list[list[Act]]) -> Program:
    """Its outcome is all that was read, and what is there in the end."""

    def program(run: Run) -> Check:
        sync = SchedulerSync(run)
        atomics, locks, bag = [sync.atomic(0), sync.atomic(0)], [sync.lock(), sync.lock()], sync.bag([0])
        seen: list[list[object]] = [[] for _ in tasks]

        def act(mine: list[object], do: Act) -> None:
            match do:
                case "read", index:
                    mine.append(atomics[index].value)
                case "write", index, value:
                    atomics[index].value = value
                case "append", value:
                    bag.append(value)
                case "pop", *_:
                    try:
                        mine.append(bag.pop())
                    except IndexError:
                        mine.append(None)
                case "copy", *_:
                    mine.append(tuple(bag.copy()))
                case "lock", index, inner:
                    with locks[index]:
                        for each in inner:
                            act(mine, each)

        def work(mine: list[object], acts: list[Act]) -> Callable[[], None]:
            def acting() -> None:
                for do in acts:
                    act(mine, do)

            return acting

        for number, acts in enumerate(tasks):
            run.task(f"task {number}", work(seen[number], acts))
        return lambda: (tuple(map(tuple, seen)), atomics[0].value, atomics[1].value, tuple(bag.copy()))

    return program


def compare(tasks: list[list[Act]]) -> None:
    program = program_of(tasks)
    full, asleep, raced = (explore(program, reduction=reduction, runs_max=4_000) for reduction in Reduction)
    if "cut off" in full.coverage:
        return
    assert (full.failure is None) == (asleep.failure is None) == (raced.failure is None)
    if full.failure is None:
        assert set(full.outcomes) == set(asleep.outcomes) == set(raced.outcomes)
        assert asleep.schedules == raced.schedules
        assert set(explore(program, preemptions=9).outcomes) == set(full.outcomes)
    elif raced.failure is not None:
        assert full.failure is not None
        assert raced.failure.kind is full.failure.kind
        assert replay(program, raced.failure.schedule, Limits()) == raced.failure


@settings(max_examples=60, derandomize=True)
@given(PROGRAMS)
def test_any_program_has_the_same_outcomes_and_classes(tasks: list[list[Act]]) -> None:
    compare(tasks)


@pytest.mark.slow
@settings(max_examples=2_000)
@given(PROGRAMS)
def test_any_of_many_programs_has_the_same_outcomes_and_classes(tasks: list[list[Act]]) -> None:
    compare(tasks)


def each_access_told(program: Program) -> Program:
    """The same, with somebody who looks on."""

    def made(run: Run) -> Check:
        check = program(run)
        run.after_step = lambda task, what, shared: None
        return check

    return made


@pytest.mark.parametrize("program", [locked_counters, stores_and_a_lock, bags, parkers, children, waits_well])
def test_who_looks_on_is_told_of_each_access(program: Program) -> None:
    joined, told = explore(program), explore(each_access_told(program))
    assert (told.schedules, told.outcomes) == (joined.schedules, joined.outcomes)
    assert told.steps >= joined.steps
    assert told.steps > joined.steps or program not in (locked_counters, stores_and_a_lock)


def test_what_no_lock_guards_after_all_is_learned_in_time() -> None:
    """The store without the lock comes in one schedule only, after the others have been looked at."""

    def program(run: Run) -> Check:
        sync = SchedulerSync(run)
        lock, value, door = sync.lock(), sync.atomic(0), sync.atomic(False)

        def careful() -> None:
            with lock:
                value.value = value.value + 1
            door.value = True
            door.value = False

        def careless() -> None:
            if door.value:
                value.value = value.value + 1

        def other() -> None:
            with lock:
                value.value = value.value * 2

        for work in (careful, careless, other):
            run.task(work.__name__, work)
        return lambda: value.value

    full, raced = explore(program, reduction=Reduction.NONE), explore(program)
    assert set(full.outcomes) == set(raced.outcomes)
    assert raced.schedules == explore(program, reduction=Reduction.SLEEP).schedules


def test_a_task_that_spins_under_a_lock_is_a_livelock() -> None:
    def program(run: Run) -> Check:
        sync = SchedulerSync(run)
        lock, flag = sync.lock(), sync.atomic(False)

        def spins() -> None:
            with lock:
                while not flag.value:
                    pass

        run.task("spins", spins)
        return lambda: None

    failure = explore(program).failure
    assert failure is not None
    assert failure.kind is Livelock
