"""Both cutovers, all drain-timeout outcomes, cancel, close, re-entrancy: as the design decides them, in both worlds."""

from __future__ import annotations

import gc
import threading
from functools import partial
from typing import Any

import pytest

import hotswap
from hotswap import Cutover, HotReloadablePlugin, HotReloadState, OnDrainTimeout
from hotswap._host import Imports
from hotswap._version import Attempt, Version
from worlds import Runner, World, eventually, manifest

CUTOVERS = pytest.mark.parametrize("cutover", list(Cutover), ids=lambda c: c.name)


@CUTOVERS
def test_an_upgrade_waits_for_the_calls_on_the_old_version(world: World, cutover: Cutover) -> None:
    with world.plugin(cutover=cutover) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        upgrade = Runner(plugin.upgrade, world.module(2), manifest(2))
        eventually(lambda: plugin.state is HotReloadState.DRAINING)
        assert upgrade.running
        world.gate.open.set()
        upgrade.value()
        assert held.value() == 1
        assert plugin.call("version") == 2
        assert plugin.manifest.plugin.version == "2.0.0"
        stats = plugin.stats()
        assert stats.total_drain_time_us == stats.max_drain_time_us > 0
        assert stats.in_flight == {2: 0}


def test_overlap_admits_new_calls_to_the_new_version_while_it_drains(world: World) -> None:
    with world.plugin(cutover=Cutover.OVERLAP) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        upgrade = Runner(plugin.upgrade, world.module(2), manifest(2))
        eventually(lambda: plugin.state is HotReloadState.DRAINING)
        assert plugin.call("version") == 2
        assert plugin.stats().in_flight == {1: 1, 2: 0}
        world.gate.open.set()
        upgrade.value()
        assert held.value() == 1


def test_exclusive_holds_new_calls_until_the_old_version_has_drained(world: World) -> None:
    with world.plugin(cutover=Cutover.EXCLUSIVE) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        upgrade = Runner(plugin.upgrade, world.module(2), manifest(2))
        eventually(lambda: plugin.state is HotReloadState.DRAINING)
        waiting = [Runner(plugin.call, "version") for _ in range(3)]
        eventually(lambda: plugin.stats().waiting == 3)
        assert plugin.stats().in_flight == {1: 1}
        world.gate.open.set()
        upgrade.value()
        assert [call.value() for call in waiting] == [2, 2, 2]
        assert held.value() == 1


@CUTOVERS
def test_rollback_after_a_drain_timeout_leaves_everything_as_it_was(world: World, cutover: Cutover) -> None:
    with world.plugin(cutover=cutover, drain_timeout=0.05) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        before = plugin.manifest
        with pytest.raises(hotswap.DrainTimeout, match="1 still in flight"):
            plugin.upgrade(world.module(2), manifest(2))
        assert plugin.state is HotReloadState.ACTIVE
        assert plugin.manifest is before
        assert plugin.call("version") == 1
        assert held.running
        world.gate.open.set()
        assert held.value() == 1
        stats = plugin.stats()
        assert (stats.attempts, stats.failed_upgrades, dict(stats.failures)) == (1, 1, {"DrainTimeout": 1})
        plugin.drain_timeout = 20
        plugin.upgrade(world.module(2), manifest(2))
        assert plugin.call("version") == 2


def test_a_call_held_at_the_gate_is_admitted_after_rollback(world: World) -> None:
    with world.plugin(cutover=Cutover.EXCLUSIVE, drain_timeout=0.2) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        upgrade = Runner(plugin.upgrade, world.module(2), manifest(2))
        eventually(lambda: plugin.state is HotReloadState.DRAINING)
        assert Runner(plugin.call, "version").value() == 1
        with pytest.raises(hotswap.DrainTimeout):
            upgrade.value()
        world.gate.open.set()
        assert held.value() == 1


def test_calls_on_the_candidate_run_to_their_end_after_rollback(world: World) -> None:
    with world.plugin(drain_timeout=0.5) as plugin:
        old = Runner(plugin.call, "hold")
        world.gate.await_entered()
        upgrade = Runner(plugin.upgrade, world.module(2), manifest(2))
        eventually(lambda: plugin.state is HotReloadState.DRAINING)
        new = Runner(plugin.call, "hold")
        world.gate.await_entered()
        with pytest.raises(hotswap.DrainTimeout):
            upgrade.value()
        assert plugin.call("version") == 1
        assert plugin.stats().in_flight == {1: 1, 2: 1}
        world.gate.open.set()
        assert (old.value(), new.value()) == (1, 2)
        eventually(lambda: plugin.stats().in_flight == {1: 0})


@CUTOVERS
def test_interrupt_stops_the_stuck_calls_and_no_others(world: World, cutover: Cutover) -> None:
    with world.plugin(cutover=cutover, on_drain_timeout=OnDrainTimeout.INTERRUPT, drain_timeout=0.05) as plugin:
        stuck = Runner(plugin.call, "loop")
        eventually(lambda: plugin.stats().in_flight == {1: 1})
        plugin.upgrade(world.module(2), manifest(2))
        assert plugin.call("version") == 2
        with pytest.raises(hotswap.CallInterrupted):
            stuck.value()
        assert plugin.stats().successful_upgrades == 1
        assert plugin.stats().in_flight == {2: 0}


@pytest.mark.parametrize(("cutover", "serves"), [(Cutover.OVERLAP, 2), (Cutover.EXCLUSIVE, 1)])
def test_a_call_that_does_not_heed_the_interrupt_is_detached_or_rolls_back(
    world: World, cutover: Cutover, serves: int
) -> None:
    """`hold` waits in Python, where an interrupt cannot reach it, as a call in a host function would."""
    with world.plugin(cutover=cutover, on_drain_timeout=OnDrainTimeout.INTERRUPT, drain_timeout=0.05) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        if cutover is Cutover.OVERLAP:
            plugin.upgrade(world.module(2), manifest(2))
            assert plugin.stats().in_flight == {1: 1, 2: 0}
        else:
            with pytest.raises(hotswap.DrainTimeout, match="interrupted"):
                plugin.upgrade(world.module(2), manifest(2))
        assert plugin.call("version") == serves
        looping = Runner(plugin.call, "loop")  # the rollback took the interrupt back
        beside = 1 if cutover is Cutover.EXCLUSIVE else 0
        eventually(lambda: plugin.stats().in_flight[serves] == 1 + beside)
        world.gate.open.set()
        assert held.value() == 1
        eventually(lambda: len(plugin.stats().in_flight) == 1)
        assert looping.running
        plugin.drain_timeout = 0.05
        plugin.close()
        with pytest.raises(hotswap.CallInterrupted):
            looping.value()


def test_detach_lets_the_old_version_run_out(world: World) -> None:
    with world.plugin(on_drain_timeout=OnDrainTimeout.DETACH, drain_timeout=0.05) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        plugin.upgrade(world.module(2), manifest(2))
        assert plugin.call("version") == 2
        assert plugin.stats().retired_versions == 1
        world.gate.open.set()
        assert held.value() == 1
        eventually(lambda: plugin.stats().retired_versions == 0)


def test_a_process_that_can_start_no_thread_upgrades_and_reclaims_later(world: World) -> None:
    def refuse(self: object, work: object, name: str) -> None:
        raise RuntimeError("can't start new thread")

    with world.plugin(on_drain_timeout=OnDrainTimeout.DETACH, drain_timeout=0.05) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(world.ports.sync), "spawn", refuse)
            plugin.upgrade(world.module(2), manifest(2))
        assert "thread_refused" in world.trace.names
        world.gate.open.set()
        assert held.value() == 1
        assert plugin.stats().retired_versions == 1
        plugin.upgrade(world.module(3), manifest(3))
        assert plugin.stats().retired_versions == 0


def test_the_number_of_detached_versions_is_bounded(world: World) -> None:
    with world.plugin(on_drain_timeout=OnDrainTimeout.DETACH, drain_timeout=0.05, max_detached=1) as plugin:
        held = [Runner(plugin.call, "hold")]
        world.gate.await_entered()
        plugin.upgrade(world.module(2), manifest(2))
        held.append(Runner(plugin.call, "hold"))
        world.gate.await_entered()
        with pytest.raises(hotswap.DrainTimeout, match="max_detached is 1"):
            plugin.upgrade(world.module(3), manifest(3))
        assert plugin.call("version") == 2
        world.gate.open.set()
        assert [call.value() for call in held] == [1, 2]


def test_exclusive_with_detach_is_a_value_error(world: World) -> None:
    with (
        pytest.raises(ValueError, match="EXCLUSIVE with DETACH"),
        world.plugin(cutover=Cutover.EXCLUSIVE, on_drain_timeout=OnDrainTimeout.DETACH),
    ):
        pass


def test_the_timeout_in_force_is_the_one_read_when_execute_starts(world: World) -> None:
    with world.plugin(drain_timeout=20) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        upgrade = Runner(plugin.upgrade, world.module(2), manifest(2))
        eventually(lambda: plugin.state is HotReloadState.DRAINING)
        plugin.drain_timeout = 0
        assert plugin.drain_timeout == 0
        world.gate.open.set()
        upgrade.value()
        assert held.value() == 1
    with pytest.raises(ValueError, match="finite"):
        plugin.drain_timeout = float("inf")


# -- ownership -------------------------------------------------------------------------------------------------


def test_a_second_attempt_is_busy_and_is_no_attempt(world: World) -> None:
    with world.plugin() as plugin:
        plugin.prepare_upgrade(world.module(2), manifest(2))
        with pytest.raises(hotswap.Busy, match="PREPARING_UPGRADE"):
            plugin.prepare_upgrade(world.module(3), manifest(3))
        assert plugin.stats().attempts == 1
        Runner(plugin.execute_upgrade).value()  # any thread may execute what another prepared
        assert plugin.call("version") == 2


def test_execute_without_prepare_is_a_wrong_state(world: World) -> None:
    with world.plugin() as plugin:
        with pytest.raises(hotswap.WrongState, match="prepare_upgrade first"):
            plugin.execute_upgrade()
        assert plugin.stats().attempts == 0


def test_of_two_executes_one_is_busy_and_does_not_disturb_the_other(world: World) -> None:
    with world.plugin() as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        plugin.prepare_upgrade(world.module(2), manifest(2))
        first = Runner(plugin.execute_upgrade)
        eventually(lambda: plugin.state is HotReloadState.DRAINING)
        with pytest.raises(hotswap.Busy):
            plugin.execute_upgrade()
        with pytest.raises(hotswap.Busy, match="no longer be cancelled"):
            plugin.cancel_upgrade()
        world.gate.open.set()
        first.value()
        assert held.value() == 1
        assert plugin.call("version") == 2


def test_cancel_wins_over_a_prepare_that_is_still_at_work(world: World) -> None:
    at_work, go_on = threading.Event(), threading.Event()
    with world.plugin() as plugin:
        load = plugin._upgrades._ports.runtime.load

        def slow_load(wasm: object, its_manifest: hotswap.PluginManifest, imports: Imports) -> object:
            at_work.set()
            assert go_on.wait(20)
            return load(wasm, its_manifest, imports)

        plugin._upgrades._ports.runtime.load = slow_load  # type: ignore[method-assign,assignment]
        prepare = Runner(plugin.prepare_upgrade, world.module(2), manifest(2))
        assert at_work.wait(20)
        with pytest.raises(hotswap.Busy):
            plugin.execute_upgrade()
        assert plugin.cancel_upgrade()
        assert plugin.state is HotReloadState.ACTIVE
        assert not plugin.cancel_upgrade()
        go_on.set()
        with pytest.raises(hotswap.UpgradeCancelled):
            prepare.value()
        stats = plugin.stats()
        assert (stats.attempts, stats.cancelled_upgrades, stats.failed_upgrades) == (1, 1, 0)
        plugin.upgrade(world.module(2), manifest(2))
        assert plugin.call("version") == 2


@pytest.mark.parametrize("operation", ["upgrade", "prepare_upgrade", "execute_upgrade", "cancel_upgrade", "close"])
def test_what_would_wait_for_its_own_call_is_refused_at_once(world: World, operation: str) -> None:
    with world.plugin() as plugin:
        arguments = (world.module(2), manifest(2)) if operation in {"upgrade", "prepare_upgrade"} else ()
        errors: list[BaseException] = []

        def from_inside() -> None:
            try:
                getattr(plugin, operation)(*arguments)
            except hotswap.Reentrant as error:
                errors.append(error)

        world.gate.hold = from_inside  # type: ignore[method-assign]
        assert plugin.call("hold") == 1
        assert len(errors) == 1
        assert plugin.state is HotReloadState.ACTIVE
        assert plugin.stats().attempts == 0


def test_upgrade_executes_its_own_candidate_and_no_other(world: World) -> None:
    """Between its prepare and its execute, another thread cancels and prepares something else."""
    with world.plugin() as plugin:
        upgrade = plugin._upgrades
        real = upgrade.execute

        def overtaken(policy: Any, prepared: Any = None) -> None:
            assert Runner(plugin.cancel_upgrade).value() is True
            Runner(plugin.prepare_upgrade, world.module(3), manifest(3)).value()
            real(policy, prepared)

        upgrade.execute = overtaken  # type: ignore[method-assign]
        with pytest.raises(hotswap.UpgradeCancelled):
            plugin.upgrade(world.module(2), manifest(2))
        upgrade.execute = real  # type: ignore[method-assign]
        assert plugin.call("version") == 1
        plugin.execute_upgrade()
        assert plugin.call("version") == 3
        stats = plugin.stats()
        assert (stats.attempts, stats.successful_upgrades, stats.cancelled_upgrades) == (2, 1, 1)


# -- close -----------------------------------------------------------------------------------------------------


def test_close_drains_and_then_refuses_everything(world: World) -> None:
    with world.plugin() as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        closing = Runner(plugin.close)
        eventually(lambda: plugin.state is HotReloadState.CLOSED)
        with pytest.raises(hotswap.PluginClosed, match="closed"):
            plugin.call("version")
        with pytest.raises(hotswap.PluginClosed, match="closed"):
            plugin.prepare_upgrade(world.module(2), manifest(2))
        with pytest.raises(hotswap.PluginClosed, match="closed"):
            plugin.execute_upgrade()
        second = Runner(plugin.close)
        assert closing.running
        assert second.running
        world.gate.open.set()
        assert held.value() == 1
        closing.value()
        second.value()
        assert not plugin.cancel_upgrade()
        assert plugin.state is HotReloadState.CLOSED


@CUTOVERS
def test_close_wins_over_an_upgrade_that_drains(world: World, cutover: Cutover) -> None:
    with world.plugin(cutover=cutover) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        upgrade = Runner(plugin.upgrade, world.module(2), manifest(2))
        eventually(lambda: plugin.state is HotReloadState.DRAINING)
        waiting = Runner(plugin.call, "version") if cutover is Cutover.EXCLUSIVE else None
        if waiting:
            eventually(lambda: plugin.stats().waiting == 1)
        closing = Runner(plugin.close)
        with pytest.raises(hotswap.PluginClosed):
            upgrade.value()
        if waiting:
            with pytest.raises(hotswap.PluginClosed):
                waiting.value()
        assert closing.running
        world.gate.open.set()
        assert held.value() == 1
        closing.value()
        assert plugin.stats().failures == {"PluginClosed": 1}


def test_close_does_not_wait_for_a_prepare_which_closes_its_own_candidate(world: World) -> None:
    at_work, go_on = threading.Event(), threading.Event()
    with world.plugin() as plugin:
        load = plugin._upgrades._ports.runtime.load

        def slow_load(wasm: object, its_manifest: hotswap.PluginManifest, imports: Imports) -> object:
            code = load(wasm, its_manifest, imports)
            at_work.set()
            assert go_on.wait(20)
            return code

        plugin._upgrades._ports.runtime.load = slow_load  # type: ignore[method-assign,assignment]
        prepare = Runner(plugin.prepare_upgrade, world.module(2), manifest(2))
        assert at_work.wait(20)
        plugin.close()
        assert prepare.running
        go_on.set()
        with pytest.raises(hotswap.PluginClosed):
            prepare.value()
        assert plugin.stats().failures == {"PluginClosed": 1}


def test_close_reclaims_a_candidate_that_was_prepared_and_never_executed(world: World) -> None:
    with world.plugin() as plugin:
        plugin.prepare_upgrade(world.module(2), manifest(2))
        plugin.close()
        assert plugin.stats().failures == {"PluginClosed": 1}


def test_close_interrupts_what_outlives_the_drain_timeout_whatever_the_policy(world: World) -> None:
    with world.plugin(drain_timeout=0.05) as plugin:
        stuck = Runner(plugin.call, "loop")
        eventually(lambda: plugin.stats().in_flight == {1: 1})
        plugin.close()
        with pytest.raises(hotswap.CallInterrupted):
            stuck.value()


def test_an_upgrade_that_is_rolled_back_does_not_take_back_the_interrupt_of_a_close(world: World) -> None:
    with world.plugin() as plugin:
        stuck = Runner(plugin.call, "loop")
        eventually(lambda: plugin.stats().in_flight == {1: 1})
        upgrade = Runner(plugin.upgrade, world.module(2), manifest(2))
        eventually(lambda: plugin.state is HotReloadState.DRAINING)
        plugin.drain_timeout = 0
        plugin.close()
        for runner, error in ((stuck, hotswap.CallInterrupted), (upgrade, hotswap.PluginClosed)):
            with pytest.raises(error):
                runner.value()


def test_close_interrupts_all_versions_at_once(world: World) -> None:
    """The call that loops on version 2 need not wait for the one on version 1 that heeds no interrupt."""
    with world.plugin(on_drain_timeout=OnDrainTimeout.DETACH, drain_timeout=0.05) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        plugin.upgrade(world.module(2), manifest(2))
        stuck = Runner(plugin.call, "loop")
        eventually(lambda: plugin.stats().in_flight == {1: 1, 2: 1})
        closing = Runner(plugin.close)
        with pytest.raises(hotswap.CallInterrupted):
            stuck.value()
        assert closing.running
        world.gate.open.set()
        closing.value()
        assert held.value() == 1


def test_a_plugin_dropped_without_close_leaves_no_thread_and_no_version(world: World) -> None:
    gc.collect()
    before = _versions()
    plugin = HotReloadablePlugin("p", world.module(1), manifest(1), ports=world.ports)
    plugin.prepare_upgrade(world.module(2), manifest(2))
    with pytest.raises(hotswap.CallTrapped):
        plugin.call("trap")
    dropped = [plugin]
    del plugin
    with pytest.warns(ResourceWarning, match="dropped without close"):
        _drop(dropped)
    eventually(lambda: not any("hotswap-mend" in thread.name for thread in threading.enumerate()))
    gc.collect()
    assert _versions() <= before, "a version that is garbage must not bring itself back to life"


def test_close_drains_detached_versions_too(world: World) -> None:
    with world.plugin(on_drain_timeout=OnDrainTimeout.DETACH, drain_timeout=0.05) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        plugin.upgrade(world.module(2), manifest(2))
        closing = Runner(plugin.close)
        eventually(lambda: plugin.state is HotReloadState.CLOSED)
        assert closing.running
        world.gate.open.set()
        closing.value()
        assert held.value() == 1
        assert world.instances()[0] == world.instances()[1]


# -- waiting for an instance -----------------------------------------------------------------------------------


def test_a_call_that_finds_no_instance_waits_and_is_served_first_come_first_served(world: World) -> None:
    with world.plugin(max_instances=1) as plugin:
        order: list[int] = []
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        waiting = []
        for number in range(4):

            def call(number: int = number) -> None:
                plugin.call("version")
                order.append(number)

            waiting.append(Runner(call))
            eventually(lambda number=number: plugin.stats().waiting == number + 1)  # type: ignore[misc]
        world.gate.open.set()
        for call_ in (held, *waiting):
            call_.value()
        assert order == [0, 1, 2, 3]


def test_a_call_that_waits_too_long_is_overloaded(world: World) -> None:
    with world.plugin(max_instances=1, queue_timeout=0.05) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        with pytest.raises(hotswap.Overloaded, match=r"within 0\.05 s"):
            plugin.call("version")
        world.gate.open.set()
        assert held.value() == 1
        assert plugin.call("version") == 1


def test_time_at_the_gate_does_not_count_towards_queue_timeout(world: World) -> None:
    with world.plugin(cutover=Cutover.EXCLUSIVE, queue_timeout=0.05) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        upgrade = Runner(plugin.upgrade, world.module(2), manifest(2))
        eventually(lambda: plugin.state is HotReloadState.DRAINING)
        waiting = Runner(plugin.call, "version")
        threading.Event().wait(0.2)  # four times the queue timeout
        assert waiting.running
        world.gate.open.set()
        upgrade.value()
        assert (held.value(), waiting.value()) == (1, 2)


def test_a_call_that_waits_moves_on_to_the_version_that_is_published(world: World) -> None:
    with world.plugin(max_instances=1) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        waiting = Runner(plugin.call, "version")
        eventually(lambda: plugin.stats().waiting == 1)
        upgrade = Runner(partial(plugin.upgrade, allow_escalation=True), world.module(2), manifest(2))
        assert waiting.value() == 2
        world.gate.open.set()
        upgrade.value()
        assert held.value() == 1


def test_a_held_call_is_served_before_the_next_gate_stops_it(world: World) -> None:
    """L3: with one instance, the second exclusive upgrade must let the call of the first one's gate through."""
    with world.plugin(max_instances=1, cutover=Cutover.EXCLUSIVE) as plugin:
        first = Runner(plugin.call, "hold")
        world.gate.await_entered()
        upgrade = Runner(plugin.upgrade, world.module(2), manifest(2, max_instances=1))
        eventually(lambda: plugin.state is HotReloadState.DRAINING)
        waiting = [Runner(plugin.call, "hold") for _ in range(2)]
        eventually(lambda: plugin.stats().waiting == 2)
        world.gate.open.set()
        upgrade.value()
        plugin.upgrade(world.module(3), manifest(3, max_instances=1))
        assert first.value() == 1
        assert {call.value() for call in waiting} <= {2, 3}


def test_an_interrupt_stops_no_call_that_was_held_and_is_not_inside_yet(world: World) -> None:
    """EXCLUSIVE with INTERRUPT: calls that an earlier gate held go to the new version, not into the interrupted one."""
    with world.plugin(
        cutover=Cutover.EXCLUSIVE, on_drain_timeout=OnDrainTimeout.INTERRUPT, drain_timeout=0.05
    ) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        stuck = Runner(plugin.call, "loop")
        eventually(lambda: plugin.stats().in_flight == {1: 2})
        waiting = Runner(plugin.call, "version")
        eventually(lambda: plugin.stats().waiting == 1)
        plugin._protocol._waiters[0].held = True
        upgrade = Runner(plugin.upgrade, world.module(2), manifest(2))
        with pytest.raises(hotswap.CallInterrupted):
            stuck.value()
        world.gate.open.set()
        upgrade.value()
        assert (held.value(), waiting.value()) == (1, 2)


def test_what_an_interrupt_broke_is_replaced_after_the_rollback(world: World) -> None:
    with world.plugin(
        cutover=Cutover.EXCLUSIVE, on_drain_timeout=OnDrainTimeout.INTERRUPT, drain_timeout=0.05
    ) as plugin:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        stuck = Runner(plugin.call, "loop")
        eventually(lambda: plugin.stats().in_flight == {1: 2})
        with pytest.raises(hotswap.DrainTimeout):
            plugin.upgrade(world.module(2), manifest(2))
        with pytest.raises(hotswap.CallInterrupted):
            stuck.value()
        eventually(lambda: world.instances()[0] - world.instances()[1] == 2)
        world.gate.open.set()
        assert held.value() == 1


def test_and_so_when_ctrl_c_comes_right_after_the_rollback(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.plugin(
        cutover=Cutover.EXCLUSIVE, on_drain_timeout=OnDrainTimeout.INTERRUPT, drain_timeout=0.05
    ) as plugin:
        abort, struck = plugin._protocol.abort, list[bool]()

        def struck_after(attempt: Attempt, reason: str) -> bool:
            undone = abort(attempt, reason)
            if not struck:
                struck.append(undone)
                raise KeyboardInterrupt
            return undone

        monkeypatch.setattr(plugin._protocol, "abort", struck_after)
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        stuck = Runner(plugin.call, "loop")
        eventually(lambda: plugin.stats().in_flight == {1: 2})
        with pytest.raises(KeyboardInterrupt):
            plugin.upgrade(world.module(2), manifest(2))
        with pytest.raises(hotswap.CallInterrupted):
            stuck.value()
        assert struck == [True]
        world.gate.open.set()
        assert held.value() == 1
        eventually(lambda: world.instances()[0] - world.instances()[1] == 2)


def _versions() -> int:
    return sum(type(each) is Version for each in gc.get_objects())


def _drop(plugins: list[HotReloadablePlugin]) -> None:
    plugins.clear()
    for _ in range(3):
        gc.collect()


# -- instances lost to traps -----------------------------------------------------------------------------------


def test_a_trapped_instance_is_replaced_and_the_drain_still_counts_to_n(world: World) -> None:
    with world.plugin(max_instances=1) as plugin:
        with pytest.raises(hotswap.CallTrapped):
            plugin.call("trap")
        assert plugin.call("version") == 1
        with pytest.raises(hotswap.CallTrapped):
            plugin.call("trap")
        plugin.upgrade(world.module(2), manifest(2), allow_escalation=True)
        assert plugin.call("version") == 2
        assert plugin.stats().discarded_instances == 2


def test_the_events_of_an_upgrade_come_in_order(world: World) -> None:
    with world.plugin() as plugin:
        plugin.upgrade(world.module(2), manifest(2))
    assert world.trace.names == [
        "upgrade_prepared",
        "version_published",
        "upgrade_committed",
        "version_reclaimed",
        "version_reclaimed",
        "plugin_closed",
    ]
