"""A world whose plugins are followed on the specification, and a story that makes every step of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import hotswap
from hotswap import Cutover, HotReloadablePlugin, OnDrainTimeout
from hotswap.monitor import Divergence, Monitor
from worlds import Runner, World, eventually, manifest

OVERLAP, EXCLUSIVE = Cutover.OVERLAP, Cutover.EXCLUSIVE
NEVER_SEEN = {
    "ask_inside": "it is refused before it comes to the protocol",
    "strike": "an exception before the commit: taken in a test of its own",
    "find_closed": "a close beside an executing upgrade: taken in a test of its own",
    "admit": "calls are looked at one by one, and stand for all by one caller",
    "hold": "the same",
    "let_in": "the same",
    "turn_away": "a call that comes after a close: taken in a test of its own",
    "end": "the same",
    "recycle": "a renaming here",
}
"""Steps of the upgrade level that `everything` does not take, and why."""


@contextmanager
def followed(world: World, **options: Any) -> Iterator[tuple[HotReloadablePlugin, Monitor]]:
    """A plugin with version 1; at the end it is closed, and must not have diverged."""
    with Monitor() as monitor:
        with world.plugin(monitor=monitor, **options) as plugin:
            yield plugin, monitor
        assert monitor.flush()
        assert [str(one) for one in monitor.divergences] == []
        assert monitor.failure is None
        assert not monitor.lost


def hold(plugin: HotReloadablePlugin, world: World) -> Runner:
    call = Runner(plugin.call, "hold")
    world.gate.await_entered()
    return call


def everything(plugin: HotReloadablePlugin, world: World, *, exclusive: bool) -> None:
    """Every way in which an upgrade can end, but for a close."""
    plugin.call("version")
    plugin.upgrade(world.module(2), manifest(2))
    with pytest.raises(hotswap.WrongState):
        plugin.execute_upgrade()
    assert not plugin.cancel_upgrade()
    plugin.prepare_upgrade(world.module(3), manifest(3))
    with pytest.raises(hotswap.Busy):
        plugin.prepare_upgrade(world.module(3), manifest(3))
    assert plugin.cancel_upgrade()
    with pytest.raises(hotswap.InitFailed):
        plugin.upgrade(world.bad_module("init"), manifest(3))
    plugin.prepare_upgrade(world.module(3), manifest(3))
    plugin.execute_upgrade()
    with pytest.raises(hotswap.CallTrapped):
        plugin.call("trap")

    call = hold(plugin, world)
    plugin.drain_timeout = 0.0
    with pytest.raises(hotswap.DrainTimeout):
        plugin.upgrade(world.module(4), manifest(4))
    plugin.drain_timeout = 20.0
    upgrade = Runner(plugin.upgrade, world.module(5), manifest(5))
    phase = hotswap.HotReloadState.DRAINING
    eventually(lambda: plugin.state is phase)
    with pytest.raises(hotswap.Busy):
        plugin.cancel_upgrade()
    held = Runner(plugin.call, "version")
    if exclusive:
        eventually(lambda: plugin.stats().waiting == 1)
    world.gate.open.set()
    call.join()
    upgrade.join()
    assert held.value() == 5
    world.gate.open.clear()


def stuck(plugin: HotReloadablePlugin, world: World, number: int) -> None:
    """A drain timeout passes beside a call that only an interrupt ends. Not for ROLLBACK."""
    plugin.drain_timeout = 0.0
    before = plugin.stats().in_flight
    call = Runner(plugin.call, "loop")
    eventually(lambda: plugin.stats().in_flight != before)
    plugin.upgrade(world.module(number), manifest(number))
    if plugin._on_drain_timeout is OnDrainTimeout.INTERRUPT:
        with pytest.raises(hotswap.CallInterrupted):
            call.value()


def the_divergence(monitor: Monitor) -> Divergence:
    monitor.flush()
    (divergence,) = monitor.divergences
    return divergence
