"""A real manager and plugin on real wasm, in lockstep with the specification: a state machine asks things of both."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from hotswap import Cutover, OnDrainTimeout
from hotswap._runtime import CENSUS
from hotswap_spec import LEVELS
from hotswap_spec._explore import Exploration
from lockstep import Lockstep, NotInTheTable, after
from stateful_machine import PluginMachine
from stateful_mutants import MUTANTS, QUICK
from worlds import eventually

QUICKLY: Final = settings(
    max_examples=500,
    stateful_step_count=40,
    print_blob=True,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
DEEPLY: Final = settings(QUICKLY, max_examples=5_000, derandomize=False)
SHORT: Final = 12
UNTIL_FOUND: Final = settings(QUICKLY, max_examples=2_000, stateful_step_count=SHORT)
"""Among short programs only: to shrink a long one takes more runs than Hypothesis allows itself, on real wasm."""
OVERLAP, EXCLUSIVE = Cutover.OVERLAP, Cutover.EXCLUSIVE
ROLLBACK, INTERRUPT, DETACH = OnDrainTimeout.ROLLBACK, OnDrainTimeout.INTERRUPT, OnDrainTimeout.DETACH


@pytest.mark.timeout(600)
def test_every_observable_is_as_specified() -> None:
    gc.collect()  # what other tests have left
    created, alive = CENSUS.created, CENSUS.alive
    run_state_machine_as_test(PluginMachine, settings=QUICKLY)
    assert CENSUS.created > created

    def none_is_left() -> bool:
        """S8: those that never came out of a prepare too. What a program has given up, its last threads still hold,
        and the errors that it was told; and what other tests have left may be closed meanwhile, so not exactly.
        """
        gc.collect()
        return CENSUS.alive <= alive

    eventually(none_is_left)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_every_observable_is_as_specified_in_many_more_programs() -> None:
    run_state_machine_as_test(PluginMachine, settings=DEEPLY)


# Nothing is vacuous: programs that take every step of the tables ---------------------------------------------------


class Player:
    """Plays a program by hand: each rule as Hypothesis would call it, and then the comparison."""

    def __init__(self, machine: PluginMachine) -> None:
        self._machine = machine

    def __getattr__(self, name: str) -> Callable[..., None]:
        def play(*args: Any, **kwargs: Any) -> None:
            getattr(self._machine, name)(*args, **kwargs)
            self._machine.all_is_as_specified()

        return play

    def upgrade(self, *pauses: str, kind: str = "good", by_name: bool = False) -> None:
        self.__getattr__("upgrade")(kind, by_name, set(pauses))

    def prepare(self, *pauses: str, kind: str = "good") -> None:
        self.__getattr__("prepare")(kind, set(pauses))

    def execute(self, *pauses: str) -> None:
        self.__getattr__("execute")(set(pauses))


def overlap(p: Player) -> None:
    p.begin((OVERLAP, ROLLBACK), 2, 0)
    p.hold(0)
    p.upgrade()
    p.call(0, "version")  # on the new one
    p.cancel()  # too late
    p.upgrade()  # Busy
    p.time_passes()
    p.ask_from_inside(0)
    p.end_call(0)
    for kind in "garbage", "probe", "older":
        p.prepare(kind=kind)
    p.execute()  # nothing is prepared
    p.prepare()
    p.cancel()
    p.cancel()  # there is nothing left
    p.prepare(kind="older, allowed")
    p.execute("committed")
    p.upgrade()  # Busy
    p.resume(0, False)
    p.upgrade(kind="rebuilt, allowed", by_name=True)
    p.upgrade(kind="asks for more")
    p.upgrade(kind="asks for more, allowed")


def lost_while_it_was_prepared(p: Player) -> None:
    p.begin((OVERLAP, ROLLBACK), 1, 0)
    p.upgrade("load")
    p.cancel()
    p.upgrade("prepared")
    p.execute()  # another executes what was prepared by the first
    p.resume(0, False)
    p.resume(0, False)


def too_many_calls(p: Player) -> None:
    p.begin((OVERLAP, ROLLBACK), 1, 0)
    p.hold(0)
    p.call(0, "version")  # waits for an instance
    p.call(0, "trap")
    p.time_passes()  # Overloaded
    p.end_call(0)
    p.call(0, "nothing")


def exclusive(p: Player) -> None:
    p.begin((EXCLUSIVE, ROLLBACK), 1, 0)
    p.hold(0)
    p.upgrade()
    p.call(0, "version")  # is held at the gate
    p.hold(0)
    p.time_passes()  # rolled back; both wait for the one instance
    p.upgrade()  # the next gate stops neither
    p.end_call(0)
    p.call(0, "version")  # but this one
    p.end_call(0)


def closed_while_it_drains(p: Player) -> None:
    p.begin((EXCLUSIVE, ROLLBACK), 1, 0)
    p.hold(0)
    p.upgrade(by_name=True)
    p.hold(0)  # is held, and turned away
    p.unregister()
    p.call(0, "version")  # by a handle that was kept
    p.register("good", False)  # the name is taken
    p.end_call(0)
    p.forget(0, again=False)
    p.get(0)
    p.register("init", True)
    p.resume(0, False)
    p.register("good", False)
    p.get(0)
    p.call(0, "version")


def interrupt(p: Player) -> None:
    p.begin((EXCLUSIVE, INTERRUPT), 2, 0)
    p.call(0, "loop")
    p.upgrade()
    p.time_passes()
    p.hold(0)
    p.upgrade()
    p.call(0, "loop")  # is held
    p.time_passes()
    p.time_passes()  # the held call does not heed it: rolled back
    p.close_plugin()
    p.time_passes()  # interrupts the loop, which was let in
    p.end_call(0)


def detach(p: Player) -> None:
    p.begin((OVERLAP, DETACH), 1, 1)
    p.hold(0)
    p.upgrade()
    p.time_passes()
    p.hold(0)
    p.upgrade()
    p.time_passes()  # one is detached already: rolled back
    p.end_call(0)
    p.end_call(0)


def struck(p: Player) -> None:
    p.begin((OVERLAP, ROLLBACK), 1, 0)
    p.upgrade("load")
    p.resume(0, True)
    p.upgrade("prepared")
    p.resume(0, True)
    p.upgrade("published")
    p.resume(0, True)
    p.hold(0)
    p.upgrade()
    p.strike(0)
    p.end_call(0)
    p.upgrade("committed")
    p.resume(0, True)


def all_is_closed(p: Player) -> None:
    p.begin((OVERLAP, ROLLBACK), 1, 0)
    p.upgrade("load", by_name=True)
    p.unregister()
    p.resume(0, False)  # lost
    p.get(0)
    p.register("good", True)
    p.close_manager()
    p.resume(0, False)  # finds it closed
    p.register("good", False)


PROGRAMS: Final = (
    *(overlap, lost_while_it_was_prepared, too_many_calls, exclusive, closed_while_it_drains),
    *(interrupt, detach, struck, all_is_closed),
)
LEFT_OUT: Final = {"recycle"}
"""Numbers of versions are used again where a search has no end, and nowhere else."""


def played(program: Callable[[Player], None]) -> dict[str, Counter[str]]:
    class Counted(PluginMachine):
        taken = {"manager": Counter[str](), "upgrade": Counter[str]()}  # noqa: RUF012  its own

    machine = Counted()
    try:
        program(Player(machine))
    finally:
        machine.teardown()
    return Counted.taken


def test_the_programs_take_every_step_of_both_tables() -> None:
    runs = [played(program) for program in PROGRAMS]
    for name in "manager", "upgrade":
        taken = set[str]().union(*(run[name] for run in runs))
        assert {row.name for row in LEVELS[name].rows} - taken == LEFT_OUT & {row.name for row in LEVELS[name].rows}


# The checks can fail ------------------------------------------------------------------------------------------------


def found(mutant: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The shortest program that shows it."""
    for patch in MUTANTS[mutant]:
        monkeypatch.setattr(*patch)
    with pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(PluginMachine, settings=UNTIL_FOUND)
    story = "\n".join(caught.value.__notes__)
    lines = [line.strip() for line in story.splitlines() if line.startswith("state.")]
    return "\n".join([f"{mutant}: {caught.value}", *(line for line in lines if "all_is_as_specified" not in line)])


@pytest.mark.parametrize(
    "mutant", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in MUTANTS]
)
@pytest.mark.timeout(600)
def test_a_mutant_is_found_by_a_short_program(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = found(mutant, monkeypatch)
    print(f"\n{program}")  # noqa: T201  pytest -rP shows it
    assert "state.begin(" in program
    assert program.count("\n") <= SHORT, program


@pytest.mark.parametrize("name", ["manager", "upgrade"])
def test_the_lockstep_takes_the_steps_of_the_table_and_no_others(name: str) -> None:
    level = LEVELS[name]
    start = level.initial(**level.bounds["small"][0])
    for state in Exploration(level, start).states[:400]:
        there = {(row.who, i, row.name): target for row, i, target in level.next(state)}
        for row in level.rows:
            for i in range(len(getattr(state, f"{row.who}s"))):
                assert after(level, state, row.who, i, row.name) == there.get((row.who, i, row.name))


def test_a_step_that_is_not_in_the_table_is_refused_and_changes_nothing() -> None:
    level = LEVELS["upgrade"]
    lockstep = Lockstep(level, level.initial(**level.bounds["small"][0]))
    before = lockstep.state
    with pytest.raises(NotInTheTable, match=r"upgrader 0 cannot commit; it can: .*claim"):
        lockstep.take("upgrader", 0, "commit")
    assert lockstep.state == before
    assert not lockstep.taken
