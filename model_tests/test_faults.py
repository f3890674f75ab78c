"""Faults at every step of every operation, on the fakes: each alone, and (slow) every two."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from itertools import islice
from typing import Final

import pytest

import hotswap
from faults import CATALOGUE, CTRL_C, LEFT_OUT, OP, Fault, Faults, faults_at
from faults_cases import CASES, Site
from hotswap.monitor import Monitor

pytestmark = pytest.mark.filterwarnings(
    "ignore:plugin .* was dropped without close:ResourceWarning"  # struck before it was given to anybody
)
PARTS: Final = 4
SELDOM_MISSED: Final = 0.9
"""So much of what is planned strikes at least; only what is planned for a thread of the product may not."""


def run(name: str, monitor: Monitor, *planned: Fault) -> tuple[Faults, BaseException | None]:
    """What has struck, and what came of it. Fails with the faults that it was run with."""
    site = Site(CASES[name], monitor, *planned)
    try:
        error = site.go()
        site.check(error)
    except BaseException as failure:  # noqa: BLE001  told with its faults
        story = "".join(traceback.format_exception(failure))
        pytest.fail(f"{name}, struck by {' and then '.join(map(str, planned)) or 'nothing'}:\n{story}", pytrace=False)
    return site.faults, error


def faults_of(name: str, faults: Faults) -> Iterator[Fault]:
    return faults.to_come(CASES[name].leave_out)


def all_struck(faults: Faults, *planned: Fault) -> bool:
    """False if a thread of the product went another way this time. The operation itself always goes the same way."""
    missed = [fault for fault in planned if fault not in faults.struck]
    assert all(fault.point.lane != OP for fault in missed), f"never struck: {', '.join(map(str, missed))}"
    return not missed


@pytest.mark.parametrize("name", CASES)
def test_one_fault_anywhere(name: str) -> None:
    outcomes: set[type | None] = set()
    with Monitor() as monitor:
        planned = list(faults_of(name, run(name, monitor)[0]))
        struck = 0
        for fault in planned:
            faults, error = run(name, monitor, fault)
            struck += all_struck(faults, fault)
            outcomes.add(type(error) if error else None)
    assert struck >= SELDOM_MISSED * len(planned) > 0
    assert {KeyboardInterrupt, MemoryError} <= outcomes, "always, and sometimes: nothing was raised"
    if name.startswith(("upgrade", "rollback", "interrupt", "detach")):
        assert {None, hotswap.DrainTimeout, hotswap.InitFailed} & outcomes, "some faults change nothing"
        assert {OSError, hotswap.ModuleRejected, hotswap.Overloaded} <= outcomes, "prepare fails"


def test_every_step_of_the_catalogue_is_taken_and_every_kind_fits_somewhere() -> None:
    with Monitor() as monitor:
        points = [point for name in CASES for point in run(name, monitor)[0].seen]
    assert {point.step for point in points} == set(CATALOGUE)
    assert {fault.kind for fault in faults_at(points)} == {kind for kinds in CATALOGUE.values() for kind in kinds}
    assert {point.lane for point in points} == {OP, "hotswap-reap-p-1", "hotswap-reap-p-2", "hotswap-mend-p"}
    assert all(LEFT_OUT.values())


@pytest.mark.parametrize("name", ["upgrade", "upgrade to what fails", "rollback", "interrupt", "register what fails"])
def test_what_undoes_is_struck_and_what_undoes_that_too(name: str) -> None:
    """Of all pairs, the same thing twice at the same kind of step, close together."""
    with Monitor() as monitor:
        for first in faults_of(name, run(name, monitor)[0]):
            if first.kind == CTRL_C and first.point.step in ("before lock.enter", "before instance.close"):
                faults, _ = run(name, monitor, first)
                alike = (
                    one for one in faults_of(name, faults) if one.kind == CTRL_C and one.point.step == first.point.step
                )
                for second in islice(alike, 3):
                    assert all_struck(run(name, monitor, first, second)[0], first, second)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", CASES)
def test_two_faults_anywhere(name: str, part: int) -> None:
    """The second comes anywhere after the first: while what that has begun is undone, most of all."""
    pairs = struck = 0
    with Monitor() as monitor:
        for first in islice(faults_of(name, run(name, monitor)[0]), part, None, PARTS):
            faults, _ = run(name, monitor, first)
            if not all_struck(faults, first):
                pairs += 1  # and more, that nobody knows
                continue
            for second in faults_of(name, faults):
                pairs += 1
                struck += all_struck(run(name, monitor, first, second)[0], first, second)
    assert struck >= SELDOM_MISSED * pairs
