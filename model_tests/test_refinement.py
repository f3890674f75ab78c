"""The production code refines the specification's admission level, step by step, in every schedule that is looked at.

`refinement.py` says how and what a pass means; `refinement_rules.py` is the list of which access may be which step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Final

import pytest

from hotswap_spec._explore import Exploration
from interleaved_workloads import CASES
from refinement import Refinement, Used
from refinement_level import ADDED, ADMISSION, LEVEL
from refinement_mutants import DEFECTS, MORE_CASES, Defect
from refinement_rules import ALL, SILENT
from scheduler import Check, CheckFailed, Run, Verdict, explore, replay
from scheduler._watch import watched
from test_interleavings import EXHAUSTIVE

pytestmark = pytest.mark.schedules

EVERY_CASE: Final = CASES | MORE_CASES


@pytest.fixture(autouse=True)
def _watched() -> Iterator[None]:
    with watched(checked=False):
        yield


@cache
def refined(name: str, preemptions: int | None) -> tuple[Verdict, Refinement]:
    refinement, case = Refinement(), EVERY_CASE[name]
    return explore(refinement.program(case.program), case.limits, preemptions=preemptions), refinement


# It refines ------------------------------------------------------------------------------------------------

LONGER: Final = (
    "call, upgrade",
    "two calls, upgrade",
    "two calls, upgrade, exclusive",
    "call, upgrade, cancel, exclusive",
)
"""These prepare what others have prepared; `make verify` has them."""
EXHAUSTIVELY: Final = [name for name in EXHAUSTIVE if name not in LONGER]
WITHIN_ONE: Final = [name for name in EVERY_CASE if name not in LONGER]
WITHIN_TWO: Final = ["two calls", "two calls, one may time out", "call, execute, may time out"]
"""In every order: between them they have what a reduction would leave out; see `refinement.py`."""


def in_every_order(name: str, preemptions: int | None) -> None:
    verdict, _ = refined(name, preemptions)
    assert verdict.failure is None, str(verdict)


@pytest.mark.parametrize(
    "name", [*EXHAUSTIVELY, *(pytest.param(name, marks=pytest.mark.slow) for name in LONGER if name in EXHAUSTIVE)]
)
def test_every_step_of_every_interleaving_is_a_step_of_the_specification(name: str) -> None:
    verdict, _ = refined(name, None)
    assert verdict.failure is None, str(verdict)
    assert (verdict.coverage, verdict.schedules) == ("exhaustive", EXHAUSTIVE[name])


@pytest.mark.parametrize("name", WITHIN_ONE)
def test_every_step_within_one_preemption_is_a_step_of_the_specification(name: str) -> None:
    in_every_order(name, 1)


@pytest.mark.parametrize("name", WITHIN_TWO)
def test_every_step_within_two_preemptions_is_a_step_of_the_specification(name: str) -> None:
    in_every_order(name, 2)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", [name for name in EVERY_CASE if name not in WITHIN_TWO])
def test_every_step_of_longer_workloads_within_two_preemptions_is_one_too(name: str) -> None:
    in_every_order(name, 2)


# What was seen ---------------------------------------------------------------------------------------------


def everything() -> list[Refinement]:
    searches = [(EXHAUSTIVELY, None), (WITHIN_ONE, 1), (WITHIN_TWO, 2)]
    return [refined(name, bound)[1] for names, bound in searches for name in names]


@cache
def used() -> Counter[Used]:
    return sum((refinement.used for refinement in everything()), Counter())


NOT_SEEN: Final = {(("operator", True, "lets run by stop"), "-")}
"""An execute that fails before it has published; these workloads have none."""


def test_every_step_of_the_table_is_done_by_the_production_code() -> None:
    done = {name for _, name in used()} - {"-"}
    silent = {name for refinement in everything() for name in refinement.silent}
    assert done == {row.name for row in LEVEL.rows}
    assert silent == SILENT


def test_every_rule_is_needed_and_every_stutter_is_listed() -> None:
    """What nobody needs would hide a step that is wrong."""
    allowed = {
        (key, name)
        for key, rule in ALL.items()
        for name in (*(rule.rows if rule.how != "-" else ()), *(("-",) if rule.how != "must" else ()))
    }
    print("\n".join(f"{count:9,} {use}" for use, count in used().most_common()))  # noqa: T201  pytest -rP shows it
    assert allowed - used().keys() == NOT_SEEN
    assert used().keys() <= allowed | {(key, "-") for key in ALL}, "a version without a number"


# The means -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", ["small", "live", pytest.param("gates", marks=pytest.mark.slow)])
def test_the_specification_holds_with_the_steps_that_were_added(bounds: str) -> None:
    found = Exploration(LEVEL, LEVEL.initial(**LEVEL.bounds[bounds][0]))
    assert found.failure is None, found.failure.story()
    assert found.done >= ADDED
    assert len(found.states) > ADMISSION.bounds[bounds][1]


@pytest.mark.parametrize("name", ["two calls, one may time out", "call, close", "execute, upgrade"])
def test_who_looks_on_changes_nothing(name: str) -> None:
    case = CASES[name]
    plain = explore(case.program, case.limits)
    verdict, _ = refined(name, None)
    assert (verdict.schedules, verdict.outcomes) == (plain.schedules, plain.outcomes)


@pytest.mark.parametrize("name", ["two calls, one may time out", "call, close", "execute, cancel"])
def test_what_two_runs_have_in_common_may_be_looked_at_once(name: str) -> None:
    case, whole = CASES[name], Refinement()
    program = whole.program(case.program)

    def anew(run: Run) -> Check:
        whole.trail.clear()
        return program(run)

    verdict = explore(anew, case.limits)
    _, refinement = refined(name, None)
    assert verdict.failure is None
    assert whole.looks > 2 * refinement.looks
    assert (whole.used, whole.silent) == (refinement.used, refinement.silent)


# It can fail -----------------------------------------------------------------------------------------------


def broken(monkeypatch: pytest.MonkeyPatch, name: str) -> Defect:
    for owner, attribute, value in DEFECTS[name].patches:
        monkeypatch.setattr(owner, attribute, value)
    return DEFECTS[name]


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found_at_the_step_that_is_none_of_the_specification(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    defect = broken(monkeypatch, name)
    case = EVERY_CASE[defect.case]
    program = Refinement().program(case.program)
    verdict = explore(program, case.limits, preemptions=defect.preemptions)
    failure = verdict.failure
    assert failure is not None, str(verdict)
    assert failure.kind is CheckFailed, str(failure)
    assert failure.message.startswith(f"no step of the specification: {defect.step};"), failure.message
    assert defect.line in failure.story[-1], failure.story[-1]
    assert replay(program, failure.schedule, case.limits) == failure


@pytest.mark.parametrize("name", DEFECTS)
def test_what_the_checks_at_the_end_find_within_one_preemption(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    defect = broken(monkeypatch, name)
    case = EVERY_CASE[defect.case]
    assert (explore(case.program, case.limits, preemptions=1).failure is not None) is defect.shows_at_the_end


def test_most_of_these_defects_leave_nothing_behind() -> None:
    assert sum(not defect.shows_at_the_end for defect in DEFECTS.values()) >= 10
    assert {"gathers before it serves", "the gate opens without its own wake"} <= DEFECTS.keys()
