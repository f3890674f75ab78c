"""The scheduler on threads of the system, and with real wasm: what greenlets and fakes find is found there too."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import interleaved
from hotswap import CallInterrupted
from hotswap._version import Version
from interleaved_workloads import CASES, drained_but_one
from sched_core import core
from sched_programs import bags, children, counters, locked_counters, parkers, the_seeds_race, two_locks, waits_with_if
from scheduler import (
    Check,
    CheckFailed,
    Deadlock,
    Limits,
    Program,
    Reduction,
    Run,
    SchedulerSync,
    TaskFailed,
    Threads,
    Verdict,
    explore,
    replay,
    sample,
    shortest,
)
from scheduler._fakes import SchedulerRuntime
from scheduler._threads import _IDLE
from scheduler._wasm import SchedulerWasmRuntime, ticking
from scheduler._watch import watched
from worlds import manifest, wat

pytestmark = pytest.mark.schedules

ON_THREADS = Limits(backend=Threads)


def scheduled() -> int:
    return sum(thread.name == "scheduled" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    assert scheduled() == len(_IDLE), "each thread waits for work"
    assert all(worker.work is None for worker in _IDLE)


@pytest.mark.parametrize(
    ("program", "limits"),
    [
        (counters, Limits()),
        (locked_counters, Limits(spurious=1)),
        (bags, Limits()),
        (parkers, Limits(timeouts=1)),
        (children, Limits()),
        (the_seeds_race, Limits()),
        (two_locks, Limits()),
        (waits_with_if, Limits(spurious=1)),
    ],
)
def test_threads_and_greenlets_see_the_same(program: Program, limits: Limits) -> None:
    on_threads = replace(limits, backend=Threads)
    for reduction in Reduction:
        assert explore(program, limits, reduction=reduction) == explore(program, on_threads, reduction=reduction)
    assert explore(program, limits, preemptions=1) == explore(program, on_threads, preemptions=1)
    assert sample(program, limits, runs=20) == sample(program, on_threads, runs=20)


def test_a_schedule_found_on_one_replays_on_the_other() -> None:
    for finder, other in ((Limits(), ON_THREADS), (ON_THREADS, Limits())):
        for program, kind in ((the_seeds_race, TaskFailed), (two_locks, Deadlock)):
            failure = shortest(program, finder)
            assert failure is not None
            assert failure.kind is kind
            assert replay(program, failure.schedule, other) == failure


def test_tasks_are_on_threads_of_their_own_which_are_used_again() -> None:
    seen = set[int]()

    def program(run: Run) -> Check:
        here = threading.get_ident()
        names = SchedulerSync(run).bag(list[int]())

        def work() -> None:
            assert threading.get_ident() != here
            seen.add(threading.get_ident())
            names.append(threading.get_ident())

        for name in "ABC":
            run.task(name, work)
        return lambda: len(set(names.copy()))

    before = scheduled()
    assert set(explore(program, ON_THREADS).outcomes) == {3}
    assert len(seen) <= max(before, 3)
    assert scheduled() == max(before, 3)


def test_ctrl_c_waits_until_the_task_can_be_unwound() -> None:
    ended = list[str]()

    def program(run: Run) -> Check:
        flag = SchedulerSync(run).atomic(0)

        def work() -> None:
            try:
                for number in range(1_000):
                    flag.value = number
                    if number == 10:
                        signal.raise_signal(signal.SIGINT)
            finally:
                ended.append("unwound")

        run.task("A", work)
        run.task("B", work)
        return lambda: None

    with pytest.raises(KeyboardInterrupt):
        explore(program, replace(ON_THREADS, steps=10_000))
    assert ended in (["unwound"], ["unwound"] * 2), "a task that has not begun has nothing to unwind"


# Real wasm -----------------------------------------------------------------------------------------------


def same(program: Callable[[type[SchedulerRuntime]], Program], limits: Limits) -> Verdict:
    """What fakes on greenlets, fakes on threads and real wasm on threads agree on."""
    on_threads = replace(limits, backend=Threads)
    with watched(checked=False), ticking():
        found = explore(program(SchedulerRuntime), limits)
        assert explore(program(SchedulerRuntime), on_threads) == found
        assert explore(program(SchedulerWasmRuntime), on_threads) == found
    return found


def test_the_core_on_real_wasm_has_the_same_classes_and_outcomes() -> None:
    def program(runtime: type[SchedulerRuntime]) -> Program:
        return core(1) if runtime is SchedulerRuntime else core(1, runtime, wat)

    found = same(program, Limits())
    assert found.failure is None
    assert (found.coverage, found.schedules, set(found.outcomes)) == ("exhaustive", 704, {((1,),), ((2,),)})


@pytest.mark.parametrize(
    ("name", "schedules"), [("call, close", 361), ("upgrade, cancel", 95), ("call, execute", 1312)]
)
def test_the_plugin_on_real_wasm_has_the_same_classes_and_outcomes(
    name: str, schedules: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]

    def program(runtime: type[SchedulerRuntime]) -> Program:
        made: dict[str, Any] = {"SchedulerRuntime": runtime}
        made["module"] = interleaved.module if runtime is SchedulerRuntime else wat
        for attribute, value in made.items():
            monkeypatch.setattr(interleaved, attribute, value)
        return case.program

    found = same(program, case.limits)
    assert found.failure is None
    assert (found.coverage, found.schedules) == ("exhaustive", schedules)


def test_a_defect_of_the_core_is_found_on_real_wasm_by_the_same_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Version, "drained", property(drained_but_one))

    def program(runtime: type[SchedulerRuntime]) -> Program:
        return core(1) if runtime is SchedulerRuntime else core(1, runtime, wat)

    failure = same(program, Limits()).failure
    assert failure is not None
    assert (failure.kind, failure.message) == (CheckFailed, "S8: created = closed + serving")


def test_a_call_is_stopped_in_real_wasm() -> None:
    """The scheduler chooses when the stop comes; it is wasmtime that ends the call."""

    def program(run: Run) -> Check:
        runtime = SchedulerWasmRuntime(run)
        code = runtime.load(wat(1), manifest(1))
        instance = code.instantiate(probe=False)
        told = list[str]()

        def caller() -> None:
            try:
                instance.call("loop", ())
            except CallInterrupted as error:
                told.append(type(error).__name__)
            assert instance.broken

        run.task("caller", caller)
        run.task("stopper", lambda: code.interrupt(True))

        def check() -> str:
            instance.close()
            assert runtime.violations == []
            return told[0]

        return check

    with ticking():
        assert set(explore(program, ON_THREADS).outcomes) == {"CallInterrupted"}
