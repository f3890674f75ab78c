"""The seed's own protocol has the defects that are said of it: each is found as a shortest run, and goes when repaired.

A repair changes one step, or the size of the ring, and mends the one defect at its bounds. It is there so that the
search can be seen to find nothing; it is not how our protocol does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from hotswap_spec._explore import Exploration, label
from hotswap_spec._model import Effect, Guard, Level
from mutants import with_effects, with_guard
from seed_protocol import CLAIMS, DEFECTS, EFFECTS, LEVEL, SMALL, State, counterexample, initial

PREPARE = ["preparer 0 check", "preparer 0 claim", "preparer 0 offer", "preparer 0 set_manifest"]
BEGIN = ["executor 0 check_prepared", "executor 0 drain", "executor 0 advance"]
SWAP = ["executor 0 see_drained", "executor 0 take"]

SHORTEST: dict[int, list[str]] = {
    1: [*PREPARE[:2], "preparer 0 fail", *BEGIN, *SWAP],
    2: ["caller 0 load_epoch", "caller 0 count_in", *PREPARE, *BEGIN, "executor 0 time_out", "caller 0 count_out"],
    3: [*PREPARE, "canceller 0 check_cancel", "canceller 0 cancel"],
    4: [*PREPARE, *BEGIN, "caller 0 load_epoch", "caller 0 count_in", *SWAP],
    7: ["caller 0 load_epoch", *PREPARE, *BEGIN, "executor 0 see_drained", "caller 0 count_in"],
    8: [*PREPARE, BEGIN[0], "canceller 0 check_cancel", *BEGIN[1:], "canceller 0 cancel", *SWAP],
    9: [*PREPARE[:2], "canceller 0 check_cancel", "canceller 0 cancel", *PREPARE[2:]],
    10: [
        *("preparer 0 check", "preparer 1 check"),
        *("preparer 0 claim", "preparer 0 offer"),
        *("preparer 1 claim", "preparer 1 offer", "preparer 1 set_manifest"),
        "preparer 0 set_manifest",
    ],
    14: [
        *("caller 0 load_epoch", "caller 0 count_in"),
        *("preparer 0 check", "preparer 0 claim"),
        *("executor 0 check_prepared", "executor 1 check_prepared"),
        *("executor 0 drain", "executor 0 advance", "executor 1 drain", "executor 1 advance"),
        *("caller 1 load_epoch", "caller 1 count_in"),
    ],
}
ENDS: dict[int, dict[str, Any]] = {
    1: {"phase": "SWAPPING", "code": 1},
    2: {"phase": "ROLLED_BACK", "code": 1},
    3: {"phase": "ACTIVE", "code": 1, "manifest": 2, "pending": 0},
    4: {"phase": "ACTIVE", "code": 2, "epoch": 1},
    7: {"phase": "SWAPPING", "refs": (1, 0), "epoch": 1},
    8: {"phase": "SWAPPING", "code": 1, "manifest": 2, "pending": 0},
    9: {"phase": "ACTIVE", "code": 1, "manifest": 2, "pending": 2},
    10: {"phase": "PREPARING_UPGRADE", "manifest": 2, "pending": 3},
    14: {"refs": (2, 0), "epoch": 2},
}
STATES = {1: 28, 2: 170, 3: 16, 4: 170, 7: 170, 8: 116, 9: 16, 10: 42, 14: 29_768}


def search(n: int, level: Level = LEVEL) -> tuple[list[str], State] | None:
    """The steps to a state where defect `n` shows, and that state; None if there is none."""
    failure = counterexample(n, level)
    if failure is None:
        return None
    assert failure.what.startswith(f"{n}. Expected")
    return [label(step) for step in failure.steps], failure.steps[-1][2]


def layers(start: State) -> Iterator[set[State]]:
    """The states that are first reached in 0, 1, 2 and so on steps, found without the explorer."""
    seen, layer = {start}, {start}
    while layer:
        yield layer
        layer = {step[2] for state in layer for step in LEVEL.next(state)} - seen
        seen |= layer


def after(name: str, more: Effect) -> Level:
    """The seed with one step that does more."""
    return with_effects(LEVEL, **{name: lambda s, i: more(EFFECTS.get(name, lambda s, _: s)(s, i), i)})


def guarded(step: str, guard: Guard) -> Level:
    """The seed with another guard of one step."""
    return replace(with_guard(LEVEL, step, "repaired"), guards=LEVEL.guards | {"repaired": guard})


REPAIRED: dict[int, Level] = {
    1: after("take", lambda s, _: s._replace(phase="ACTIVE")),
    2: after("time_out", lambda s, _: s._replace(phase="ACTIVE")),
    3: with_effects(LEVEL, set_manifest=lambda s, _: s),
    4: guarded("load_epoch", lambda s, _: s.phase in ("ACTIVE", "PREPARING_UPGRADE")),
    7: with_effects(LEVEL, count_in=lambda s, i: EFFECTS["count_in"](EFFECTS["load_epoch"](s, i), i)),
    8: after("take", lambda s, _: s._replace(phase="ACTIVE")),
    9: guarded("offer", lambda s, _: s.phase == "PREPARING_UPGRADE"),
    10: after("check", lambda s, _: s._replace(phase="PREPARING_UPGRADE")),
}


def test_the_defects_are_the_nine_that_are_of_the_protocol() -> None:
    assert list(DEFECTS) == list(CLAIMS) == list(SHORTEST) == [1, 2, 3, 4, 7, 8, 9, 10, 14]


@pytest.mark.parametrize("n", DEFECTS)
def test_the_explorer_finds_the_defect(n: int) -> None:
    found = search(n)
    assert found is not None
    labels, end = found
    assert labels == SHORTEST[n]
    assert {name: getattr(end, name) for name in ENDS[n]} == ENDS[n]


@pytest.mark.parametrize("n", DEFECTS)
def test_no_shorter_run_has_the_defect(n: int) -> None:
    holds, bounds = CLAIMS[n]
    length = next(d for d, layer in enumerate(layers(initial(*bounds))) if not all(map(holds, layer)))
    assert length == len(SHORTEST[n])


@pytest.mark.parametrize("n", REPAIRED)
def test_the_defect_goes_when_one_step_is_repaired(n: int) -> None:
    assert search(n, REPAIRED[n]) is None


def test_numbers_do_not_meet_in_a_ring_that_is_larger_than_the_epochs_are_many() -> None:
    assert search(14) is not None
    assert search(14, replace(LEVEL, initial=partial(initial, ring=3))) is None


@pytest.mark.parametrize("level", [LEVEL, *REPAIRED.values()], ids=["seed", *map(str, REPAIRED)])
def test_the_seed_can_upgrade_also_when_repaired(level: Level) -> None:
    """Else a repair might show nothing, because nothing happens any more."""
    upgraded = replace(level, sometimes={"upgraded": lambda s: (s.code, s.phase) == (2, "ACTIVE")})
    result = Exploration(upgraded, initial(1, 1, 1, 1))
    assert result.failure is None
    assert result.seen == {"upgraded"}


@pytest.mark.parametrize(("n", "for_ever"), [(1, True), (2, True), (8, True), (3, False)])
def test_what_is_stuck_is_so_for_ever(n: int, for_ever: bool) -> None:
    """Whoever comes, the phase does not change; after defect 3, for one, it does."""
    found = search(n)
    assert found is not None
    end, anew = found[1], initial(2, 2, 2, 2)
    start = end._replace(
        **{group: getattr(anew, group) for group in ("callers", "preparers", "executors", "cancellers")}
    )
    same = {"the phase stays": lambda s: s.phase == end.phase}
    assert (Exploration(replace(LEVEL, always=same), start).failure is None) is for_ever


@pytest.mark.parametrize(
    ("bounds", "states"), [*((CLAIMS[n][1], STATES[n]) for n in DEFECTS), (SMALL.values(), 10_146)]
)
def test_the_number_of_states_is_known_and_nobody_hangs_on_the_way(bounds: Any, states: int) -> None:
    result = Exploration(LEVEL, initial(*bounds))
    assert result.failure is None
    assert len(result.states) == states


def test_every_step_of_the_table_is_done() -> None:
    assert Exploration(LEVEL, initial(**SMALL)).done == {row.name for row in LEVEL.rows}


def test_each_defect_says_which_guarantee_it_breaks() -> None:
    broken = " ".join(expected.split()[0] for expected, _ in DEFECTS.values())
    assert broken == "L1 L1 S4 S2 S3 S5 S8 S6 S7"
