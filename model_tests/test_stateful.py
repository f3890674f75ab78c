"""A real manager and plugin on real wasm, in lockstep with the specification: what a state machine asks of them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from stateful_machine import PluginMachine

QUICK = settings(
    max_examples=500,
    stateful_step_count=25,
    deadline=None,
    print_blob=True,
    derandomize=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
    database=None,
)


def test_every_observable_is_as_specified() -> None:
    run_state_machine_as_test(PluginMachine, settings=QUICK)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_every_observable_is_as_specified_in_many_more_programs() -> None:
    run_state_machine_as_test(PluginMachine, settings=settings(QUICK, max_examples=5_000, derandomize=False))
