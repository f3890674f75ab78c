"""Each step of the production code, in every interleaving that is looked at, is a step of the admission level or none.

With the reduction, one schedule of each class is followed to its end: two independent steps are seen in one order only,
so of the moments between them only those of that order are compared. What the other order would show differs in
nothing that either step touches. Within a bound of preemptions all orders are looked at, without a reduction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Final

import pytest

from hotswap_spec._explore import Exploration
from hotswap_spec._model import Level
from interleaved import Workload
from interleaved_workloads import CASES, EXCLUSIVE, PREPARED, Case, case
from refinement import Refinement, followed
from refinement_mutants import MUTANTS
from refinement_steps import ADDED, ADMISSION, LEVEL, label
from scheduler import Check, CheckFailed, Limits, Run, Verdict, explore, sample
from scheduler._guides import Guide
from scheduler._search import run_once
from scheduler._watch import watched
from test_interleavings import EXHAUSTIVE

pytestmark = pytest.mark.schedules

ALL: Final = -1
"""In the place of a number of preemptions: no bound, with the reduction."""
SAMPLED: Final = -2


@pytest.fixture(autouse=True)
def _watched() -> Iterator[None]:
    with watched(checked=False):
        yield


def follow(case: Case, preemptions: int, level: Level = LEVEL) -> tuple[Verdict, Refinement]:
    refinement = Refinement(level)
    program = followed(case.program, refinement)
    if preemptions == SAMPLED:
        return sample(program, case.limits, runs=2_000, seed=2), refinement
    return explore(program, case.limits, preemptions=None if preemptions == ALL else preemptions), refinement


@cache
def followed_case(name: str, preemptions: int) -> tuple[Verdict, Refinement]:
    return follow(CASES[name], preemptions)


@pytest.mark.parametrize("name", EXHAUSTIVE)
def test_every_step_of_every_interleaving_refines(name: str) -> None:
    verdict, refinement = followed_case(name, ALL)
    assert verdict.failure is None, str(verdict)
    assert (verdict.coverage, verdict.schedules) == ("exhaustive", EXHAUSTIVE[name])
    assert refinement.steps >= verdict.steps


@pytest.mark.parametrize("preemptions", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_every_step_refines_in_all_orders_within_a_bound(name: str, preemptions: int) -> None:
    verdict, refinement = followed_case(name, preemptions)
    assert verdict.failure is None, str(verdict)
    assert refinement.steps >= verdict.steps


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", CASES)
def test_every_step_refines_in_all_orders_with_two_preemptions(name: str) -> None:
    verdict, _ = follow(CASES[name], 2)
    assert verdict.failure is None, str(verdict)


# No row is there for nothing ----------------------------------------------------------------------------------------


def without(row_label: str) -> Level:
    level = replace(LEVEL)
    level.__dict__["rows"] = [row for row in LEVEL.rows if label(row) != row_label]
    assert len(level.rows) == len(LEVEL.rows) - 1
    return level


NEEDED: Final = {
    ("two calls", 1): "caller look_up, caller pass_by, caller take, caller miss, caller release, caller leave, "
    "caller notice, caller report, caller enqueue, lock mark, lock serve, lock serve_no_more, lock unmark",
    ("two calls, one may time out", ALL): "caller stir, caller look_again, caller enter, caller lose_patience, "
    "caller quit_queue",
    ("call, close", 1): "caller heed, caller find_closed, closer close, closer return_closed, version reclaim, "
    "lock gather, lock gather_no_more, lock unmark_gone",
    ("call, execute", 0): "operator publish, operator retire, operator check_drain, operator mark_and_commit",
    ("call, execute, exclusive", 0): "operator shut_gate, operator commit",
    ("call, execute, may time out", ALL): "operator time_out, operator roll_back, operator restore, "
    "operator reinstate, operator drop_candidate",
    ("call, execute, exclusive, may time out", ALL): "caller enter_at_once",
    ("call, execute, close", 1): "operator yield_to_close, lock look_too",
}
"""By case and preemptions: the rows without which a step there is none of the specification's."""
AT_THE_GATE: Final = "lock serve at gather"


@pytest.mark.parametrize(
    ("name", "preemptions", "row"), [(*where, row) for where, rows in NEEDED.items() for row in rows.split(", ")]
)
def test_without_any_row_some_step_is_none_of_the_specification_s(name: str, preemptions: int, row: str) -> None:
    verdict, _ = follow(CASES[name], preemptions, without(row))
    assert verdict.failure is not None
    assert verdict.failure.kind is CheckFailed
    assert "the specification has no such step" in verdict.failure.message


def test_every_row_is_needed() -> None:
    """So each was taken, and there was no other way."""
    named = [row for rows in NEEDED.values() for row in rows.split(", ")]
    assert sorted([*named, AT_THE_GATE]) == sorted(label(row) for row in LEVEL.rows)
    assert len(ADDED) == 5


class Directed(Guide):
    """In each phase one task goes on until it has come to such an access so many times; then whoever can."""

    run: Run

    def __init__(self, *phases: tuple[int, str, int]) -> None:
        self._phases, self._last = list(phases), -1

    def choose(self, enabled: list[int]) -> int:
        if self._phases:
            task, what, left = self._phases[0]
            if self._last == task and self.run.tasks[task].what == what:
                left -= 1
            self._phases[:1] = [(task, what, left)] if left else []
        self._last = self._phases[0][0] if self._phases else enabled[0] // 3
        return 3 * self._last


def two_gates(work: Workload) -> None:
    work.caller()
    work.caller()
    work.executor()
    work.upgrader(3)


def at_the_second_gate(level: Level) -> object:
    """A lease comes home while the second gate's drain gathers, and a call waits that the first gate held."""
    guide = Directed(
        (2, "appends to", 1),  # the first gate is shut
        (0, "parks on", 1),
        (1, "parks on", 1),
        (2, "ends:", 1),  # and open: one call is served, the other waits, both were held
        (0, "leaves", 1),
        (3, "pops from", 2),  # the second gate is shut; there was no lease for who waits, now it gathers
        (0, "reads", 1),  # the lease comes home
        (3, "releases", 1),
    )
    program = followed(case(two_gates, "Busy", **PREPARED, **EXCLUSIVE).program, Refinement(level))

    def made(run: Run) -> Check:
        guide.run = run
        return program(run)

    return run_once(made, Limits(), guide)[1]


def test_who_was_held_before_is_served_by_a_drain_at_the_gate() -> None:
    assert at_the_second_gate(LEVEL) == ((1,), (2,), ("upgraded 2",), ("upgraded 3",))
    assert isinstance(at_the_second_gate(without(AT_THE_GATE)), CheckFailed)


# What is compared -----------------------------------------------------------------------------------------------------

STUTTERS: Final = {
    *("acquires", "releases"),
}


def test_these_accesses_may_stutter_and_no_others() -> None:
    found = set[str]()
    for name in CASES:
        _, refinement = followed_case(name, 1)
        found |= refinement.taken()[1]
    assert {kind for kind in found if not kind.startswith(("begins: ", "ends: "))} == STUTTERS


# What the level gains -------------------------------------------------------------------------------------------------


def test_with_the_steps_of_the_code_admission_keeps_all_that_it_promises() -> None:
    explored = Exploration(LEVEL, LEVEL.initial(callers=2, versions=2, size=1, closers=1, calls=1))
    assert explored.failure is None, explored.failure.story()
    assert {row.name for row in LEVEL.rows if label(row) in ADDED} <= explored.done
    assert explored.seen >= ADMISSION.sometimes.keys()


# Defects --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MUTANTS)
def test_a_defect_is_found_at_its_step(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    mutant = MUTANTS[name]
    for owner, attribute, value in mutant.patches:
        monkeypatch.setattr(owner, attribute, value)
    preemptions = ALL if mutant.case in EXHAUSTIVE else 1
    preemptions = SAMPLED if name == "settle gathers first" else preemptions
    verdict, _ = follow(CASES[mutant.case], preemptions)
    assert verdict.failure is not None
    assert verdict.failure.kind is CheckFailed
    assert verdict.failure.message.startswith(f"{mutant.step}: the specification has no such step"), verdict.failure
    program, limits = CASES[mutant.case]
    if preemptions == SAMPLED:
        without_a_look = sample(program, limits, runs=2_000, seed=2)
    else:
        without_a_look = explore(program, limits, preemptions=None if preemptions == ALL else preemptions)
    assert (without_a_look.failure and without_a_look.failure.kind) is mutant.at_end
