"""The monitor follows what becomes of a manager's names (S9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import hotswap
from hotswap import HotReloadablePlugin, HotReloadManager
from hotswap.monitor import Monitor
from monitored import hold, the_divergence
from test_interrupts import Strike
from worlds import FakeWorld, Runner, eventually, manifest

NEVER_SEEN = {
    "be_refused": "it changes nothing",
    "find_closed": "told as a failure: that the manager is closed is not looked at",
    "get": "reading takes no lock",
    "call": "each plugin's calls are followed on the upgrade level",
    "call_late": "the same",
    "end": "the same",
    "forget": "the same",
    "upgrade": "so are its upgrades",
    "succeed": "the same",
    "lose": "the same",
    "shut": "each name is followed on its own",
    "leave": "the same",
}


def register(manager: HotReloadManager, world: FakeWorld) -> HotReloadablePlugin:
    return manager.register("p", world.module(1), manifest(1))


def test_names_are_followed_from_when_they_are_taken_until_they_are_free() -> None:
    world = FakeWorld()
    with Monitor() as monitor:
        with HotReloadManager(ports=world.ports, monitor=monitor) as manager:
            with pytest.raises(hotswap.ProbeFailed):
                manager.register("p", world.bad_module("probe"), manifest(1))
            plugin = register(manager, world)
            with pytest.raises(hotswap.AlreadyRegistered):
                register(manager, world)
            call = hold(plugin, world)
            removers = [Runner(manager.unregister, "p") for _ in range(2)]
            eventually(lambda: plugin.state is hotswap.HotReloadState.CLOSED)
            world.gate.open.set()
            call.join()
            for remover in removers:
                remover.join()
            register(manager, world)
        assert monitor.flush()
        assert [str(one) for one in monitor.divergences] == []
        assert (monitor.taken["manager: take"], monitor.taken["manager: delete"]) == (3, 2)
        rows = {row.name for row in hotswap.monitor._names.LEVEL.rows}
        assert {name for name in rows if f"manager: {name}" not in monitor.taken} == NEVER_SEEN.keys()


# Defects are told -------------------------------------------------------------------------------------------


def unregister_and_then_close(self: Any, name: str) -> None:
    plugin = self[name]
    with self._lock:
        del self._plugins[name], self._taken[name]
    plugin.close()


def register_anyhow(self: Any, name: str, wasm: Any, its: Any) -> HotReloadablePlugin:
    plugin = HotReloadablePlugin(name, wasm, its, monitor=self._monitor, ports=self._ports)
    with self._lock:
        self._taken[name] = object()
        self._plugins[name] = plugin
    return plugin


def list_what_nobody_took(self: Any, name: str, wasm: Any, its: Any) -> HotReloadablePlugin:
    plugin = HotReloadablePlugin(name, wasm, its, monitor=self._monitor, ports=self._ports)
    with self._lock:
        self._plugins[name] = plugin
    return plugin


@pytest.mark.parametrize(
    ("name", "defect", "says"),
    [
        ("unregister", unregister_and_then_close, "S9: unlist: delete is not possible"),
        ("register", register_anyhow, "S9: take: take is not possible"),
        ("register", list_what_nobody_took, "S9: list: list is not possible"),
    ],
)
def test_a_defect_of_the_manager_is_told(
    name: str, defect: Callable[..., object], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = FakeWorld()
    with Monitor() as monitor, HotReloadManager(ports=world.ports, monitor=monitor) as manager:
        first = register(manager, world)
        monkeypatch.setattr(HotReloadManager, name, defect)
        if name == "register":
            register(manager, world)
        else:
            manager.unregister("p")
        divergence = the_divergence(monitor)
        first.close()
    assert says in divergence.what
    assert divergence.plugin == "p"


# Ctrl-C -----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:plugin .* was dropped without close:ResourceWarning")  # struck before it was given
@pytest.mark.parametrize("what", ["register", "fail to register", "unregister"])
def test_ctrl_c_anywhere_is_no_divergence(what: str) -> None:
    for point in range(5_000):
        world, strike = FakeWorld(), Strike(point)
        with Monitor() as monitor:
            manager = HotReloadManager(ports=world.ports, monitor=monitor)
            # kept, since an exception in a finalizer would go nowhere
            kept = register(manager, world) if what == "unregister" else None
            struck = False
            try:
                with strike.armed():
                    match what:
                        case "register":
                            register(manager, world)
                        case "unregister":
                            manager.unregister("p")
                        case _:
                            manager.register("p", world.bad_module("probe"), manifest(1))
            except KeyboardInterrupt:
                struck = True
            except hotswap.ProbeFailed:
                pass
            del kept
            if manager.get("p") is not None:
                manager.unregister("p")
            register(manager, world)  # the name is free
            manager.unregister("p")
            manager.close()
            assert monitor.flush(60.0)
            assert [str(one) for one in monitor.divergences] == [], strike.where
            assert monitor.failure is None
        if not struck:
            assert point > 3, "the operation was never struck"
            return
    pytest.fail("the operation does not end")
