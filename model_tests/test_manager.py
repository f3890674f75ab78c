"""S9: a name maps to one plugin; after `unregister` returned no call runs; a kept handle answers `PluginClosed`."""

from __future__ import annotations

import gc
import threading
import warnings

import pytest

import hotswap
from hotswap import HotReloadManager, HotReloadState
from hotswap._host import Imports
from worlds import Runner, World, eventually, manifest


def test_unregister_waits_for_the_calls_and_the_name_stays_taken_until_it_returns(world: World) -> None:
    with HotReloadManager(ports=world.ports) as manager:
        plugin = manager.register("p", world.module(1), manifest(1), drain_timeout=20)
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        unregister = Runner(manager.unregister, "p")
        eventually(lambda: plugin.state is HotReloadState.CLOSED)
        with pytest.raises(hotswap.AlreadyRegistered):
            manager.register("p", world.module(2), manifest(2))
        assert unregister.running
        world.gate.open.set()
        unregister.value()
        assert held.value() == 1
        with pytest.raises(hotswap.PluginClosed):
            plugin.call("version")
        assert manager.register("p", world.module(2), manifest(2)).call("version") == 2
    created, closed = world.instances()
    assert created == closed


def test_unregister_from_inside_a_call_is_refused_at_once(world: World) -> None:
    with HotReloadManager(ports=world.ports) as manager:
        plugin = manager.register("p", world.module(1), manifest(1))
        errors: list[BaseException] = []

        def from_inside() -> None:
            try:
                manager.unregister("p")
            except hotswap.Reentrant as error:
                errors.append(error)

        world.gate.hold = from_inside  # type: ignore[method-assign]
        assert plugin.call("hold") == 1
        assert len(errors) == 1
        assert manager.list() == ["p"]
        assert plugin.call("version") == 1


def test_two_unregisters_both_return_when_nothing_runs(world: World) -> None:
    with HotReloadManager(ports=world.ports) as manager:
        plugin = manager.register("p", world.module(1), manifest(1), drain_timeout=20)
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        both = [Runner(manager.unregister, "p") for _ in range(2)]
        eventually(lambda: plugin.state is HotReloadState.CLOSED)
        assert all(runner.running for runner in both)
        world.gate.open.set()
        for runner in both:
            runner.value()
        assert held.value() == 1


def test_unknown_names_are_named_with_those_there_are(world: World) -> None:
    with HotReloadManager(ports=world.ports) as manager:
        assert manager.get("p") is None
        with pytest.raises(hotswap.PluginNotFound, match="there are: none"):
            manager["p"]
        manager.register("p", world.module(1), manifest(1))
        for refused in (lambda: manager["q"], lambda: manager.unregister("q"), lambda: manager.upgrade("q", "", "")):
            with pytest.raises(hotswap.PluginNotFound, match="there are: p"):
                refused()
        assert manager["p"] is manager.get("p")


def test_of_many_registers_of_one_name_one_wins(world: World) -> None:
    with HotReloadManager(ports=world.ports) as manager:
        begun = threading.Barrier(4)

        def register() -> object:
            begun.wait(20)
            try:
                return manager.register("p", world.module(1), manifest(1))
            except hotswap.AlreadyRegistered:
                return None

        results = [runner.value() for runner in [Runner(register) for _ in range(4)]]
        assert [result for result in results if result] == [manager["p"]]


def test_a_closed_manager_takes_no_more(world: World) -> None:
    manager = HotReloadManager(ports=world.ports)
    plugin = manager.register("p", world.module(1), manifest(1))
    manager.close()
    manager.close()
    assert plugin.state is HotReloadState.CLOSED
    assert manager.list() == []
    with pytest.raises(hotswap.PluginClosed, match="manager is closed"):
        manager.register("p", world.module(1), manifest(1))


def test_a_register_that_a_close_overtakes_closes_its_own_plugin(world: World) -> None:
    at_work, go_on = threading.Event(), threading.Event()
    load = world.ports.runtime.load

    def slow_load(wasm: object, its_manifest: hotswap.PluginManifest, imports: Imports) -> object:
        at_work.set()
        assert go_on.wait(20)
        return load(wasm, its_manifest, imports)

    world.ports.runtime.load = slow_load  # type: ignore[method-assign,assignment]
    manager = HotReloadManager(ports=world.ports)
    register = Runner(manager.register, "p", world.module(1), manifest(1))
    assert at_work.wait(20)
    manager.close()
    go_on.set()
    with pytest.raises(hotswap.PluginClosed):
        register.value()
    created, closed = world.instances()
    assert created == closed > 0


def test_what_is_dropped_without_close_says_so(world: World) -> None:
    manager = HotReloadManager(ports=world.ports)
    manager.register("p", world.module(1), manifest(1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del manager
        gc.collect()
    assert {str(warning.message) for warning in caught if warning.category is ResourceWarning} == {
        "plugin 'p' was dropped without close()",
        "a HotReloadManager was dropped without close()",
    }


def test_stats_of_all_plugins_come_by_name(world: World) -> None:
    with HotReloadManager(ports=world.ports) as manager:
        manager.register("p", world.module(1), manifest(1))
        manager.register("a", world.module(1), manifest(1, name="a"))
        manager.upgrade("a", world.module(2), manifest(2, name="a"))
        manager.upgrade("a", world.module(3), manifest(3, name="a", max_instances=3), allow_escalation=True)
        stats = manager.all_stats()
        assert [(name, each.version) for name, each in stats.items()] == [("a", 2), ("p", 0)]
