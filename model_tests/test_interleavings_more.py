"""Failures, drain timeouts, lost instances and the manager under the scheduler; and larger workloads within a bound.

What must hold at the end of each schedule is in `interleaved.py`, and for a manager in `interleaved_manager.py`.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final

import pytest

from hotswap import HotReloadablePlugin, HotReloadManager
from hotswap._protocol import HotReloadProtocol
from hotswap._version import Attempt
from interleaved import Party, RolledBack, Workload
from interleaved_more import MORE
from scheduler import CheckFailed, explore, replay, shortest
from scheduler._watch import watched

pytestmark = [pytest.mark.schedules, pytest.mark.usefixtures("watched_code")]

EXHAUSTIVE: Final = {
    "call, upgrade: garbage": 3,
    "call, upgrade: init fails": 3,
    "call, upgrade: probe fails": 3,
    "call, upgrade: second instance fails": 3,
    "call, upgrade: wrong name": 3,
    "call, upgrade: fault after claim": 3,
    "call, upgrade: fault at offer": 3,
    "call, upgrade: fault after offer": 3,
    "call, upgrade: fault at begin": 3,
    "call, upgrade: fault after begin": 3,
    "call, upgrade: fault at publish": 3,
    "call, upgrade: fault at begin, exclusive": 3,
    "call, upgrade: fault after begin, exclusive": 821,
    "endless call, execute, overlap, rollback": 12,
    "endless call, execute, overlap, interrupt": 15,
    "endless call, execute, exclusive, rollback": 12,
    "endless call, execute, exclusive, interrupt": 21,
    "call, unregister": 361,
    "call by name, unregister": 362,
    "unregister, register": 5,
    "call, close the manager": 362,
}
"""Classes of schedules. Three are the orders of the ends and beginnings alone: such a failure touches no call."""

EXHAUSTIVE_SLOWLY: Final = {
    "call, upgrade: fault at enter, exclusive": 2973,
    "call, upgrade: fault at commit, exclusive": 4871,
    "trap, call": 4531,
}

WITHIN_TWO: Final = {
    "call, execute, unregister": 52922,
    "call, execute, unregister, exclusive": 56876,
    "call, two upgrades": 24286,
    "call, unregister, register": 11064,
    "call, upgrade and upgrade again, may time out": 2356,
    "call, upgrade: fault after publish": 1112,
    "call, upgrade: fault at commit": 1175,
    "call, upgrade: fault at enter": 1112,
    "endless call, execute, overlap, detach": 5382,
    "three calls, execute": 415590,
    "three calls, execute, exclusive": 833622,
    "trap, execute": 2746,
    "two calls, close": 17202,
    "two calls, execute, cancel": 254504,
    "two calls, execute, exclusive, may time out": 45324,
    "two calls, execute, two instances, may time out": 19156,
    "two calls, two upgrades": 292014,
    "two calls, two upgrades, exclusive": 458688,
    "two unregister": 1456,
    "unregister, close the manager": 1515,
    "upgrade, unregister": 1518,
}
"""Schedules with two preemptions at most, by `make verify`."""

BOUNDED: Final = sorted(MORE.keys() - EXHAUSTIVE.keys() - {"three calls, execute", "three calls, execute, exclusive"})
ONE_PREEMPTION_RUNS_MAX: Final = 1_500

CUT_OFF: Final = {
    "two calls, execute, cancel",
    "two calls, two upgrades",
    "two calls, two upgrades, exclusive",
}
"""Three parties or more on one plugin: with one preemption only the first runs are made here, all of them in verify."""

OUTCOMES: Final[dict[str, set[Any]]] = {
    "endless call, execute, overlap, rollback": {(("CallInterrupted",), ("DrainTimeout", None))},
    "endless call, execute, overlap, interrupt": {(("CallInterrupted",), ("upgraded 2",))},
    "endless call, execute, exclusive, rollback": {(("CallInterrupted",), ("DrainTimeout", None))},
    "endless call, execute, exclusive, interrupt": {(("CallInterrupted",), ("upgraded 2",))},
    "call by name, unregister": {
        ((1,), ("unregistered",)),
        (("PluginClosed",), ("unregistered",)),
        (("PluginNotFound",), ("unregistered",)),
    },
    "unregister, register": {
        (("unregistered",), ("registered 5",)),
        (("unregistered",), ("AlreadyRegistered",)),
    },
}


@pytest.mark.parametrize("name", EXHAUSTIVE)
def test_every_interleaving_keeps_s1_to_s9(name: str) -> None:
    case = MORE[name]
    verdict = explore(case.program, case.limits)
    assert verdict.failure is None, str(verdict)
    assert (verdict.coverage, verdict.schedules) == ("exhaustive", EXHAUSTIVE[name])
    assert name not in OUTCOMES or set(verdict.outcomes) == OUTCOMES[name]


@pytest.mark.parametrize("name", BOUNDED)
def test_every_interleaving_with_one_preemption_keeps_s1_to_s9(name: str) -> None:
    case = MORE[name]
    runs_max = ONE_PREEMPTION_RUNS_MAX if name in CUT_OFF else None
    verdict = explore(case.program, case.limits, preemptions=1, runs_max=runs_max)
    assert verdict.failure is None, str(verdict)
    assert verdict.coverage.startswith("cut off" if name in CUT_OFF else "bounded to 1 preemptions")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXHAUSTIVE_SLOWLY)
def test_every_interleaving_keeps_s1_to_s9_at_length(name: str) -> None:
    case = MORE[name]
    verdict = explore(case.program, case.limits)
    assert verdict.failure is None, str(verdict)
    assert (verdict.coverage, verdict.schedules) == ("exhaustive", EXHAUSTIVE_SLOWLY[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHIN_TWO)
def test_interleavings_with_two_preemptions_keep_s1_to_s9(name: str) -> None:
    case = MORE[name]
    verdict = explore(case.program, case.limits, preemptions=2)
    assert verdict.failure is None, str(verdict)
    assert (verdict.coverage, verdict.schedules) == ("bounded to 2 preemptions", WITHIN_TWO[name])


def test_each_case_is_explored() -> None:
    assert MORE.keys() == EXHAUSTIVE.keys() | EXHAUSTIVE_SLOWLY.keys() | WITHIN_TWO.keys()


@pytest.mark.parametrize("name", ["call by name, unregister", "unregister, register"])
def test_what_the_manager_shares_is_announced_or_ordered_by_what_is(name: str) -> None:
    case = MORE[name]
    with watched(checked=True):
        verdict = explore(case.program, replace(case.limits, races=True))
    assert verdict.failure is None, str(verdict)
    assert verdict.schedules == EXHAUSTIVE[name]


def free_the_name_first(self: HotReloadManager, name: str) -> None:
    plugin = self[name]
    with self._lock:
        del self._plugins[name], self._taken[name]
    plugin.close()


def return_before_the_drain(self: HotReloadablePlugin) -> None:
    self._protocol.close()
    self._upgrades._sweep()


@pytest.mark.parametrize(
    ("owner", "method", "broken", "name"),
    [
        (HotReloadManager, "unregister", free_the_name_first, "unregister, register"),
        (HotReloadablePlugin, "close", return_before_the_drain, "call, unregister"),
    ],
)
def test_a_broken_unregister_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: type, method: str, broken: Any, name: str
) -> None:
    monkeypatch.setattr(owner, method, broken)
    case = MORE[name]
    failure = shortest(case.program, case.limits, preemptions_max=2)
    assert failure is not None
    assert failure.kind is CheckFailed
    assert "S9" in failure.message or "S8" in failure.message or "L2" in failure.message
    assert replay(case.program, failure.schedule, case.limits) == failure


BACK: Final = RolledBack(number=2, published=2, told=7)


@pytest.mark.parametrize(
    ("calls", "rolled_back", "says"),
    [
        ([(2, (3, 4)), (1, (8, 9))], [BACK], ""),
        ([(2, (3, 4)), (1, (8, 9))], [], "S2: version 1 began after version 2 had ended"),
        ([(3, (3, 4)), (1, (8, 9))], [BACK], "S2: version 1 began after version 3 had ended"),
        ([(2, (3, 4)), (1, (8, 9))], [BACK._replace(published=10, told=12)], "S2"),
        ([(2, (8, 9))], [BACK], "S4: version 2 began after it had been rolled back"),
    ],
)
def test_only_a_rollback_between_excuses_an_older_version(
    calls: list[tuple[int, tuple[int, int]]], rolled_back: list[RolledBack], says: str
) -> None:
    work = object.__new__(Workload)
    work.parties = [Party("caller", None, [version], [span]) for version, span in calls]  # type: ignore[arg-type]
    work.rolled_back = rolled_back
    with pytest.raises(AssertionError, match=says) if says else nullcontext():
        work._check_order()


def test_a_rollback_that_does_not_put_the_old_version_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    abort = HotReloadProtocol.abort

    def forget_the_old_version(self: HotReloadProtocol, attempt: Attempt, reason: str) -> bool:
        published = self.current._value  # type: ignore[attr-defined]
        undone = abort(self, attempt, reason)
        self.current._value = published  # type: ignore[attr-defined]
        return undone

    monkeypatch.setattr(HotReloadProtocol, "abort", forget_the_old_version)
    case = MORE["call, upgrade: fault after publish"]
    failure = shortest(case.program, case.limits, preemptions_max=1)
    assert failure is not None
    assert failure.kind is CheckFailed
