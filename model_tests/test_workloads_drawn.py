"""Workloads drawn by Hypothesis, up to six parties on two plugins, each under schedules with few preemptions."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings

from drawn import Act, Drawn, looked_at, told, workloads
from interleaved_workloads import MUTANTS
from scheduler import CheckFailed, Found, LostWakeup, replay
from scheduler._story import parsed

pytestmark = [pytest.mark.schedules, pytest.mark.usefixtures("watched_code")]

WORKLOADS: Final = 40
RUNS_EACH: Final = 150
SAMPLED: Final = 40
PARTIES_OF_MUTANTS: Final = 4

DERANDOMIZED: Final[dict[str, Any]] = {
    "derandomize": True,
    "database": None,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
}


def look_at(drawn: Drawn, runs_max: int, sampled: int) -> None:
    verdicts = looked_at(drawn, runs_max, sampled=sampled)
    assert verdicts[-1].failure is None, told(drawn, verdicts)


@pytest.mark.timeout(600)
@settings(max_examples=WORKLOADS, **DERANDOMIZED)
@given(workloads())
def test_a_drawn_workload_keeps_s1_to_s8(drawn: Drawn) -> None:
    look_at(drawn, RUNS_EACH, SAMPLED)


@pytest.mark.slow
@settings(max_examples=5 * WORKLOADS, **DERANDOMIZED)
@given(workloads())
def test_a_drawn_workload_keeps_s1_to_s8_at_length(drawn: Drawn) -> None:
    look_at(drawn, 4 * RUNS_EACH, 4 * SAMPLED)


SHRUNK: Final[dict[str, tuple[Drawn, type[Found], int]]] = {
    "release does not look for attention": (Drawn((Act("call"), Act("call"))), LostWakeup, 1),
    "retire sets no attention": (Drawn((Act("call"), Act("upgrade"))), LostWakeup, 1),
    "a drain ends before the last call": (Drawn((Act("call"), Act("upgrade"))), CheckFailed, 1),
}
"""A mutant, and the smallest workload that shows it, with the fewest preemptions."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", SHRUNK)
def test_a_mutant_shrinks_to_the_smallest_workload(monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    for owner, name, value in MUTANTS[mutant].patches:
        monkeypatch.setattr(owner, name, value)
    smallest, kind, preemptions = SHRUNK[mutant]
    shows: dict[Drawn, bool] = {}

    def shown(drawn: Drawn) -> bool:
        if drawn not in shows:
            shows[drawn] = looked_at(drawn, RUNS_EACH, bounds=(0, 1))[-1].failure is not None
        return shows[drawn]

    drawn = find(
        workloads(PARTIES_OF_MUTANTS),
        shown,
        settings=settings(max_examples=200, phases=[Phase.generate, Phase.shrink], **DERANDOMIZED),
    )
    assert drawn == smallest
    verdicts = looked_at(drawn, RUNS_EACH)
    assert len(verdicts) == preemptions + 1, "with fewer preemptions nothing shows"
    assert (failure := verdicts[-1].failure) is not None
    assert failure.kind is kind
    assert replay(drawn.program, failure.schedule, drawn.limits) == failure
    message = told(drawn, verdicts)
    assert message.startswith(f"workload: {smallest}\n")
    assert (line := re.search(r"^schedule: (\S+)$", message, re.MULTILINE)) is not None
    assert parsed(line[1])
    assert "_core.py:" in message, "the story names the lines"
