"""Ctrl-C at every point where CPython can deliver it (S1, S4, S7, S8).

CPython runs signal handlers when a Python function is entered and when a C function has returned (and at backward
jumps). `sys.setprofile` is called at just the first two, in the thread that set it, and an exception that it raises
goes the way a KeyboardInterrupt would. So each test runs one operation again and again on a fresh plugin, raising at
the first such point, at the second, and so on, until the operation gets by without; and asks after each what is left.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

import hotswap
from hotswap import Cutover, HotReloadablePlugin, HotReloadState
from worlds import FakeWorld, Runner, eventually, manifest

PRODUCT = str(Path(hotswap.__file__).parent)
Operation = Callable[[HotReloadablePlugin, FakeWorld], None]


class Strike:
    """Raises KeyboardInterrupt at the n-th point inside the product; says where that was."""

    def __init__(self, point: int) -> None:
        self.left = point
        self.where = ""

    @contextmanager
    def armed(self) -> Iterator[None]:
        gc.disable()  # what other tests left behind has finalizers too, and an exception in those goes nowhere
        sys.setprofile(self._event)
        try:
            yield
        finally:
            sys.setprofile(None)
            gc.enable()

    def hits(self, work: Callable[[], object]) -> KeyboardInterrupt | None:
        """What struck the work. Whoever keeps that keeps its frames, but must not keep a lease."""
        try:
            with self.armed():
                work()
        except KeyboardInterrupt as error:
            return error
        return None

    def _event(self, frame: FrameType, event: str, arg: object) -> None:
        if event not in {"call", "c_return"} or self.where or not frame.f_code.co_filename.startswith(PRODUCT):
            return
        if frame.f_code.co_name == "__del__" or frame.f_code.co_filename.endswith("testing.py"):
            return  # an exception in a finalizer goes nowhere; the fakes are not the product
        if self.left == 0:
            self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name} {event} {arg}"
            raise KeyboardInterrupt
        self.left -= 1


def call(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    plugin.call("version")


def trap(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    with pytest.raises((hotswap.CallTrapped, KeyboardInterrupt)) as caught:
        plugin.call("trap")
    if caught.type is KeyboardInterrupt:
        raise KeyboardInterrupt


def upgrade(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    plugin.upgrade(world.module(2), manifest(2))


def failed_prepare(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    try:
        plugin.upgrade(world.bad_module("probe"), manifest(2))
    except hotswap.ProbeFailed:
        pass


def cancel(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    plugin.prepare_upgrade(world.module(2), manifest(2))
    plugin.cancel_upgrade()


def rollback(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    plugin.drain_timeout = 0
    try:
        plugin.upgrade(world.module(2), manifest(2))
    except hotswap.DrainTimeout:
        pass


def close(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    plugin.close()


def check(plugin: HotReloadablePlugin, world: FakeWorld, where: str) -> None:
    """What must hold whatever was cut short."""
    if plugin.state is not HotReloadState.CLOSED:
        if plugin.state is HotReloadState.PREPARING_UPGRADE:  # struck between prepare and what was to follow
            assert plugin.cancel_upgrade(), where
        assert plugin.state is HotReloadState.ACTIVE, where
        served = Runner(plugin.call, "version").value()
        assert served == int(plugin.manifest.plugin.version[0]), where
        plugin.drain_timeout = 20
        Runner(lambda: plugin.upgrade(world.module(9), manifest(9), allow_escalation=True)).value()
        assert plugin.call("version") == 9, where
        eventually(lambda: world.runtime.created - world.runtime.closed == 2)  # S8, not only after close
        assert plugin.stats().waiting == len(plugin._protocol._parked) == 0, where
    stats = plugin.stats()
    ended = stats.successful_upgrades + stats.failed_upgrades + stats.cancelled_upgrades
    assert stats.attempts == ended, where
    assert stats.failed_upgrades == sum(stats.failures.values()), where
    Runner(plugin.close).value()
    gc.collect(0)
    if world.runtime.created != world.runtime.closed:
        gc.collect()
    assert world.runtime.created == world.runtime.closed, where
    assert world.violations() == [], where


def struck(
    operation: Operation, plugin: HotReloadablePlugin, world: FakeWorld, strike: Strike, *, busy: bool
) -> KeyboardInterrupt | None:
    """What struck the operation. `busy`: one of two instances is inside a call on another thread meanwhile."""
    held = None
    if busy:
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        if operation is not rollback:
            world.gate.open.set()
    kept = strike.hits(lambda: operation(plugin, world))
    world.gate.open.set()
    if held:
        assert held.value() == 1
    return kept


@pytest.mark.parametrize("cutover", list(Cutover), ids=lambda c: c.name)
@pytest.mark.parametrize("operation", [call, trap, upgrade, failed_prepare, cancel, rollback, close])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_ctrl_c_anywhere_leaves_the_plugin_as_good_as_before(
    operation: Operation, cutover: Cutover, busy: bool
) -> None:
    for point in range(5_000):
        world, strike = FakeWorld(), Strike(point)
        plugin = HotReloadablePlugin("p", world.module(1), manifest(1), ports=world.ports, cutover=cutover)
        kept = struck(operation, plugin, world, strike, busy=busy)
        check(plugin, world, strike.where)
        if kept is None:
            assert point > 3, "the operation was never struck"
            return
    pytest.fail("the operation does not end")


@pytest.mark.parametrize("queue_timeout", [20.0, 0.0], ids=["served", "too late"])
def test_ctrl_c_in_a_call_that_waits_loses_no_lease_and_leaves_nobody_in_the_queue(queue_timeout: float) -> None:
    for point in range(5_000):
        world, strike = FakeWorld(), Strike(point)
        plugin = HotReloadablePlugin(
            "p", world.module(1), manifest(1, max_instances=1), ports=world.ports, queue_timeout=queue_timeout
        )
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        opener = Runner(lambda plugin=plugin, world=world: _open_when_waiting(plugin, world)) if queue_timeout else None
        kept = None
        try:
            with strike.armed():
                plugin.call("version")
        except (KeyboardInterrupt, hotswap.Overloaded) as error:
            kept = error
        world.gate.open.set()
        if opener:
            opener.join()
        assert held.value() == 1
        assert plugin.stats().waiting == len(plugin._protocol._parked) == 0, strike.where
        check(plugin, world, strike.where)
        if not isinstance(kept, KeyboardInterrupt):
            return
    pytest.fail("the operation does not end")


@pytest.mark.parametrize("cutover", list(Cutover), ids=lambda c: c.name)
def test_ctrl_c_in_a_close_beside_an_upgrade_leaves_it_closed_or_as_before(cutover: Cutover) -> None:
    for point in range(5_000):
        world, strike = FakeWorld(), Strike(point)
        plugin = HotReloadablePlugin(
            "p", world.module(1), manifest(1), ports=world.ports, cutover=cutover, drain_timeout=20
        )
        held = Runner(plugin.call, "hold")
        world.gate.await_entered()
        upgrading = Runner(plugin.upgrade, world.module(2), manifest(2))
        eventually(lambda plugin=plugin: plugin.state is HotReloadState.DRAINING)  # type: ignore[misc]
        plugin.drain_timeout = 0
        opener = Runner(lambda world=world, plugin=plugin: _open_when_closed(plugin, world))
        struck = False
        try:
            with strike.armed():
                plugin.close()
        except KeyboardInterrupt:
            struck = True
        world.gate.open.set()
        opener.join()
        upgrading.join()
        assert held.value() == 1
        if plugin.state is HotReloadState.CLOSED:
            assert isinstance(upgrading.error, hotswap.PluginClosed), strike.where
        check(plugin, world, strike.where)
        if not struck:
            return
    pytest.fail("the operation does not end")


def _open_when_closed(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    eventually(lambda: plugin.state is HotReloadState.CLOSED or world.gate.open.is_set())
    world.gate.open.set()


def _open_when_waiting(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    eventually(lambda: plugin.stats().waiting == 1 or world.gate.open.is_set())
    world.gate.open.set()
