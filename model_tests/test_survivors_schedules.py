"""The scheduler's cases that mutants had asked for: epochs, leases that nobody gives back, traps, endless calls."""

from __future__ import annotations

from typing import Final

import pytest

from mutation.workloads import MORE
from scheduler import explore
from scheduler._watch import watched

pytestmark = pytest.mark.schedules

SMALL: Final = {name for name in MORE if name.startswith("epoch") or name.endswith(" lose")}
"""So few classes of schedules that all are searched; of the others, those within one preemption."""


@pytest.mark.parametrize("name", MORE)
def test_every_interleaving_is_in_order(name: str) -> None:
    with watched(checked=False):
        verdict = explore(MORE[name].program, MORE[name].limits, preemptions=None if name in SMALL else 1)
    assert verdict.failure is None, str(verdict)
    assert verdict.coverage == ("exhaustive" if name in SMALL else "bounded to 1 preemptions")
