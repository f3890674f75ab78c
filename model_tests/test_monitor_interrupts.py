"""Ctrl-C at every point of a plugin that is followed, in what the monitor adds too.

The plugin is as good as before, nothing that was cut short is taken for a divergence, and what comes then is followed.
"""

from __future__ import annotations

import pytest

from hotswap import Cutover, HotReloadablePlugin, HotReloadState
from hotswap.monitor import Monitor
from monitored import EXCLUSIVE, OVERLAP
from test_interrupts import (
    Operation,
    Strike,
    call,
    cancel,
    check,
    close,
    failed_prepare,
    rollback,
    struck,
    trap,
    upgrade,
)
from worlds import FakeWorld, manifest

QUICK = [
    (call, OVERLAP, 1),
    (trap, OVERLAP, 1),
    (close, EXCLUSIVE, 1),
    *((operation, cutover, 7) for operation in (upgrade, rollback) for cutover in Cutover),
]
EACH = [(operation, cutover, 1) for operation in (upgrade, failed_prepare, cancel, rollback) for cutover in Cutover]


@pytest.mark.parametrize(
    ("operation", "cutover", "stride"),
    [*QUICK, *(pytest.param(*one, marks=[pytest.mark.slow, pytest.mark.timeout(1_200)]) for one in EACH)],
    ids=lambda one: getattr(one, "__name__", getattr(one, "name", str(one))),
)
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_ctrl_c_anywhere_is_no_divergence_and_the_plugin_is_followed_again(
    operation: Operation, cutover: Cutover, stride: int, busy: bool
) -> None:
    """Strikes at each point, or at every seventh."""
    files, again = set[str](), 0
    for point in range(0, 5_000, stride):
        world, strike = FakeWorld(), Strike(point)
        with Monitor() as monitor:
            plugin = HotReloadablePlugin(
                "p", world.module(1), manifest(1), ports=world.ports, cutover=cutover, monitor=monitor
            )
            kept = struck(operation, plugin, world, strike, busy=busy)
            closed = plugin.state is HotReloadState.CLOSED
            check(plugin, world, strike.where)
            assert monitor.flush(60.0)
            assert [str(one) for one in monitor.divergences] == [], strike.where
            assert monitor.failure is None
            if not closed:  # the upgrade of `check`, at the latest the close after it, is followed whatever came before
                assert monitor.taken["return_closed"] == 1, strike.where
                again += monitor.unfollowed == ["p"]
        files.add(strike.where.partition(":")[0])
        if kept is None:
            break
    assert point > 3, "the operation was never struck"
    assert "_recorder.py" in files, "what the monitor adds was never struck"
    assert again > 0 or operation in (call, trap, close), "no step was cut short and followed by others"
