"""Ctrl-C where the tests of `test_interrupts.py` forgive what mutants had left undone."""

from __future__ import annotations

from functools import partial

import pytest

import hotswap
from hotswap import HotReloadablePlugin, HotReloadState
from test_interrupts import Operation, Strike
from worlds import FakeWorld, manifest


def struck_anywhere(operation: Operation, look: Operation) -> None:
    """Strike at each point in turn, on a fresh plugin; `look` at what is left, before anything else is done."""
    for point in range(5_000):
        world, strike = FakeWorld(), Strike(point)
        with world.plugin() as plugin:
            kept = strike.hits(partial(operation, plugin, world))
            look(plugin, world)
        if kept is None:
            assert point > 3, "the operation was never struck"
            return
    pytest.fail("the operation does not end")


def test_a_prepare_that_fails_leaves_nothing() -> None:
    def prepare(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
        try:
            plugin.prepare_upgrade(world.bad_module("probe"), manifest(2))
        except hotswap.ProbeFailed:
            pass

    def look(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
        assert plugin.state is HotReloadState.ACTIVE
        assert world.runtime.created - world.runtime.closed == 2

    struck_anywhere(prepare, look)


def test_an_upgrade_that_fails_after_its_prepare_leaves_nothing_prepared() -> None:
    def upgrade(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
        def trace(event: str, **_: object) -> None:
            if event == "upgrade_prepared":
                raise OSError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(world.trace), "__call__", lambda self, event, **facts: trace(event, **facts))
            try:
                plugin.upgrade(world.module(2), manifest(2))
            except OSError:
                pass

    def look(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
        assert plugin.state is HotReloadState.ACTIVE
        assert plugin.stats().in_flight == {1: 0}

    struck_anywhere(upgrade, look)


def test_a_close_that_has_begun_turns_everybody_away() -> None:
    def close(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
        plugin.close()

    def look(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
        protocol = plugin._protocol
        if not protocol.closed.value:
            assert plugin.call("version") == 1
            return
        current = protocol.current.value
        assert protocol._owner is None
        assert current in protocol.retired() or not current.live.value
        with pytest.raises(hotswap.PluginClosed):
            plugin.call("version")

    struck_anywhere(close, look)
