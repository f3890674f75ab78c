"""Faults at every step of every operation, on the fakes: each alone, and (slow) every two."""

from __future__ import annotations

import traceback

import pytest

from faults import Fault, Faults, Point, faults_at
from faults_cases import CASES, Site
from hotswap.monitor import Monitor


def run(name: str, monitor: Monitor, *planned: Fault) -> Faults:
    """Fails with the faults that it was run with."""
    site = Site(CASES[name], monitor, *planned)
    try:
        site.check(site.go())
    except BaseException as error:
        story = "".join(traceback.format_exception(error))
        pytest.fail(f"{name}, struck by {' and then '.join(map(str, planned)) or 'nothing'}:\n{story}", pytrace=False)
    return site.faults


@pytest.mark.parametrize("name", CASES)
def test_one_fault_anywhere(name: str) -> None:
    with Monitor() as monitor:
        points = run(name, monitor).seen
        assert points, "nothing was recorded"
        for fault in faults_at(points):
            assert run(name, monitor, fault).struck == [fault]
