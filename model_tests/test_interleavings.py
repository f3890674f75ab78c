"""The production code under every interleaving of small workloads, and within a bound of preemptions of larger ones.

What must hold at the end of each schedule is in `interleaved.py`; that nobody waits for ever, the scheduler sees.
Any schedule is told step by step by `make replay CASE="..." SCHEDULE=...`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from interleaved_more import MORE
from interleaved_workloads import CASES, MUTANTS
from scheduler import CheckFailed, Found, LostWakeup, TaskFailed, explore, replay, shortest
from scheduler._watch import watched

pytestmark = [pytest.mark.schedules, pytest.mark.usefixtures("watched_code")]

EXHAUSTIVE: Final = {
    "two calls": 16,
    "two calls, waking for no reason": 28,
    "two calls, one may time out": 32,
    "call, close": 361,
    "call, execute": 1312,
    "call, execute, exclusive": 1159,
    "call, execute, may time out": 1335,
    "call, execute, exclusive, may time out": 1184,
    "call, execute, waking for no reason": 1319,
    "call, upgrade": 1312,
    "execute, cancel": 73,
    "execute, upgrade": 167,
    "upgrade, cancel": 95,
}
"""Classes of schedules. They change when the code takes other steps: then look at the outcomes, and pin them anew."""

WITHIN_TWO: Final = {
    "call, execute, close": 47553,
    "call, execute, close, exclusive": 51332,
    "call, upgrade, cancel": 13203,
    "call, upgrade, cancel, exclusive": 15200,
    "two calls, execute": 15596,
    "two calls, execute, exclusive": 22066,
    "two calls, upgrade": 17726,
    "two calls, upgrade, exclusive": 24148,
}
"""Too many classes for an exhaustive search: within one preemption here, within two by `make verify`, so many."""

OUTCOMES: Final = {
    "two calls, one may time out": {((1,), (1,)), ((1,), ("Overloaded",)), (("Overloaded",), (1,))},
    "call, close": {((1,), (None,)), (("PluginClosed",), (None,))},
    "call, execute": {((1,), ("upgraded 2",)), ((2,), ("upgraded 2",))},
    "call, execute, exclusive": {((1,), ("upgraded 2",)), ((2,), ("upgraded 2",))},
    "call, execute, may time out": {((1,), ("upgraded 2",)), ((2,), ("upgraded 2",)), ((1,), ("DrainTimeout",))},
    "upgrade, cancel": {(("upgraded 2",), (False,)), (("upgraded 2",), ("Busy",)), (("UpgradeCancelled",), (True,))},
}
"""Each of them in some schedule, and no other in any: the checks hold of something."""

FOUND: Final[dict[str, tuple[type[Found], int]]] = {
    "release does not look for attention": (LostWakeup, 1),
    "retire sets no attention": (LostWakeup, 1),
    "the end of a drain wakes nobody": (LostWakeup, 1),
    "the drain parks once": (CheckFailed, 1),
    "a waiter does not look again before it parks": (LostWakeup, 2),
    "a cancelled candidate may be offered": (CheckFailed, 1),
    "a drain ends before the last call": (CheckFailed, 1),
    "close wakes nobody": (LostWakeup, 1),
    "publish takes no lock": (TaskFailed, 2),
}
"""What shows a mutant, and after how many preemptions."""

NEEDS_THREE: Final = "the drain counts free leases instead of taking them"


@pytest.mark.parametrize("name", EXHAUSTIVE)
def test_every_interleaving_keeps_s1_to_s8(name: str) -> None:
    case = CASES[name]
    verdict = explore(case.program, case.limits)
    assert verdict.failure is None, str(verdict)
    assert (verdict.coverage, verdict.schedules) == ("exhaustive", EXHAUSTIVE[name])
    assert name not in OUTCOMES or set(verdict.outcomes) == OUTCOMES[name]


@pytest.mark.parametrize("name", WITHIN_TWO)
def test_every_interleaving_with_one_preemption_keeps_s1_to_s8(name: str) -> None:
    verdict = explore(CASES[name].program, CASES[name].limits, preemptions=1)
    assert verdict.failure is None, str(verdict)
    assert len(verdict.outcomes) > 2


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHIN_TWO)
def test_interleavings_with_two_preemptions_keep_s1_to_s8(name: str) -> None:
    case = CASES[name]
    verdict = explore(case.program, case.limits, preemptions=2)
    assert verdict.failure is None, str(verdict)
    assert (verdict.coverage, verdict.schedules) == ("bounded to 2 preemptions", WITHIN_TWO[name])


@pytest.mark.parametrize("name", ["call, execute", "call, execute, exclusive", "call, close", "upgrade, cancel"])
def test_what_tasks_share_is_announced_or_ordered_by_what_is(name: str) -> None:
    """What the reduction takes for granted, in every class of schedules."""
    case = CASES[name]
    with watched(checked=True):
        verdict = explore(case.program, replace(case.limits, races=True))
    assert verdict.failure is None, str(verdict)
    assert (verdict.coverage, verdict.schedules) == ("exhaustive", EXHAUSTIVE[name])


def put_in(monkeypatch: pytest.MonkeyPatch, mutant: str) -> str:
    """Break the production code; returns the case that shows it."""
    for owner, name, value in MUTANTS[mutant].patches:
        monkeypatch.setattr(owner, name, value)
    return MUTANTS[mutant].case


@pytest.mark.parametrize("mutant", FOUND)
def test_a_mutant_is_found_by_a_short_schedule_that_replays(monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    program, limits = CASES[put_in(monkeypatch, mutant)]
    kind, preemptions = FOUND[mutant]
    failure = shortest(program, limits, preemptions_max=preemptions)
    assert failure is not None
    assert failure.kind is kind, str(failure)
    assert shortest(program, limits, preemptions_max=preemptions - 1) is None
    assert replay(program, failure.schedule, limits) == failure
    print(f"\n{mutant}: {failure.schedule}")  # noqa: T201  pytest -rP shows it


def test_a_mutant_that_needs_three_preemptions_is_found_by_the_exhaustive_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program, limits = CASES[put_in(monkeypatch, NEEDS_THREE)]
    assert shortest(program, limits, preemptions_max=2) is None
    verdict = explore(program, limits)
    assert verdict.failure is not None
    assert verdict.failure.kind is CheckFailed
    assert replay(program, verdict.failure.schedule, limits) == verdict.failure


def test_each_case_is_explored() -> None:
    assert CASES.keys() == EXHAUSTIVE.keys() | WITHIN_TWO.keys() | MORE.keys()


def test_every_mutant_has_its_test() -> None:
    assert MUTANTS.keys() == FOUND.keys() | {NEEDS_THREE}
