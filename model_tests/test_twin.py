"""What the parties get from the production plugin, they can get from the plain twin, and the other way round."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final

import pytest

import interleaved_more as more
import interleaved_workloads as some
from core_programs import Parties
from core_states import remembered, states
from hotswap import Cutover
from interleaved import program
from interleaved_workloads import CASES
from scheduler import Limits, explore
from twin import Twin, TwinWorkload

pytestmark = [pytest.mark.schedules, pytest.mark.usefixtures("watched_code")]

PREPARED: Final = more.PREPARED
EXCLUSIVE: Final = {**more.PREPARED, **more.EXCLUSIVE}

EQUAL: Final[dict[str, tuple[Callable[[Any], None], dict[str, Any]]]] = {
    "two calls": (some.two_calls, {}),
    "two calls, one may time out": (some.two_calls, {}),
    "call, close": (some.call_close, {}),
    "call, execute": (some.call_execute, PREPARED),
    "call, execute, exclusive": (some.call_execute, EXCLUSIVE),
    "call, execute, may time out": (some.call_execute, PREPARED),
    "call, execute, exclusive, may time out": (some.call_execute, EXCLUSIVE),
    "call, upgrade": (some.call_upgrade, {}),
    "execute, cancel": (some.execute_cancel, PREPARED),
    "execute, upgrade": (some.execute_upgrade, PREPARED),
    "upgrade, cancel": (some.upgrade_cancel, {}),
}
"""Both are explored exhaustively, and nothing that either can give is beyond the other."""

WITHIN: Final[dict[str, tuple[Callable[[Any], None], dict[str, Any]]]] = {
    "two calls, execute": (some.two_calls_execute, PREPARED),
    "call, execute, close": (some.call_execute_close, PREPARED),
    "call, upgrade, cancel": (some.call_upgrade_cancel, {}),
    "call, two upgrades": (more.call_two_upgrades, {}),
}
"""Production within one preemption, the twin exhaustively: what production gives, the twin can give."""


def twins_outcomes(build: Callable[[Any], None], options: dict[str, Any], limits: Limits) -> set[Hashable]:
    verdict = explore(program(build, kind=TwinWorkload, **options), limits)
    assert verdict.failure is None, str(verdict)
    assert verdict.coverage == "exhaustive"
    return set(verdict.outcomes)


@pytest.mark.parametrize("name", EQUAL)
def test_production_and_twin_give_the_same(name: str) -> None:
    build, options = EQUAL[name]
    case = CASES[name]
    verdict = explore(case.program, case.limits)
    assert verdict.coverage == "exhaustive"
    assert set(verdict.outcomes) == twins_outcomes(build, options, case.limits)


@pytest.mark.parametrize("name", WITHIN)
def test_production_gives_nothing_that_the_twin_cannot(name: str) -> None:
    build, options = WITHIN[name]
    case = CASES[name]
    verdict = explore(case.program, case.limits, preemptions=1)
    assert verdict.failure is None, str(verdict)
    assert set(verdict.outcomes) <= twins_outcomes(build, options, case.limits)


CORE: Final[dict[str, tuple[Callable[[Any], None], dict[str, Any], Parties]]] = {
    "two calls": (some.two_calls, {}, Parties(callers=2, upgrades=())),
    "call, execute": (some.call_execute, PREPARED, Parties()),
    "call, execute, exclusive": (some.call_execute, EXCLUSIVE, Parties(cutover=Cutover.EXCLUSIVE)),
    "call, close": (some.call_close, {}, Parties(upgrades=(), closer=True)),
    "execute, upgrade": (some.execute_upgrade, PREPARED, Parties(callers=0, upgrades=(2, 3))),
    "two calls, execute": (some.two_calls_execute, PREPARED, Parties(callers=2)),
}
CORE_AT_LENGTH: Final[dict[str, tuple[Callable[[Any], None], dict[str, Any], Parties]]] = {
    "two calls, execute, exclusive": (
        some.two_calls_execute,
        EXCLUSIVE,
        Parties(callers=2, cutover=Cutover.EXCLUSIVE),
    ),
    "call, execute, close": (some.call_execute_close, PREPARED, Parties(closer=True)),
    "call, execute, close, exclusive": (
        some.call_execute_close,
        EXCLUSIVE,
        Parties(closer=True, cutover=Cutover.EXCLUSIVE),
    ),
    "three calls, execute": (more.three_calls_execute, PREPARED, Parties(callers=3)),
}


@pytest.mark.parametrize("name", [*CORE, *(pytest.param(name, marks=pytest.mark.slow) for name in CORE_AT_LENGTH)])
def test_the_core_in_every_state_and_the_twin_give_the_same(name: str) -> None:
    """Callers are alike in the search of states, so their answers have no order."""
    build, options, parties = (CORE | CORE_AT_LENGTH)[name]
    with remembered():
        verdict, _ = states(parties.program)
    assert verdict.failure is None, str(verdict)
    twins = set[tuple[object, ...]]()
    for outcome in twins_outcomes(build, options, Limits()):
        assert isinstance(outcome, tuple)
        answers = [answer for (answer,) in outcome]
        twins.add((*sorted(answers[: parties.callers], key=str), *answers[parties.callers :]))
    assert set(verdict.outcomes) == twins


def test_an_answer_that_only_one_of_them_gives_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: here the twin lets a cancel wait for the upgrade, and does not say that it is late."""

    def cancel_upgrade(self: Twin) -> bool:
        with self._alone():
            self._wait(lambda: not self.executing, None)
            there, self.owner, self.candidate = self.owner is not None, None, None
            return there

    monkeypatch.setattr(Twin, "cancel_upgrade", cancel_upgrade)
    name = "upgrade, cancel"
    produced = set(explore(CASES[name].program, CASES[name].limits).outcomes)
    late = (("upgraded 2",), ("Busy",))
    assert produced - twins_outcomes(*EQUAL[name], CASES[name].limits) == {late}
