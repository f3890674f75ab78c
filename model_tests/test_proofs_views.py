"""The proofs are about the specification: their abstraction is its own, in every state that small bounds reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hotswap_spec import admission, upgrade
from hotswap_spec._model import Level
from mutants import BROKEN, CANDIDATE_KEPT, edited, with_effects
from proofs import admission_steps, upgrade_steps
from proofs import upgrade as counted
from proofs._tie import Comparison, Different, View, reachable
from proofs.views import ADMISSION, UPGRADE

VIEWS = {"upgrade": UPGRADE, "admission": ADMISSION}
BOUNDS: dict[str, list[dict[str, Any]]] = {
    "upgrade": [
        {"callers": 1, "upgraders": 2, "versions": 2, "cancellers": 1, "closers": 1, "endless": True},
        {"callers": 2, "upgraders": 2, "versions": 3, "cancellers": 1, "closers": 1},
    ],
    "admission": [
        {"callers": 1, "versions": 3, "size": 1, "closers": 1},
        {"callers": 2, "versions": 2, "size": 1},
        {"callers": 2, "versions": 2, "size": 2, "closers": 1, "calls": 1},
    ],
}
LARGER: list[tuple[str, dict[str, Any]]] = [
    ("upgrade", {"callers": 1, "upgraders": 3, "versions": 3, "cancellers": 1, "closers": 1}),
    ("upgrade", {"callers": 2, "upgraders": 1, "versions": 3, "cancellers": 1, "closers": 1, "endless": True}),
    ("admission", {"callers": 2, "versions": 3, "size": 1, "closers": 1, "calls": 1}),
]


def compared(view: View, bounds: dict[str, Any]) -> Comparison:
    comparison = Comparison(view)
    comparison.run(view.level.initial(**bounds))
    return comparison


@pytest.mark.parametrize("level", VIEWS)
def test_the_abstraction_does_what_the_specification_does_and_nothing_else(level: str) -> None:
    """And each of its ways is one that the specification goes: no contract is about what never happens."""
    view, done = VIEWS[level], set[str]()
    for bounds in BOUNDS[level]:
        done |= compared(view, bounds).done
    assert done == {str(way) for way in view.ways}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("level", "bounds"), LARGER)
def test_and_so_at_larger_bounds(level: str, bounds: dict[str, Any]) -> None:
    compared(VIEWS[level], bounds)


@pytest.mark.parametrize("level", VIEWS)
def test_every_step_of_the_specification_is_in_the_abstraction(level: str) -> None:
    view = VIEWS[level]
    steps = {way.name for way in view.ways}
    assert steps | view.unseen == {row.name for row in view.level.rows}


@pytest.mark.parametrize("level", VIEWS)
def test_what_is_said_of_ways_and_steps_is_said_of_some_that_are_there(level: str) -> None:
    view = VIEWS[level]
    assert set(view.wider) <= {str(way) for way in view.ways}
    assert view.every | view.here <= {way.name for way in view.ways}


def test_the_first_state_is_that_of_the_proofs() -> None:
    for v in range(3):
        s = upgrade.initial(callers=2, upgraders=4, versions=3, cancellers=5, closers=6, endless=True)
        assert UPGRADE.alpha(s, v) == upgrade_steps.start(v == 0, True, 2, 4, 5, 6)
        t = admission.initial(callers=2, versions=3, size=4, closers=5)
        assert ADMISSION.alpha(t, v) == admission_steps.start(v == 0, v, 3, 4, 5)


# The claims are the specification's own: where one of its steps is broken, both see it in the same states. ---


UPGRADES, ADMISSIONS = UPGRADE.level, ADMISSION.level
IDLE_OFFER = edited(UPGRADES, "offer                 prepared ", "offer                 preparing ")


def publish_a_torn_one(s: upgrade.State, i: int) -> upgrade.State:
    me = s.upgraders[i]
    return s.publish(i)._replace(current=upgrade.Ref(me.new.code, me.old.manifest))


@pytest.mark.parametrize(
    ("view", "claim", "level"),
    [
        *((UPGRADE, claim, level) for claim, level in BROKEN.items()),
        (UPGRADE, "S6", with_effects(UPGRADES, publish=publish_a_torn_one)),
        (ADMISSION, "S3", with_effects(ADMISSIONS, take=lambda s, i: s.go("callers", i, lease=s.callers[i].seen))),
        (ADMISSION, "S8", CANDIDATE_KEPT),
    ],
)
def test_a_claim_is_the_specifications_own(view: View, claim: str, level: Level) -> None:
    said = [holds for name, holds in level.always.items() if name.startswith(claim)]
    for bounds in BOUNDS[level.name]:
        for state, _ in reachable(level, level.initial(**bounds)):
            holds = all(one(state) for one in said)
            assert holds == all(view.claims[claim](view.alpha(state, v)) for v in range(len(state.versions)))
            if not holds:
                return
    pytest.fail("nothing was broken")


# The comparison can fail -----------------------------------------------------------------------------------


def without(view: View, name: str) -> View:
    return view._replace(ways=tuple(way for way in view.ways if way.name != name))


def able(view: View, name: str, can: Callable[[Any], bool]) -> View:
    return view._replace(ways=tuple(way._replace(can=can) if way.name == name else way for way in view.ways))


def doing(view: View, name: str, does: Callable[[Any], Any]) -> View:
    return view._replace(ways=tuple(way._replace(does=does) if way.name == name else way for way in view.ways))


def compared_at_all(view: View) -> None:
    for bounds in BOUNDS[view.level.name]:
        compared(view, bounds)


def blind(s: upgrade.State, v: int) -> counted.Counted:
    """Does not see that a gate has opened for who was held."""
    a: counted.Counted = UPGRADE.alpha(s, v)
    return a._replace(held=a.held + a.passing, passing=0)


def too_strong(s: counted.Counted) -> bool:
    return bool(counted.invariant(s) and s.inside == 0)


@pytest.mark.parametrize(
    ("view", "says"),
    [
        (UPGRADE._replace(alpha=blind), "time_out: done by the specification only"),
        (UPGRADE._replace(invariant=too_strong), "the invariant does not hold"),
        (without(UPGRADE, "go_away"), "go_away: done by the specification only"),
        (able(UPGRADE, "strike", can=lambda s: False), "strike: done by the specification only"),
        (
            able(UPGRADE, "detach", can=lambda s: s.place == counted.Place.DRAINING),
            "detach: done by the abstraction",
        ),
        (doing(UPGRADE, "finish", does=lambda s: s._replace(place=0)), "finish: done by the specification only"),
        (UPGRADE._replace(wider={}), "trap: done by the abstraction only"),
        (UPGRADE._replace(unseen=frozenset()), "reclaim: done by the specification only"),
        (UPGRADE._replace(every=frozenset()), "return_closed: done by the abstraction only"),
        (able(UPGRADE, "return_closed", can=lambda s: s.closed), "return_closed: not possible exactly if all"),
        (
            able(UPGRADE, "offer", can=lambda s: s.place == counted.Place.PREPARING),
            "offer: not possible exactly if it",
        ),
        (without(ADMISSION, "time_out"), "time_out: done by the specification only"),
        (able(ADMISSION, "take", can=lambda s: s.cleared > 0), "take: done by the abstraction only"),
        (UPGRADE._replace(level=with_effects(IDLE_OFFER, offer=lambda s, i: s)), "offer: done by the spec"),
        (ADMISSION._replace(level=edited(ADMISSIONS, "   lease free  ", "   -  ")), "take: done by the spec"),
    ],
)
def test_a_difference_is_found(view: View, says: str) -> None:
    with pytest.raises(Different, match=f"^{says}"):
        compared_at_all(view)
