"""Each locked step of the production code, under every interleaving of workloads, is a step of the upgrade level.

With a reduction one schedule of each class is followed: two steps that neither touch the same thing come in one order
only. Locked steps all touch the lock, so every order of theirs is followed; what may come in one order only is a call's
admission beside a step that it does not depend on, and whether that is right does not hang on the order.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from hotswap._core import Core
from hotswap._locked import locked
from hotswap._protocol import HotReloadProtocol
from hotswap._version import Attempt, Version
from hotswap.monitor._ways import LEVEL
from interleaved_followed import followed
from interleaved_workloads import CASES
from monitored import NEVER_SEEN
from scheduler import CheckFailed, explore
from test_interleavings import EXHAUSTIVE

pytestmark = [pytest.mark.schedules, pytest.mark.usefixtures("watched_code")]

QUICK: Final = [
    "call, close",
    "call, execute, may time out",
    "call, execute, exclusive, may time out",
    "execute, upgrade",
    "upgrade, cancel",
]
BOUNDED: Final = [
    "call, execute, close",
    "call, execute, close, exclusive",
    *(name for name in CASES if name.startswith(("call, upgrade:", "endless call", "trap,"))),
]
NOT_HERE: Final = NEVER_SEEN.keys() - {"strike", "find_closed", "turn_away"}


def test_every_step_is_one_of_the_specification_in_every_interleaving() -> None:
    """And each step of the specification is taken, but for those that are told why not."""
    with followed() as taken:
        for name in QUICK:
            verdict = explore(CASES[name].program, CASES[name].limits)
            assert verdict.failure is None, f"{name}: {verdict}"
            assert (verdict.coverage, verdict.schedules) == ("exhaustive", EXHAUSTIVE[name])
        for name in BOUNDED:
            verdict = explore(CASES[name].program, CASES[name].limits, preemptions=1)
            assert verdict.failure is None, f"{name}: {verdict}"
    assert {row.name for row in LEVEL.rows} - taken.keys() - {"let_be"} == NOT_HERE


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", [name for name in CASES if name not in {*QUICK, *BOUNDED}])
def test_and_so_in_the_larger_workloads(name: str) -> None:
    with followed():
        verdict = explore(CASES[name].program, CASES[name].limits, preemptions=1)
    assert verdict.failure is None, str(verdict)


# Defects that show in the steps -------------------------------------------------------------------------------

PUBLISH: Final[Any] = HotReloadProtocol.publish.__wrapped__  # type: ignore[attr-defined]
COMMIT: Final[Any] = HotReloadProtocol.commit.__wrapped__  # type: ignore[attr-defined]
RETIRE: Final[Any] = Core._retire


def publish_before_begin_is_over(self: Any, old: Version, candidate: Version) -> None:
    PUBLISH(self, old, candidate)
    self._kept = None
    old.live.value = False


def commit_twice(self: Any, attempt: Attempt, drain_us: int) -> None:
    COMMIT(self, attempt, drain_us)
    COMMIT(self, attempt, drain_us)


def retire_what_serves_too(self: Any, version: Version) -> None:
    RETIRE(self, version)
    if version is not self.current.value:
        RETIRE(self, self.current.value)


MUTANTS: Final[dict[str, tuple[type, str, object, str, str]]] = {
    "a success counts twice": (HotReloadProtocol, "commit", locked(commit_twice), "call, execute", "successes"),
    "the old version is given up at the publish": (
        HotReloadProtocol,
        "publish",
        locked(publish_before_begin_is_over),
        "call, execute",
        "retired: expected",
    ),
    "a drain is over with the last call but one": (
        Version,
        "drained",
        property(lambda self: len(self.gathered) + len(self.tombs) >= self.size - 1),
        "call, execute",
        "left the specification",
    ),
    "who is retired takes along who serves": (Core, "_retire", retire_what_serves_too, "upgrade, cancel", "retired:"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_step_that_is_none_of_the_specification_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, method, value, case, says = MUTANTS[name]
    monkeypatch.setattr(owner, method, value)
    with followed():
        verdict = explore(CASES[case].program, CASES[case].limits, preemptions=1)
    assert verdict.failure is not None
    assert verdict.failure.kind is CheckFailed
    assert says in verdict.failure.message
