"""The monitor: what real threads do on real wasm is followed on the specification, and what is wrong is told once."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import Counter

import pytest

import hotswap
from hotswap import Cutover, HotReloadablePlugin, HotReloadManager, OnDrainTimeout
from hotswap._core import Core
from hotswap._lifecycle import Lifecycle
from hotswap._protocol import HotReloadProtocol
from hotswap._version import Version
from hotswap.monitor import Divergence, Monitor
from hotswap.monitor._recorder import Event, RecordedProtocol, Seen
from hotswap.monitor._ways import LEVEL
from monitored import EXCLUSIVE, NEVER_SEEN, OVERLAP, everything, followed, hold, stuck, the_divergence
from runtime_modules import in_a_fork, survive
from worlds import WAIT_S, FakeWorld, Runner, WasmWorld, World, eventually, manifest


@pytest.fixture(params=[FakeWorld, WasmWorld], ids=["fake", "wasm"])
def world(request: pytest.FixtureRequest) -> World:
    made: World = request.param()
    return made


# What happens is followed -----------------------------------------------------------------------------------


def test_every_step_of_the_specification_is_taken_and_followed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Counter[str]()
    for cutover in Cutover:
        world = type(world)()  # its gate is open for good at the end
        with followed(world, cutover=cutover) as (plugin, monitor):
            everything(plugin, world, exclusive=cutover is EXCLUSIVE)
        taken += monitor.taken
        world = type(world)()
        with followed(world, cutover=cutover, on_drain_timeout=OnDrainTimeout.INTERRUPT) as (plugin, monitor):
            stuck(plugin, world, 2)
            if cutover is OVERLAP:
                hold(plugin, world)  # it does not heed an interrupt
                with monkeypatch.context() as patch:
                    patch.setattr(hotswap._upgrade, "INTERRUPT_GRACE_S", 0.05)
                    stuck(plugin, world, 3)
        taken += monitor.taken
    with followed(world, on_drain_timeout=OnDrainTimeout.DETACH) as (plugin, monitor):
        stuck(plugin, world, 2)
        plugin.drain_timeout = 0.0  # what is detached still loops
    taken += monitor.taken
    assert {row.name for row in LEVEL.rows} - taken.keys() == NEVER_SEEN.keys()


@pytest.mark.parametrize("cutover", Cutover)
def test_many_threads_are_followed(world: World, cutover: Cutover) -> None:
    stop = threading.Event()

    def calls(plugin: HotReloadablePlugin) -> int:
        made = 0
        while not stop.is_set():
            plugin.call("version")
            made += 1
        return made

    with followed(world, cutover=cutover, max_instances=2) as (plugin, monitor):
        callers = [Runner(calls, plugin) for _ in range(3)]
        for number in range(2, 42):
            plugin.upgrade(world.module(number), manifest(number, max_instances=2))
            if number % 5 == 0:
                plugin.prepare_upgrade(world.module(number + 1), manifest(number + 1, max_instances=2))
                plugin.cancel_upgrade()
        stop.set()
        assert all(isinstance(made := caller.value(), int) and made > 0 for caller in callers)
    assert monitor.taken["publish" if cutover is OVERLAP else "exclude"] == 40


def test_a_close_beside_an_upgrade_is_followed(world: World) -> None:
    with followed(world, cutover=EXCLUSIVE) as (plugin, monitor):
        call = hold(plugin, world)
        upgrade = Runner(plugin.upgrade, world.module(2), manifest(2))
        eventually(lambda: plugin.state is hotswap.HotReloadState.DRAINING)
        close = Runner(plugin.close)
        with pytest.raises(hotswap.PluginClosed):
            upgrade.value()
        world.gate.open.set()
        call.join()
        close.join()
        for _ in range(3):
            with pytest.raises(hotswap.PluginClosed):
                plugin.call("version")
    assert monitor.taken["find_closed"] == 1
    assert monitor.taken["turn_away"] == 1, "one call stands for all"


def test_an_exception_before_the_commit_is_followed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def boom(*_: object, **__: object) -> bool:
        raise MemoryError

    with followed(world) as (plugin, monitor):
        with monkeypatch.context() as patch:
            patch.setattr(Lifecycle, "await_drain", boom)
            with pytest.raises(MemoryError):
                plugin.upgrade(world.module(2), manifest(2))
        assert plugin.call("version") == 1
    assert monitor.taken["strike"] == 1


def test_plugins_of_a_manager_are_followed_each_on_its_own(world: World) -> None:
    with Monitor() as monitor, HotReloadManager(ports=world.ports, monitor=monitor) as manager:
        for name in ("p", "q"):
            manager.register(name, world.module(1), manifest(1, name=name))
        for number in range(2, 9):
            manager.upgrade("p", world.module(number), manifest(number))
        manager.upgrade("q", world.module(2), manifest(2, name="q"))
        manager.unregister("q")
        assert monitor.flush()
        assert monitor.taken["publish"] == 8
        assert monitor.taken["close"] == 1
        assert (monitor.divergences, monitor.failure) == ([], None)


# Nobody notices it ------------------------------------------------------------------------------------------


def test_without_a_monitor_the_call_path_is_the_same_code() -> None:
    world = FakeWorld()
    with world.plugin() as plugin:
        assert type(plugin._protocol) is HotReloadProtocol
    assert not {"admit", "queue", "release"} & set(vars(HotReloadProtocol))
    assert Core.admit is HotReloadProtocol.admit


def test_a_plugin_that_diverges_goes_on_and_is_told_of_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Divergence] = []
    with Monitor(told.append) as monitor, world.plugin(monitor=monitor) as plugin:
        with monkeypatch.context() as patch:
            patch.setattr(RecordedProtocol, "tell", lambda self, event: self.note(event._replace(seen=WRONG)))
            plugin.upgrade(world.module(2), manifest(2))
        for number in range(3, 6):
            plugin.upgrade(world.module(number), manifest(number))
            assert plugin.call("version") == number
        assert the_divergence(monitor) is told[0]
    text = str(told[0])
    assert "plugin 'p' left the specification: claim: phase: expected PREPARING_UPGRADE, found ACTIVE" in text
    assert "allowed were: cancel_nothing, claim, close" in text


WRONG = Seen("ACTIVE", 1, (0, 0), frozenset(), 0, False, False, False, 0, 0, 0, 0)


def test_a_listener_that_fails_ends_the_monitor_and_nothing_else() -> None:
    def fails(_: Divergence) -> None:
        raise ZeroDivisionError

    world = FakeWorld()
    with world.plugin(monitor=(monitor := Monitor(fails))) as plugin:
        plugin._protocol.note(Event("share_lease"))  # type: ignore[attr-defined]
        eventually(lambda: monitor.failure is not None)
        plugin.upgrade(world.module(2), manifest(2))
        assert plugin.call("version") == 2
    assert isinstance(monitor.failure, ZeroDivisionError)
    assert monitor.lost
    monitor.close()


def test_a_backlog_is_bounded_also_while_a_listener_holds_the_monitor_up(caplog: pytest.LogCaptureFixture) -> None:
    world, other, slow = FakeWorld(), FakeWorld(), threading.Event()
    monitor = Monitor(lambda _: slow.wait(20.0), backlog_max=5)
    with world.plugin(monitor=monitor) as plugin:
        plugin._protocol.note(Event("share_lease"))  # type: ignore[attr-defined]
        for number in range(2, 9):
            plugin.upgrade(world.module(number), manifest(number))
            assert plugin.call("version") == number
            assert monitor._events.qsize() <= 5
        assert monitor.lost
        slow.set()
        assert not monitor.flush(), "there is something that was not checked"
    with other.plugin(monitor=monitor) as plugin:
        plugin.upgrade(other.module(2), manifest(2))
        assert not monitor.flush()
        assert (monitor.steps, monitor.taken) == (0, {}), "of neither plugin anything was followed"
    monitor.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"], "it says so once"


def test_what_is_lost_speaks_against_nobody() -> None:
    """A call that tells of a publish is no divergence if the monitor was full when the publish was told."""
    world, slow, told = FakeWorld(), threading.Event(), list[Divergence]()

    def listen(divergence: Divergence) -> None:
        told.append(divergence)
        slow.wait(20.0)

    monitor = Monitor(listen, backlog_max=1)
    with FakeWorld().plugin(monitor=monitor) as other, world.plugin(monitor=monitor) as plugin:
        other._protocol.note(Event("share_lease"))  # type: ignore[attr-defined]
        eventually(lambda: bool(told))
        plugin._protocol.note(Event("admit", version=2))  # type: ignore[attr-defined]
        plugin.upgrade(world.module(2), manifest(2))
        assert monitor.lost
        slow.set()
        assert not monitor.flush()
    monitor.close()
    assert len(told) == 1


def test_one_that_is_closed_answers_at_once() -> None:
    monitor = Monitor()
    monitor.close()
    begin = time.monotonic()
    assert not monitor.flush(WAIT_S)
    monitor.close(WAIT_S)
    assert time.monotonic() - begin < WAIT_S / 2


def follow_in_a_child() -> str:
    def work() -> tuple[bool, bool]:
        world = FakeWorld()
        with world.plugin(monitor=monitor) as plugin:
            plugin.upgrade(world.module(2), manifest(2))
            return monitor.flush(), monitor.steps > 0

    with Monitor() as monitor:
        return in_a_fork(work)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_monitor_that_was_made_before_a_fork_follows_in_the_child() -> None:
    assert survive(follow_in_a_child) == "(True, True)"


def test_a_plugin_is_followed_again_when_it_is_at_rest_after_a_step_that_ctrl_c_cut_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strikes, retire = [KeyboardInterrupt, KeyboardInterrupt], Core._retire

    def struck(self: Core, version: Version) -> None:
        if strikes:
            raise strikes.pop()
        retire(self, version)

    world = FakeWorld()
    with followed(world) as (plugin, monitor):
        monkeypatch.setattr(Core, "_retire", struck)
        with pytest.raises(KeyboardInterrupt):
            plugin.upgrade(world.module(2), manifest(2))
        plugin.upgrade(world.module(3), manifest(3))
        assert monitor.flush()
        assert monitor.unfollowed == ["p"], "it is told once, though the abort was cut short too"
        assert monitor.taken["publish"] == 1, "that of the second upgrade"


def test_a_lease_that_is_lost_is_struck_off() -> None:
    world = FakeWorld()
    with followed(world) as (plugin, _):
        lease = plugin._protocol.admit()
        assert len(plugin._protocol.register) == 1  # type: ignore[attr-defined]
        del lease
        assert plugin._protocol.register == {}  # type: ignore[attr-defined]
        plugin.upgrade(world.module(2), manifest(2))


def test_a_plugin_that_is_dropped_goes() -> None:
    world = FakeWorld()
    with Monitor() as monitor:
        plugin = HotReloadablePlugin("p", world.module(1), manifest(1), ports=world.ports, monitor=monitor)
        plugin.upgrade(world.module(2), manifest(2))
        plugin.close()
        assert monitor.flush()
        steps = monitor.steps
        plugin.cancel_upgrade()  # so that what the monitor has looked at last is the plugin's
        eventually(lambda: monitor.steps == steps + 1)
        assert len(monitor._followers) == 1
        del plugin
        gc.collect()  # versions and protocol know each other
        eventually(lambda: len(monitor._followers) == 0)


def test_a_plugin_that_is_dropped_leaves_no_thread_that_waits_and_is_no_divergence() -> None:
    """A reaper waits for a call on the old version, or has just seen the last one end."""
    world = FakeWorld()
    with Monitor() as monitor:
        plugin = HotReloadablePlugin(
            "dropped",
            world.module(1),
            manifest(1, name="dropped"),
            on_drain_timeout=OnDrainTimeout.DETACH,
            drain_timeout=0.0,
            monitor=monitor,
            ports=world.ports,
        )
        old, lease = plugin._protocol.current.value, plugin._protocol.admit()
        plugin.upgrade(world.module(2), manifest(2, name="dropped"))
        upgrades = plugin._upgrades

        def reapers() -> list[str]:
            return [thread.name for thread in threading.enumerate() if thread.name.startswith("hotswap-reap-dropped")]

        assert len(reapers()) == 1
        with pytest.warns(ResourceWarning, match="dropped without close"):
            del plugin
        eventually(lambda: not reapers())
        del lease
        upgrades.reclaim(old)
        assert monitor.flush()
        assert monitor.divergences == []
    assert world.runtime.created == 4
