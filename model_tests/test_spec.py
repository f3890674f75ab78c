"""The specification holds: every property in every reachable state at small bounds, and each property can fail."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, Final

import pytest

from hotswap_spec import LEVELS
from hotswap_spec._explore import Exploration
from hotswap_spec._fairness import counterexample, leads_to
from hotswap_spec._model import Level
from hotswap_spec.upgrade import NOTHING
from mutants import BROKEN, CANDIDATE_KEPT, edited, with_effects, with_guard
from stories import replayed

ADMISSION, UPGRADE, MANAGER = (LEVELS[name] for name in ("admission", "upgrade", "manager"))
EVERY: Final = pytest.mark.parametrize("level", LEVELS.values(), ids=list(LEVELS))


LIVE: Final = {  # enough for a mutant, and faster than the live bounds
    "admission": {"callers": 1, "versions": 2, "size": 1, "closers": 1, "calls": 1},
    "upgrade": {"callers": 1, "upgraders": 1, "versions": 3, "closers": 1, "endless": True},
    "manager": {"registrars": 2, "users": 1, "upgraders": 1, "unregisterers": 1, "closers": 1},
}


def explore(level: Level, bounds: str) -> Exploration:
    return Exploration(level, level.initial(**level.bounds[bounds][0]))


@cache
def explored(name: str, bounds: str) -> Exploration:
    return explore(LEVELS[name], bounds)


# It holds --------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("bounds", ["small", "live"])
def test_every_property_holds_in_every_state_and_there_are_as_many_as_known(level: Level, bounds: str) -> None:
    found = explored(level.name, bounds)
    assert found.failure is None, found.failure.story()
    assert len(found.states) == level.bounds[bounds][1]
    assert found.seen == level.sometimes.keys()


@pytest.mark.parametrize(
    ("level", "states", "edges"), [(ADMISSION, 12_011, 24_442), (UPGRADE, 24_052, 127_669), (MANAGER, 2_652, 12_308)]
)
def test_there_are_as_many_steps_as_known(level: Level, states: int, edges: int) -> None:
    """A step that is lost shows here, also where no property fails without it."""
    found = explored(level.name, "small")
    assert found.failure is None
    assert (len(found.states), found.edges) == (states, edges)


def test_a_call_that_was_held_passes_the_next_gate() -> None:
    """It takes two gates: the small bounds have no more than one."""
    strict = replace(UPGRADE, guards=UPGRADE.guards | {"may pass": lambda s, _: not s.shut})
    assert explore(strict, "small").edges < explored("upgrade", "small").edges
    found = explored("admission", "gates")
    assert found.failure is None
    assert (len(found.states), found.edges) == (ADMISSION.bounds["gates"][1], 352_465)


@EVERY
def test_what_is_begun_comes_to_its_end_and_what_need_not_may_never(level: Level) -> None:
    refuted = {what: claim for what, claim in level.refuted.items() if isinstance(claim, tuple)}
    failures = leads_to(level, level.initial(**level.bounds["live"][0]), {**level.leads_to, **refuted})
    assert [failure.story() for failure in failures if failure.what not in refuted] == []
    assert {failure.what for failure in failures} == refuted.keys()


def test_a_lock_that_is_not_fair_can_starve_who_waits_for_it() -> None:
    """Why callers call once each at the live bounds of admission: no lock of ours promises an order."""
    claims = {name: claim for name, claim in ADMISSION.leads_to.items() if name.startswith("L3")}
    (failure,) = leads_to(ADMISSION, ADMISSION.initial(callers=2, versions=2, size=1), claims)
    assert failure.loop
    assert all(to.callers[0].at not in ("inside", "outside") for _, _, to in failure.loop)
    assert {row.who for row, i, _ in failure.loop if i == 1} == {"caller"}
    assert replayed(ADMISSION, failure) != failure.start


@pytest.mark.parametrize(
    ("level", "claim"),
    [(level, what) for level in LEVELS.values() for what, claim in level.refuted.items() if callable(claim)],
)
def test_what_is_refuted_is_false(level: Level, claim: str) -> None:
    failure = counterexample(level, claim)
    assert failure
    assert not level.refuted[claim](failure.steps[-1][2])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@EVERY
def test_every_property_holds_at_large_bounds(level: Level) -> None:
    found = explore(level, "large")
    assert found.failure is None, found.failure.story()
    assert len(found.states) == level.bounds["large"][1]
    assert found.seen == level.sometimes.keys()


@pytest.mark.parametrize("claim", ["S9 a second plugin bears the name", "a handle is of a plugin that serves"])
def test_a_counterexample_is_shortest(claim: str) -> None:
    """Compared with a search that knows nothing of the explorer's."""
    failure = counterexample(MANAGER, claim)
    assert failure
    holds = MANAGER.refuted.get(claim) or (lambda s: not MANAGER.sometimes[claim](s))
    layer, depth = {failure.start}, 0
    while all(map(holds, layer)):
        layer, depth = {to for state in layer for _, _, to in MANAGER.next(state)}, depth + 1
    assert len(failure.steps) == depth


# The tables ------------------------------------------------------------------------------------------------


@EVERY
def test_every_step_of_the_table_is_done(level: Level) -> None:
    done = explored(level.name, "small").done | explored(level.name, "live").done
    assert done == {row.name for row in level.rows}


@EVERY
def test_a_step_goes_where_the_table_says(level: Level) -> None:
    for state in explored(level.name, "small").states:
        for row, i, to in level.next(state):
            assert getattr(to, f"{row.who}s")[i].at in row.to.split(), row


@EVERY
def test_every_guard_and_effect_is_of_some_step(level: Level) -> None:
    named = {name.removeprefix("not ") for row in level.rows for name in row.when.split(", ")}
    assert level.guards.keys() <= named
    assert level.effects.keys() <= {row.does for row in level.rows}


@EVERY
def test_a_place_where_a_thread_may_rest_is_one_that_there_is(level: Level) -> None:
    states = [*explored(level.name, "small").states, *explored(level.name, "live").states]
    assert set(level.rest.split()) <= {thread.at for state in states for k, _ in level.program for thread in state[k]}


@EVERY
def test_symmetry_leaves_out_only_what_differs_in_who_is_who(level: Level) -> None:
    alone = explore(replace(level, symmetric=()), "small")
    merged = explored(level.name, "small")
    assert {level.canonical(state) for state in alone.states} == set(merged.states)
    assert len(alone.states) > len(merged.states)


# Each property can fail: one thing is changed, and it does. -------------------------------------------------


def old_is_interrupted(s: Any, i: int) -> Any:
    return s.go("versions", s.upgraders[i].old.code, interrupted=True)._replace(phase="DRAINING")


def no_drain_is_told(s: Any, i: int) -> Any:
    v = s.locks[0].version
    s = s.go("versions", v, at="drained") if s.versions[v].gathered == s.size else s
    return s.serve_no_more(i, v + 1)


def torn_offer(s: Any, i: int) -> Any:
    t = UPGRADE.effects["offer"](s, i)
    return t.go("upgraders", i, new=t.upgraders[i].new._replace(manifest=0))


def calls_end(s: Any, i: int) -> Any:
    return s.close(i)._replace(callers=tuple(one._replace(at="outside", on=NOTHING) for one in s.callers))


def serves_the_last(s: Any, _: int) -> Any:
    i = max(range(len(s.callers)), key=lambda i: s.callers[i].place)
    at, place = "woken" if s.callers[i].at == "parked" else s.callers[i].at, s.callers[i].place
    s = s.without(place).go("callers", i, at=at, lease=s.current, floor=0, place=0)
    return s.moved_leases(s.current, free=-1)


def fails_by_committing(s: Any, i: int) -> Any:
    return s.commit(i)._replace(successes=s.successes, failures=s.failures + 1)


MUTANTS: dict[str, list[tuple[str, Level]]] = {
    "admission": [
        ("S3 every lease", with_effects(ADMISSION, reclaim=lambda s, _: s)),
        ("S8 who is live", CANDIDATE_KEPT),
        ("L2 no drain", with_effects(ADMISSION, gather_no_more=no_drain_is_told)),
        ("L3 no waiter", with_guard(ADMISSION, "leave", "-")),
        ("L3 a drain", replace(ADMISSION, guards=ADMISSION.guards | {"may pass on": lambda *_: False})),
        ("S1 a call runs", with_effects(ADMISSION, close=lambda s, i: s.close(i).go("callers", 0, lease=-1))),
        ("S2 a call that", with_effects(ADMISSION, reinstate=lambda s, i: s._replace(current=s.operators[i].version))),
        ("S3 only what", edited(ADMISSION, "  drained  reclaim", "  drained retired  reclaim")),
        ("L3 who waits", with_effects(ADMISSION, serve=serves_the_last)),
        ("L2 what", edited(ADMISSION, "must  is reclaimed", "may  is reclaimed")),
        ("L3 a waiting", edited(ADMISSION, "must  looks whether it was", "may  looks whether it was")),
        ("L4 a close", edited(ADMISSION, "must  ends its call", "may  ends its call")),
    ],
    "upgrade": [
        ("S3 a version in", BROKEN["S3"]),
        ("S4 a rollback", BROKEN["S4"]),
        ("S5 one thread", BROKEN["S5"]),
        ("S5 ACTIVE", with_effects(UPGRADE, finish=lambda s, _: s._replace(phase="ACTIVE"))),
        ("S6 code", with_effects(UPGRADE, offer=torn_offer)),
        ("S7 attempts", BROKEN["S7"]),
        ("S8 every", BROKEN["S8"]),
        ("S1 a call runs to", with_effects(UPGRADE, close=calls_end)),
        ("S1 only a drain", with_effects(UPGRADE, drain=old_is_interrupted)),
        (
            "S2 a call is admitted",
            with_effects(UPGRADE, admit=lambda s, i: s.go("callers", i, on=s.before, passes=False)),
        ),
        ("S2 what is", with_effects(UPGRADE, begin=lambda s, i: s.begin(i)._replace(current=s.upgraders[i].new))),
        (
            "S2 with EXCLUSIVE",
            replace(UPGRADE, guards=UPGRADE.guards | {"may pass": lambda s, i: not s.shut or s.callers[i].passes}),
        ),
        ("S3 only", edited(UPGRADE, "  retired    reclaim", "  retired candidate  reclaim")),
        ("S4 an attempt", with_effects(UPGRADE, fail=lambda s, i: UPGRADE.effects["fail"](s, i)._replace(shut=True))),
        ("S5 a request", with_effects(UPGRADE, ask_inside=lambda s, _: s._replace(before=s.current, shut=True))),
        ("S7 a success", with_effects(UPGRADE, commit=fails_by_committing)),
        ("S7 a cancel", with_effects(UPGRADE, cancel=lambda s, i: s.cancel(i)._replace(cancelled=0, failures=1))),
        ("L1 an upgrade", edited(UPGRADE, "must  is done", "may   is done")),
        ("L2 what", edited(UPGRADE, "must  is reclaimed", "may  is reclaimed")),
        ("L3 a held", edited(UPGRADE, "again  is let in", "must  is let in")),
        ("L4 a close", edited(UPGRADE, "must   ends its call", "may   ends its call")),
    ],
    "manager": [
        ("S9 a name", with_guard(MANAGER, "delete", "-")),
        ("S9 when", with_guard(MANAGER, "delete", "-")),
        ("S9 a listed", with_effects(MANAGER, close=lambda s, i: s.close(i)._replace(taken=-1))),
        ("S9 a handle", with_guard(MANAGER, "call", "-")),
        ("L1 an upgrade", edited(MANAGER, "must  is told PluginClosed", "may  is told PluginClosed")),
        ("L4 unregister", edited(MANAGER, "must  ends its call", "may  ends its call")),
        ("L4 a close", edited(MANAGER, "must  ends its call", "may  ends its call")),
    ],
}


def promises(level: Level) -> list[str]:
    return [*level.always, *level.steps, *level.leads_to]


@EVERY
def test_there_is_a_mutant_for_each_property(level: Level) -> None:
    begin = [begin for begin, _ in MUTANTS[level.name]]
    assert all(sum(name.startswith(one) for one in begin) == 1 for name in promises(level)), begin
    assert len(begin) == len(promises(level))


@pytest.mark.parametrize(
    ("level", "begin", "mutant"),
    [(level, *one) for level in LEVELS.values() for one in MUTANTS[level.name]],
    ids=lambda one: one if isinstance(one, str) else one.name,
)
def test_a_property_fails_where_it_should(level: Level, begin: str, mutant: Level) -> None:
    (name,) = (name for name in promises(level) if name.startswith(begin))
    if name in level.leads_to:
        (failure,) = leads_to(mutant, mutant.initial(**LIVE[level.name]), {name: level.leads_to[name]})
        assert failure.loop is not None
        assert replayed(mutant, failure) != failure.start
        assert leads_to(level, level.initial(**LIVE[level.name]), {name: level.leads_to[name]}) == []
        return
    always = {one: holds for one, holds in level.always.items() if one == name}
    steps = {one: keeps for one, keeps in level.steps.items() if one == name}
    only = replace(mutant, always=always, steps=steps, sometimes={}, rest="")
    bounds = (bounds for bounds in level.bounds if bounds != "large")
    found = next((explored.failure for one in bounds if (explored := explore(only, one)).failure), None)
    assert found
    assert found.what == name
    assert replayed(mutant, found) != found.start


@EVERY
def test_nobody_is_stuck_on_the_way(level: Level) -> None:
    """Without the step that reclaims, or that ends a call, somebody waits for ever and nothing happens."""
    step = {"admission": "release", "upgrade": "end", "manager": "empty"}[level.name]
    stuck = replace(level, table="\n".join(one for one in level.table.splitlines() if f"  {step} " not in one))
    failure = explore(stuck, "small").failure
    assert failure
    assert failure.what.startswith("no deadlock")
