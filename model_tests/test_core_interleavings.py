"""The production core and protocol in every state that small programs can reach, with two callers by `make verify`."""

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
    "caller, upgrader": (Parties(), 1065),
    "caller, upgrader, exclusive": (EXCLUSIVE, 1426),
    "caller, upgrader that fails at publish": (Parties(fails_at="publish"), 1167),
    "caller, upgrader that fails at commit": (Parties(fails_at="commit"), 1538),
    "caller, upgrader that fails at begin, exclusive": (replace(EXCLUSIVE, fails_at="begin"), 1168),
    "caller, upgrader that fails at commit, exclusive": (replace(EXCLUSIVE, fails_at="commit"), 1464),
    "caller, upgrader that may time out": (Parties(timeouts=True), 1486),
    "caller, upgrader that may time out, exclusive": (replace(EXCLUSIVE, timeouts=True), 1894),
    "caller, closer": (Parties(upgrades=(), closer=True), 641),
    "upgrader, closer": (Parties(callers=0, closer=True), 4106),
    "upgrader, closer, exclusive": (replace(EXCLUSIVE, callers=0, closer=True), 3347),
    "upgrader, canceller": (Parties(callers=0, canceller=True), 123),
    "caller, upgrader, canceller": (Parties(canceller=True), 3504),
}
"""How many states there are. They change when the code takes other steps: then look at the outcomes, and pin anew."""

LARGE: Final[dict[str, tuple[Parties, int]]] = {
    "caller, upgrader, canceller, exclusive": (replace(EXCLUSIVE, canceller=True), 4597),
    "caller, two upgraders": (Parties(upgrades=(2, 3)), 7549),
    "caller, two upgraders, exclusive": (replace(EXCLUSIVE, upgrades=(2, 3)), 11682),
    "two callers, upgrader, two instances": (Parties(callers=2, instances=2), 59537),
    "two callers, upgrader, exclusive": (replace(EXCLUSIVE, callers=2), 120002),
}

TOO_LARGE: Final[dict[str, Parties]] = {
    "three callers, upgrader": Parties(callers=3),
    "three callers, upgrader, exclusive": replace(EXCLUSIVE, callers=3),
    "two callers, two upgraders": Parties(callers=2, upgrades=(2, 3)),
    "two callers, upgrader, canceller": Parties(callers=2, canceller=True),
    "caller, upgrader, closer": Parties(closer=True),
    "caller, upgrader, closer, exclusive": replace(EXCLUSIVE, closer=True),
}
"""The search does not come to its end in reasonable time: cut off, and no claim that this is everything."""

RUNS_MAX: Final = 40_000

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
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", LARGE)
def test_every_state_of_a_larger_program_keeps_s1_to_s3(name: str) -> None:
    explored(*LARGE[name])


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
