"""The explorer finds what is there: models so small that their states and defects are known."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from hotswap_spec._explore import Exploration, label
from hotswap_spec._fairness import Fairness, counterexample, leads_to
from hotswap_spec._model import Level, go, put
from stories import replayed


class Thread(NamedTuple):
    at: str
    read: int = 0


class State(NamedTuple):
    workers: tuple[Thread, ...]
    shared: int = 0

    def load(self, i: int) -> State:
        return go(self, "workers", i, read=self.shared)

    def store(self, i: int) -> State:
        return self._replace(shared=self.workers[i].read + 1)


def start(workers: int) -> State:
    return State((Thread("ready"),) * workers)


COUNTER = Level(
    name="counter",
    state=State,
    table="""
worker
  ready   load   loaded  -  must  reads the counter
  loaded  store  done    -  must  writes one more
""",
    guards={},
    effects={},
    initial=start,
    bounds={"small": ({"workers": 2}, 0)},
    rest="done",
    always={},
    sometimes={},
    steps={},
    symmetric=("workers",),
)
"""Two accesses where one was meant: the lost update."""


def all_done(s: State) -> bool:
    return all(one.at == "done" for one in s.workers)


EXACT = {"nothing is lost": lambda s: not all_done(s) or s.shared == len(s.workers)}


# States and steps ------------------------------------------------------------------------------------------


def by_hand(workers: int) -> tuple[set[State], int]:
    """All states and the number of steps, by a search that shares nothing with the explorer."""
    found, todo, edges = {start(workers)}, [start(workers)], 0
    while todo:
        state = todo.pop()
        for i, one in enumerate(state.workers):
            if one.at != "done":
                moved = one._replace(at="loaded", read=state.shared) if one.at == "ready" else one._replace(at="done")
                shared = state.shared if one.at == "ready" else one.read + 1
                to = State((*state.workers[:i], moved, *state.workers[i + 1 :]), shared)
                edges += 1
                todo += [to] if to not in found else []
                found.add(to)
    return found, edges


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_every_state_is_visited_once_and_every_step_counted(workers: int) -> None:
    found = Exploration(replace(COUNTER, symmetric=()), start(workers))
    states, edges = by_hand(workers)
    assert len(found.states) == len(states)
    assert set(found.states) == states
    assert found.edges == edges
    assert found.failure is None


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_of_states_that_differ_in_who_is_who_one_is_visited(workers: int) -> None:
    found = Exploration(COUNTER, start(workers))
    assert len(found.states) == len({(s.shared, tuple(sorted(s.workers))) for s in by_hand(workers)[0]})


# Safety ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetric", [(), ("workers",)])
def test_a_lost_update_is_found_by_a_shortest_run(symmetric: tuple[str, ...]) -> None:
    failure = Exploration(replace(COUNTER, always=EXACT, symmetric=symmetric), start(2)).failure
    assert failure
    assert failure.what == "nothing is lost"
    assert sorted(label(step) for step in failure.steps) == [
        *("worker 0 load", "worker 0 store", "worker 1 load", "worker 1 store")
    ]
    assert [step[0].name for step in failure.steps] == ["load", "load", "store", "store"]
    assert failure.start == start(2)
    assert not EXACT["nothing is lost"](replayed(COUNTER, failure))


def test_one_step_that_was_meant_loses_nothing() -> None:
    whole = replace(
        COUNTER,
        table="worker\n  ready  add  done  -  must  adds one",
        effects={"add": lambda s, _: s._replace(shared=s.shared + 1)},
        always=EXACT,
    )
    found = Exploration(whole, start(3))
    assert found.failure is None
    assert len(found.states) == 4


def test_a_property_of_steps_is_told_with_the_step_that_breaks_it() -> None:
    never = {"nobody stores": lambda _s, step, _t: step != "store"}
    failure = Exploration(replace(COUNTER, steps=never), start(2)).failure
    assert failure
    assert [step[0].name for step in failure.steps] == ["load", "store"]


def test_a_deadlock_is_a_failure_unless_everybody_rests() -> None:
    assert Exploration(COUNTER, start(2)).failure is None
    failure = Exploration(replace(COUNTER, rest="ready"), start(2)).failure
    assert failure
    assert failure.what.startswith("no deadlock")
    assert len(failure.steps) == 4
    assert Exploration(replace(COUNTER, rest=""), start(2)).failure is None


def test_a_step_that_may_be_done_does_not_help_who_is_stuck() -> None:
    lazy = replace(COUNTER, table=COUNTER.table.replace("must  writes", "may  writes"))
    failure = Exploration(lazy, start(1)).failure
    assert failure
    assert [label(step) for step in failure.steps] == ["worker 0 load"]


def test_what_happens_sometimes_is_seen_and_told() -> None:
    level = replace(COUNTER, sometimes={"two": lambda s: s.shared == 2, "three": lambda s: s.shared == 3})
    assert Exploration(level, start(2)).seen == {"two"}
    found = counterexample(level, "two")
    assert found
    assert len(found.steps) == 4
    assert counterexample(level, "three") is None


def test_a_counterexample_is_not_hidden_by_a_deadlock() -> None:
    level = replace(COUNTER, rest="ready", refuted={"it stays below two": lambda s: s.shared < 2})
    found = counterexample(level, "it stays below two")
    assert found
    assert found.what == "it stays below two"


def test_progress_is_told() -> None:
    told: list[int] = []
    Exploration(COUNTER, start(2), told.append)
    assert told == [0]


# The table -------------------------------------------------------------------------------------------------


def test_guards_are_combined_and_turned_round() -> None:
    table = "worker\n  ready  load  loaded  first, not late  must  reads\n  loaded  store  done  -  must  writes"
    guards = {"first": lambda _s, i: i == 0, "late": lambda s, _: s.shared > 0}
    level = replace(COUNTER, table=table, guards=guards)
    assert [label(step) for step in level.next(start(2))] == ["worker 0 load"]
    assert list(level.next(start(2)._replace(shared=1))) == []


def test_a_guard_that_is_not_there_is_an_error() -> None:
    level = replace(COUNTER, table=COUNTER.table.replace("-  must  reads", "missing  must  reads"))
    with pytest.raises(KeyError, match="missing"):
        Exploration(level, start(1))


def test_a_field_that_is_not_there_is_an_error() -> None:
    with pytest.raises(TypeError, match="Thread has no wrong"):
        go(start(1), "workers", 0, wrong=1)


def test_an_effect_changes_nothing_else() -> None:
    before = start(2)
    after = go(before, "workers", 1, read=7)
    assert after == State((Thread("ready"), Thread("ready", 7)))
    assert before == start(2)
    assert put(after, 1, 5) == after._replace(shared=5)
    assert type(after) is State


# Leads-to --------------------------------------------------------------------------------------------------


class Turn(NamedTuple):
    at: str


class Lock(NamedTuple):
    clients: tuple[Turn, ...]

    def free(self, _i: int) -> bool:
        return all(one.at != "inside" for one in self.clients)


MUTEX = Level(
    name="mutex",
    state=Lock,
    table="""
client
  away     ask    waiting  -     may    wants to go in
  waiting  enter  inside   free  FAIR   goes in
  inside   leave  away     -     must   goes out
""",
    guards={},
    effects={},
    initial=lambda clients: Lock((Turn("away"),) * clients),
    bounds={"small": ({"clients": 2}, 0), "live": ({"clients": 2}, 0)},
    rest="away",
    always={"one at a time": lambda s: sum(one.at == "inside" for one in s.clients) < 2},
    sometimes={},
    steps={},
)
IN_TURN = {"who waits goes in": (lambda s: s.clients[0].at == "waiting", lambda s: s.clients[0].at == "inside")}


def scheduled(fair: str) -> Level:
    return replace(MUTEX, table=MUTEX.table.replace("FAIR", fair.ljust(4)))


@pytest.mark.parametrize("clients", [2, 3])
def test_under_weak_fairness_a_client_can_starve_and_the_lasso_shows_how(clients: int) -> None:
    (failure,) = leads_to(scheduled("must"), MUTEX.initial(clients), IN_TURN)
    assert failure.loop
    states = [failure.steps[-1][2], *(step[2] for step in failure.loop)]
    assert states[0] == states[-1]
    assert all(one.clients[0].at == "waiting" for one in states)
    assert any(step[0].name == "enter" for step in failure.loop)
    assert {step[1] for step in failure.loop} <= set(range(1, clients))
    assert "and then, for ever:" in failure.story()


@pytest.mark.parametrize("clients", [1, 2, 3])
def test_under_strong_fairness_nobody_starves(clients: int) -> None:
    assert leads_to(scheduled("again"), MUTEX.initial(clients), IN_TURN) == []


def test_who_is_alone_goes_in_under_weak_fairness_and_need_not_without() -> None:
    assert leads_to(scheduled("must"), MUTEX.initial(1), IN_TURN) == []
    (failure,) = leads_to(scheduled("may"), MUTEX.initial(1), IN_TURN)
    assert failure.loop == []
    assert "nobody need do anything more" in failure.story()


def test_strong_fairness_does_not_help_if_the_way_is_never_free() -> None:
    """Whoever is inside need never leave: then nobody else's step is possible again and again."""
    stuck = scheduled("again")
    stuck = replace(stuck, table=stuck.table.replace("must   goes out", "may    goes out"))
    (failure,) = leads_to(stuck, MUTEX.initial(2), IN_TURN)
    assert any(one.at == "inside" for one in failure.steps[-1][2].clients)


def test_a_lasso_is_a_run_of_the_level() -> None:
    level = scheduled("must")
    (failure,) = leads_to(level, MUTEX.initial(2), IN_TURN)
    assert failure.start == MUTEX.initial(2)
    assert failure.loop
    assert replayed(level, failure) == failure.steps[-1][2]


def test_leads_to_does_not_merge_symmetric_states() -> None:
    merged = replace(scheduled("again"), symmetric=("clients",))
    assert len(Fairness(merged, MUTEX.initial(2)).found.states) == 8
    assert leads_to(merged, MUTEX.initial(2), IN_TURN) == []


# Stories ---------------------------------------------------------------------------------------------------


def test_a_story_says_who_did_what_and_what_changed() -> None:
    failure = Exploration(replace(COUNTER, always=EXACT, symmetric=()), start(2)).failure
    assert failure
    assert failure.story().splitlines() == [
        "nothing is lost",
        "   1. worker 0 load: reads the counter",
        "        workers 0 at: ready -> loaded",
        "   2. worker 1 load: reads the counter",
        "        workers 1 at: ready -> loaded",
        "   3. worker 0 store: writes one more",
        "        workers 0 at: loaded -> done",
        "        shared: 0 -> 1",
        "   4. worker 1 store: writes one more",
        "        workers 1 at: loaded -> done",
    ]


def test_a_counterexample_replays_when_symmetric_states_were_merged() -> None:
    failure = Exploration(replace(COUNTER, always=EXACT), start(3)).failure
    assert failure
    assert failure.start == start(3)
    assert not EXACT["nothing is lost"](replayed(COUNTER, failure))
