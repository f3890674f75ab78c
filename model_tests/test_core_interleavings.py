"""The production core and protocol in every state that programs can reach: two callers, and by `make verify` three."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from core_programs import Parties
from core_states import remembered, states
from hotswap import Cutover
from interleaved_workloads import MUTANTS
from scheduler import Limits, Verdict, explore, replay

pytestmark = pytest.mark.schedules

EXCLUSIVE: Final = Parties(cutover=Cutover.EXCLUSIVE)

STATES: Final[dict[str, tuple[Parties, int]]] = {
    "caller, upgrader": (Parties(), 483),
    "caller, upgrader, exclusive": (EXCLUSIVE, 658),
    "caller, upgrader that fails at publish": (Parties(fails_at="publish"), 609),
    "caller, upgrader that fails at commit": (Parties(fails_at="commit"), 766),
    "caller, upgrader that fails at begin, exclusive": (replace(EXCLUSIVE, fails_at="begin"), 639),
    "caller, upgrader that fails at commit, exclusive": (replace(EXCLUSIVE, fails_at="commit"), 756),
    "caller, upgrader that may time out": (Parties(timeouts=True), 703),
    "caller, upgrader that may time out, exclusive": (replace(EXCLUSIVE, timeouts=True), 906),
    "caller, closer": (Parties(upgrades=(), closer=True), 288),
    "upgrader, closer": (Parties(callers=0, closer=True), 1884),
    "upgrader, closer, exclusive": (replace(EXCLUSIVE, callers=0, closer=True), 1516),
    "upgrader, canceller": (Parties(callers=0, canceller=True), 78),
    "caller, upgrader, canceller": (Parties(canceller=True), 1581),
    "caller, upgrader, canceller, exclusive": (replace(EXCLUSIVE, canceller=True), 2100),
    "caller, two upgraders": (Parties(upgrades=(2, 3)), 2549),
    "caller, two upgraders, exclusive": (replace(EXCLUSIVE, upgrades=(2, 3)), 3865),
    "two callers, upgrader": (Parties(callers=2), 12205),
    "two callers, upgrader, two instances": (Parties(callers=2, instances=2), 10968),
}
"""How many states there are. They change when the code takes other steps: then look at the outcomes, and pin anew."""

LARGE: Final[dict[str, tuple[Parties, int]]] = {
    "two callers, upgrader, exclusive": (replace(EXCLUSIVE, callers=2), 24463),
    "two callers, upgrader that fails at commit": (Parties(callers=2, fails_at="commit"), 23444),
    "two callers, upgrader that may time out": (Parties(callers=2, timeouts=True), 36772),
    "two callers, upgrader that may time out, exclusive": (replace(EXCLUSIVE, callers=2, timeouts=True), 70195),
    "two callers, upgrader, canceller": (Parties(callers=2, canceller=True), 39596),
    "two callers, upgrader, canceller, exclusive": (replace(EXCLUSIVE, callers=2, canceller=True), 78412),
    "caller, upgrader, closer": (Parties(closer=True), 75156),
    "caller, upgrader, closer, exclusive": (replace(EXCLUSIVE, closer=True), 77286),
    "two callers, two upgraders": (Parties(callers=2, upgrades=(2, 3)), 91552),
    "two callers, two upgraders, exclusive": (replace(EXCLUSIVE, callers=2, upgrades=(2, 3)), 228089),
    "three callers, upgrader": (Parties(callers=3), 258798),
    "three callers, upgrader, two instances": (Parties(callers=3, instances=2), 252342),
    "three callers, upgrader, exclusive": (replace(EXCLUSIVE, callers=3), 749356),
}

FOUND: Final[dict[str, Parties]] = {
    "retire sets no attention": Parties(),
    "the drain counts free leases instead of taking them": Parties(),
    "the end of a drain wakes nobody": Parties(),
    "a waiter does not look again before it parks": Parties(callers=2, upgrades=()),
    "release does not look for attention": Parties(callers=2, upgrades=()),
    "a cancelled candidate may be offered": Parties(callers=0, upgrades=(2, 3), canceller=True),
    "a drain ends before the last call": Parties(),
    "publish takes no lock": Parties(),
}
"""Mutants of the production code, and the smallest program that shows them."""


def limits(parties: Parties) -> Limits:
    return Limits(timeouts=int(parties.timeouts))


def explored(parties: Parties, count: int) -> Verdict:
    """The search comes to its end and finds nothing, in as many states as known."""
    with remembered():
        verdict, found = states(parties.program, limits(parties))
    assert verdict.failure is None, str(verdict)
    assert (verdict.coverage, len(found.slept)) == ("exhaustive in states", count)
    return verdict


@pytest.mark.parametrize("name", STATES)
def test_every_state_keeps_s1_to_s3(name: str) -> None:
    verdict = explored(*STATES[name])
    assert len(verdict.outcomes) >= 1 + ("exclusive" not in name or "fails" not in name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_every_state_of_a_larger_program_keeps_s1_to_s3(name: str) -> None:
    explored(*LARGE[name])


@pytest.mark.parametrize("name", [name for name in STATES if "two callers" not in name])
def test_larger_steps_lead_to_what_single_accesses_lead_to(name: str) -> None:
    """In fewer states; what joins what is argued in `core_states.py`, and this is the check."""
    parties, count = STATES[name]
    with remembered(each_access=True):
        verdict, found = states(parties.program, limits(parties))
    assert verdict.failure is None, str(verdict)
    assert len(found.slept) > count
    assert set(verdict.outcomes) == set(explored(parties, count).outcomes)


@pytest.mark.parametrize(
    "parties",
    [
        Parties(callers=2, upgrades=()),
        Parties(callers=3, upgrades=()),
        pytest.param(Parties(callers=2, timeouts=True), marks=pytest.mark.slow),
    ],
)
def test_the_states_that_stand_for_all_are_those_and_no_others(parties: Parties) -> None:
    """Found without knowing that callers are alike, and then put together."""
    with remembered():
        every, found = states(parties.program, limits(parties), alike=False)
        verdict, alike = states(parties.program, limits(parties))
    assert every.failure is None, str(every)
    assert verdict.failure is None, str(verdict)
    assert found.stand_for_all == alike.slept.keys()
    assert len(alike.slept) < len(found.slept)
    assert set(verdict.outcomes) == set(every.outcomes)


@pytest.mark.parametrize(
    "name", ["caller, upgrader", "caller, upgrader, exclusive", "caller, upgrader that may time out"]
)
def test_the_search_of_states_comes_to_what_the_search_of_schedules_comes_to(name: str) -> None:
    """Another reduction, which knows nothing of states, on the same program."""
    parties, _ = STATES[name]
    with remembered():
        verdict, _ = states(parties.program, limits(parties))
        schedules = explore(parties.program, limits(parties))
    assert schedules.coverage == "exhaustive"
    assert schedules.failure is None, str(schedules)
    assert set(schedules.outcomes) == set(verdict.outcomes)


@pytest.mark.parametrize("mutant", FOUND)
def test_a_mutant_is_found_and_its_schedule_replays(monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    parties = FOUND[mutant]
    with remembered():
        verdict, _ = states(parties.program, limits(parties))
        assert verdict.failure is None, "it is the mutant that shows"
    for owner, name, value in MUTANTS[mutant].patches:
        monkeypatch.setattr(owner, name, value)
    with remembered():
        verdict, _ = states(parties.program, limits(parties))
        assert verdict.failure is not None
        assert replay(parties.program, verdict.failure.schedule, limits(parties)) == verdict.failure
    print(f"\n{mutant}: {verdict.failure.kind.__name__} {verdict.failure.schedule}")  # noqa: T201  pytest -rP shows it
