"""Each step of the production code, in every interleaving that is looked at, is a step of the admission level or none.

With the reduction, one schedule of each class is followed to its end: two independent steps are seen in one order only,
so of the moments between them only those of that order are compared. What the other order would show differs in
nothing that either step touches. Within a bound of preemptions all orders are looked at, without a reduction.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from hotswap import OnDrainTimeout
from hotswap_spec._explore import Exploration
from hotswap_spec._fairness import leads_to
from hotswap_spec._model import Level
from interleaved import Case, Workload, case
from interleaved_more import EXCLUSIVE, PREPARED
from interleaved_workloads import CASES, call_execute
from refinement import Refinement, followed
from refinement_mutants import MUTANTS
from refinement_steps import ADDED, ADMISSION, LEVEL, label
from scheduler import Check, CheckFailed, Limits, Run, Verdict, explore, sample
from scheduler._guides import Guide
from scheduler._search import run_once
from test_interleavings import EXHAUSTIVE

pytestmark = [pytest.mark.schedules, pytest.mark.usefixtures("watched_code")]

ALL: Final = -1
"""In the place of a number of preemptions: no bound, with the reduction."""
SAMPLED: Final = -2
LATE: Final = "call, execute, may time out"
LOST: Final = "an instance is lost, and the level has no gap for it"
BOTH: Final = "one task is the operator and then a closer"
FAILS: Final = "an upgrade fails while it drains, and the level rolls back only what has been decided"
TWO_PLUGINS: Final = "the name is given to a second plugin"
SECOND: Final = "who comes second closes nothing"
NOT_FOLLOWED: Final = {
    "trap, call": LOST,
    "trap, execute": LOST,
    "endless call, execute, overlap, interrupt": LOST,
    "endless call, execute, exclusive, interrupt": LOST,
    "endless call, execute, overlap, rollback": BOTH,
    "endless call, execute, overlap, detach": BOTH,
    "endless call, execute, exclusive, rollback": BOTH,
    "call, upgrade: fault after publish": FAILS,
    "call, upgrade: fault at enter": FAILS,
    "call, upgrade: fault after begin, exclusive": FAILS,
    "unregister, register": TWO_PLUGINS,
    "call, unregister, register": TWO_PLUGINS,
    "two unregister": SECOND,
    "unregister, close the manager": SECOND,
}
"""Why these cases are none for this."""
FOLLOWED: Final = {
    **{name: one for name, one in CASES.items() if name not in NOT_FOLLOWED},
    "call, execute, may detach": case(
        call_execute, limits=Limits(timeouts=1), on_drain_timeout=OnDrainTimeout.DETACH, **PREPARED
    ),
}
LATE_AT_THE_GATE: Final = "call, execute, exclusive, may time out"
FOUR_TASKS: Final = {
    "three calls, execute",
    "three calls, execute, exclusive",
    "two calls, two upgrades",
    "two calls, two upgrades, exclusive",
    "two calls, execute, cancel",
}
HEAVY: Final = FOUR_TASKS | {
    "call, upgrade",  # which is "call, execute", with a prepare before it
    "two calls, upgrade",
    "two calls, upgrade, exclusive",
    "call, execute, close, exclusive",
    "call, upgrade, cancel, exclusive",
    "call, two upgrades",
    "call, execute, unregister",
    "call, execute, unregister, exclusive",
    "two calls, execute, exclusive, may time out",
}
"""Left to the slow tests, but for no preemptions."""


def follow(case: Case, preemptions: int, refinement: Refinement) -> Verdict:
    program = followed(case.program, refinement)
    if preemptions == SAMPLED:
        return sample(program, case.limits, runs=2_000, seed=2)
    return explore(program, case.limits, preemptions=None if preemptions == ALL else preemptions)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else []) for name in EXHAUSTIVE]
)
def test_every_step_of_every_interleaving_refines(name: str) -> None:
    refinement = Refinement()
    verdict = follow(CASES[name], ALL, refinement)
    assert verdict.failure is None, str(verdict)
    assert (verdict.coverage, verdict.schedules) == ("exhaustive", EXHAUSTIVE[name])
    assert verdict.pruned or refinement.steps >= verdict.steps


def test_each_case_that_is_not_followed_is_there() -> None:
    assert NOT_FOLLOWED.keys() <= CASES.keys()


STUTTERS: Final = {
    "starts": "",
    "acquires": "lock, another lock",
    "releases": "lock, another lock",
    "reads": "current, closed, phase, book, live, another atomic, lease, _retired, last_failure, time",
    "stores to": "current, attention, closed, phase, book, live",
    "changes": "lease, _retired, plugins",
    "looks into": "plugins",
    "pops from": "free",
    "counts": "free, tombs",
    "copies": "tombs, parked",
    "appends to": "parked",
    "removes from": "parked",
    "parks on": "another parker",
    "unparks": "another parker",
    **dict.fromkeys(("enters", "leaves", "closes"), "instance"),
    **dict.fromkeys(("compiles on", "instantiates on", "looks at all older instances of"), "runtime"),
    **dict.fromkeys(("interrupts by", "lets run by"), "stop"),
}
"""The accesses that may be no step of the level. Those to what it speaks of are: a look into an empty bag; a store of
what is there already, or to a version that is not published yet; `closed`, which the level reads and changes under the
lock; a change of the list of retired versions, whose step is the mark before it. To read attention is always a step,
and so is a lease that comes home."""


def stuttering(refinement: Refinement) -> set[str]:
    return {kind for kind in refinement.stuttering() if not kind.startswith(("begins: ", "ends: ", "spawns on "))}


def test_these_accesses_stutter_and_no_others() -> None:
    found = set[str]()
    for name in (
        "two calls, one may time out",
        "call, close",
        LATE,
        LATE_AT_THE_GATE,
        "upgrade, cancel",
        "call, unregister",
    ):
        refinement = Refinement()
        follow(CASES[name], 1, refinement)
        found |= stuttering(refinement)
    assert found == STUTTERING


STUTTERING: Final = {f"{what} {field}" for what, fields in STUTTERS.items() for field in fields.split(", ")}


@pytest.mark.parametrize(
    ("name", "preemptions"),
    [
        pytest.param(name, bound, marks=[pytest.mark.slow] if bound and name in HEAVY else [])
        for bound in (0, 1)
        for name in FOLLOWED
    ],
)
def test_every_step_refines_in_all_orders_within_a_bound(name: str, preemptions: int) -> None:
    refinement = Refinement()
    verdict = follow(FOLLOWED[name], preemptions, refinement)
    assert verdict.failure is None, str(verdict)
    assert verdict.pruned or refinement.steps >= verdict.steps
    assert stuttering(refinement) <= STUTTERING


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FOLLOWED if name not in FOUR_TASKS])
def test_every_step_refines_in_all_orders_with_two_preemptions(name: str) -> None:
    verdict = follow(FOLLOWED[name], 2, Refinement())
    assert verdict.failure is None, str(verdict)


# No row is there for nothing ----------------------------------------------------------------------------------------


def without(*labels: str) -> Level:
    level = replace(LEVEL)
    level.__dict__["rows"] = [row for row in LEVEL.rows if label(row) not in labels]
    assert len(level.rows) == len(LEVEL.rows) - len(labels)
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
    ("call, execute, waking for no reason", ALL): "operator stir",
    (LATE, ALL): "operator time_out, operator roll_back, operator restore, operator reinstate, operator drop_candidate",
    (LATE_AT_THE_GATE, ALL): "caller enter_at_once",
    ("call, execute, close", 1): "operator yield_to_close, lock look_too",
}
"""By case and preemptions: the rows without which a step there is none of the specification's."""
AT_THE_GATE: Final = "lock serve at gather"


@pytest.mark.parametrize(
    ("name", "preemptions", "row"), [(*where, row) for where, rows in NEEDED.items() for row in rows.split(", ")]
)
def test_without_any_row_some_step_is_none_of_the_specification_s(name: str, preemptions: int, row: str) -> None:
    verdict = follow(CASES[name], preemptions, Refinement(without(row)))
    assert verdict.failure is not None
    assert verdict.failure.kind is CheckFailed
    assert "the specification has no such step" in verdict.failure.message


def test_every_row_is_needed() -> None:
    """So each was taken, and there was no other way."""
    named = [row for rows in NEEDED.values() for row in rows.split(", ")]
    assert sorted([*named, AT_THE_GATE]) == sorted(label(row) for row in LEVEL.rows)
    assert len(ADDED) == 6


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
    assert at_the_second_gate(LEVEL) == ((2,), (2,), ("upgraded 2",), ("upgraded 3",))
    assert isinstance(at_the_second_gate(without(AT_THE_GATE)), CheckFailed)


# What the level gains -------------------------------------------------------------------------------------------------


NOBODY_CLOSES: Final = {"close", "find_closed", "yield_to_close", "return_closed", "unmark_gone"}


@pytest.mark.parametrize(
    ("bounds", "not_done"), [("live", set()), pytest.param("gates", NOBODY_CLOSES, marks=pytest.mark.slow)]
)
def test_with_the_steps_of_the_code_admission_keeps_all_that_is_safety(bounds: str, not_done: set[str]) -> None:
    explored = Exploration(LEVEL, LEVEL.initial(**LEVEL.bounds[bounds][0]))
    assert explored.failure is None, explored.failure.story()
    assert {row.name for row in LEVEL.rows} - explored.done == not_done
    assert explored.seen == ADMISSION.sometimes.keys()


FOR_NOTHING: Final = "caller stir", "operator stir", "lock look_too"
"""Nobody waits for these, and nothing in the level ends them: who did nothing else would keep the lock for ever. In the
code each has a cause that is used up: a permit that was left, or a step of another thread."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_with_the_steps_of_the_code_admission_keeps_what_it_promises_of_liveness() -> None:
    """When what is for nothing has come to its end."""
    level = without(*FOR_NOTHING)
    failures = leads_to(level, level.initial(**level.bounds["live"][0]), level.leads_to)
    assert [failure.story() for failure in failures] == []
    assert len(level.leads_to) == 3


# Defects --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MUTANTS)
def test_a_defect_is_found_at_its_step(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    mutant = MUTANTS[name]
    for owner, attribute, value in mutant.patches:
        monkeypatch.setattr(owner, attribute, value)
    preemptions = ALL if mutant.case in EXHAUSTIVE else 1
    preemptions = SAMPLED if name in ("settle gathers first", "a rollback gives one lease back") else preemptions
    verdict = follow(FOLLOWED[mutant.case], preemptions, Refinement())
    assert verdict.failure is not None
    assert verdict.failure.kind is CheckFailed
    assert verdict.failure.message.startswith(f"{mutant.step}: the specification has no such step"), verdict.failure
    program, limits = FOLLOWED[mutant.case]
    if preemptions == SAMPLED:
        without_a_look = sample(program, limits, runs=2_000, seed=2)
    else:
        without_a_look = explore(program, limits, preemptions=None if preemptions == ALL else preemptions)
    assert (without_a_look.failure and without_a_look.failure.kind) is mutant.at_end
