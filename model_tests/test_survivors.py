"""What mutants had survived, until there was a test for it here. `mutation/` has the mutants."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import wasmtime

import hotswap
from hotswap import Cutover, HotReloadablePlugin, HotReloadManager, OnDrainTimeout
from hotswap._host import Imports
from hotswap._ports import Ports
from hotswap._runtime import WasmRuntime
from hotswap._threads import THREADS
from hotswap._version import Lease, Waiter
from hotswap.testing import FakeModule, FakeRuntime
from test_core import Hand, a_core, attention_at_publish, executing
from worlds import FakeWorld, Runner, eventually, manifest, wat

MODULE = FakeModule({"version": lambda: 1, "hold": lambda: 1})


# The gate --------------------------------------------------------------------------------------------------


def test_the_queue_timeout_of_a_held_call_begins_when_the_gate_opens() -> None:
    core = a_core(1)
    attempt, _, _ = executing(core, Cutover.EXCLUSIVE)
    first = Runner(core.queue, 20.0)
    eventually(lambda: core.waiting == 1)
    second = Runner(core.queue, 0.01)
    eventually(lambda: core.waiting == 2)
    core.commit(attempt, 0)
    assert isinstance(first.value(), Lease)
    assert second.value() is None, "the candidate has one instance, and nothing else wakes the second call"


def test_a_close_wakes_who_waits_while_calls_are_still_inside() -> None:
    core = a_core(1)
    inside = core.admit()
    waiter = Waiter(THREADS.parker(), 20.0)
    core._parked.append(waiter.parker)
    core._enqueue(waiter)
    core.close()
    assert waiter.parker.park(0), "woken"
    with pytest.raises(hotswap.PluginClosed):
        core._look(waiter)
    assert inside is not None


def test_an_upgrader_that_waits_for_a_drain_heeds_a_close() -> None:
    core = a_core(1)
    inside = core.admit()
    _, old, candidate = executing(core)
    core.publish(old, candidate)
    core.close()
    with pytest.raises(hotswap.PluginClosed):
        core.await_drain(old, 0)
    assert not core.await_drain(old, 0, closing=True)
    assert inside is not None


def test_a_gate_stops_newcomers_also_when_leases_come_home() -> None:
    core = a_core(1)
    inside = core.admit()
    assert inside is not None
    _, old, _ = executing(core, Cutover.EXCLUSIVE)
    newcomer = Waiter(THREADS.parker(), 20.0)
    core._enqueue(newcomer)
    core.release(inside)
    assert newcomer.lease is None
    assert core.await_drain(old, 0)


def test_a_newcomer_does_not_pass_who_was_held_when_exclusive_commits() -> None:
    core = a_core(1)
    attempt, _, candidate = executing(core, Cutover.EXCLUSIVE)
    seen = attention_at_publish(core, candidate)
    core.commit(attempt, 0)
    assert seen == [True]


def test_a_critical_section_that_is_cut_short_wakes_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    core, parker = a_core(1), THREADS.parker()
    core._parked.append(parker)

    def struck() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(core, "_settle", struck)
    with pytest.raises(KeyboardInterrupt):
        core.settle()
    assert parker.park(0), "woken"


# Upgrades --------------------------------------------------------------------------------------------------


def test_a_candidate_has_all_its_instances() -> None:
    world = FakeWorld()
    with world.plugin() as plugin:
        plugin.upgrade(world.module(2), manifest(2, max_instances=3), allow_escalation=True)
        assert world.runtime.created - world.runtime.closed == 3


def test_a_register_whose_second_instance_fails_closes_the_first() -> None:
    world = FakeWorld()
    answers = iter([0, 1])
    module = FakeModule(MODULE.functions, init=lambda: next(answers))
    with pytest.raises(hotswap.InitFailed):
        HotReloadablePlugin("p", module, manifest(1, max_instances=2), ports=world.ports)
    assert (world.runtime.created, world.runtime.closed) == (2, 2)


def test_a_manifest_may_not_name_what_the_module_does_not_export() -> None:
    world = FakeWorld()
    poor = FakeModule({"version": lambda: 2})
    with pytest.raises(hotswap.ModuleRejected, match="function 'hold': expected it among the module's exports"):
        HotReloadablePlugin("p", poor, manifest(1), ports=world.ports)
    with world.plugin() as plugin, pytest.raises(hotswap.ModuleRejected, match="function 'hold'"):
        plugin.upgrade(poor, manifest(2))


@pytest.mark.parametrize("what", ["upgrade", "prepare_upgrade", "execute_upgrade", "cancel_upgrade", "close"])
def test_from_inside_a_call_everything_that_could_wait_for_it_is_refused(what: str) -> None:
    world = FakeWorld()
    with world.plugin(drain_timeout=0) as plugin:
        arguments = (world.module(2), manifest(2)) if "upgrade" in what and "_upgrade" not in what else ()
        arguments = (world.module(2), manifest(2)) if what == "prepare_upgrade" else arguments
        errors: list[BaseException] = []

        def from_inside() -> None:
            try:
                getattr(plugin, what)(*arguments)
            except hotswap.HotswapError as error:
                errors.append(error)

        world.gate.hold = from_inside  # type: ignore[method-assign]
        assert plugin.call("hold") == 1
        assert [type(error) for error in errors] == [hotswap.Reentrant]


def test_after_a_close_an_upgrade_publishes_nothing() -> None:
    core = a_core()
    _, old, candidate = executing(core)
    core.close()
    with pytest.raises(hotswap.PluginClosed):
        core.publish(old, candidate)
    assert core.current.value is old


def test_an_upgrader_whose_drain_timeout_passes_after_a_close_is_told_of_the_close() -> None:
    world = FakeWorld()
    with world.plugin() as plugin, pytest.MonkeyPatch.context() as patch:
        protocol = plugin._protocol

        def overtaken(*_: object) -> bool:
            patch.undo()
            protocol.close()
            return False

        patch.setattr(protocol, "await_drain", overtaken)
        with pytest.raises(hotswap.PluginClosed):
            plugin.upgrade(world.module(2), manifest(2))
        assert dict(plugin.stats().failures) == {"PluginClosed": 1}


# Counts ----------------------------------------------------------------------------------------------------


def test_calls_in_flight_are_counted_for_their_own_version() -> None:
    world = FakeWorld()
    with world.plugin(drain_timeout=0, on_drain_timeout=OnDrainTimeout.DETACH) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        assert dict(plugin.stats().in_flight) == {1: 1}
        plugin.upgrade(world.module(2), manifest(2))
        assert dict(plugin.stats().in_flight) == {1: 1, 2: 0}
        assert plugin.stats().retired_versions == 1
        world.gate.open.set()
        assert held.value() == 1
        eventually(lambda: plugin.stats().retired_versions == 0)
        assert dict(plugin.stats().in_flight) == {2: 0}


def test_counts_of_several_attempts_add_up() -> None:
    hand = Hand()
    drains = iter([3.0, 1.0])

    def trace(event: str, **_: object) -> None:
        if event == "version_published":
            hand.seconds += next(drains)

    ports = Ports(FakeRuntime(), THREADS, hand, trace)
    with HotReloadablePlugin("p", MODULE, manifest(1), ports=ports) as plugin:
        for _ in range(2):
            with pytest.raises(hotswap.ModuleRejected):
                plugin.upgrade(b"garbage", manifest(2))
        plugin.upgrade(MODULE, manifest(2))
        plugin.upgrade(MODULE, manifest(3))
        stats = plugin.stats()
    assert (stats.attempts, stats.successful_upgrades, stats.failed_upgrades, stats.version) == (4, 2, 2, 2)
    assert dict(stats.failures) == {"ModuleRejected": 2}
    assert (stats.total_drain_time_us, stats.max_drain_time_us) == (4_000_000, 3_000_000)


# Names -----------------------------------------------------------------------------------------------------


def test_an_unregister_that_comes_second_leaves_the_plugin_that_bears_the_name_by_then() -> None:
    world = FakeWorld()
    with HotReloadManager(ports=world.ports) as manager:
        plugin: Any = manager.register("p", world.module(1), manifest(1))
        close, successor = plugin.close, list[HotReloadablePlugin]()

        def overtaken() -> None:
            close()
            plugin.close = close
            manager.unregister("p")
            successor.append(manager.register("p", world.module(2), manifest(2)))

        plugin.close = overtaken
        manager.unregister("p")
        assert manager["p"] is successor[0]
        assert manager["p"].call("version") == 2


def test_after_an_unregister_the_plugin_is_closed() -> None:
    world = FakeWorld()
    with HotReloadManager(ports=world.ports) as manager:
        plugin = manager.register("p", world.module(1), manifest(1))
        manager.unregister("p")
        closed = plugin.state is hotswap.HotReloadState.CLOSED
        plugin.close()
        assert closed


def test_one_name_is_taken_from_the_start_of_its_register() -> None:
    world = FakeWorld()
    load, refused = world.runtime.load, list[type[BaseException]]()
    with HotReloadManager(ports=world.ports) as manager:

        def second(wasm: object, its_manifest: hotswap.PluginManifest, imports: Imports) -> Any:
            world.runtime.load = load  # type: ignore[method-assign]
            with pytest.raises(hotswap.AlreadyRegistered) as caught:
                manager.register("p", world.module(2), manifest(2))
            refused.append(caught.type)
            return load(wasm, its_manifest, imports)

        world.runtime.load = second  # type: ignore[method-assign,assignment]
        assert manager.register("p", world.module(1), manifest(1)) is manager["p"]
    assert refused == [hotswap.AlreadyRegistered]


def test_a_manager_closes_also_when_a_plugin_is_unregistered_meanwhile() -> None:
    world = FakeWorld()
    manager = HotReloadManager(ports=world.ports)
    first: Any = manager.register("a", world.module(1), manifest(1, name="a"))
    last = manager.register("p", world.module(1), manifest(1))
    close = first.close

    def and_the_other() -> None:
        manager.unregister("p")
        close()

    first.close = and_the_other
    manager.close()
    assert manager.list() == []
    assert last.state is hotswap.HotReloadState.CLOSED


# The runtime -----------------------------------------------------------------------------------------------


def test_a_digest_is_the_sha_256_of_the_modules_bytes() -> None:
    code = bytes(wasmtime.wat2wasm(wat(1)))
    assert WasmRuntime().load(code, manifest(1)).facts.digest == hashlib.sha256(code).hexdigest()


def test_a_closed_instance_has_no_store_any_more() -> None:
    instance = WasmRuntime().load(wat(1), manifest(1)).instantiate(probe=False)
    store = instance._limits.store
    assert store.ptr()
    instance.close()
    with pytest.raises(ValueError, match="already"):
        store.ptr()
