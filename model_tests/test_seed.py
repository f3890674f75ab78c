"""The seed's own eleven test cases as ours, same names and subjects, on real wasm; and one for its hook comparison."""

from __future__ import annotations

import threading

import pytest

import hotswap
from hotswap import EpochTracker, HotReloadablePlugin, HotReloadManager, HotReloadState, ManifestBuilder

WASM = '(module (func (export "on_insert") (result i32) i32.const {}))'


def manifest(name: str, version: str) -> hotswap.PluginManifest:
    return ManifestBuilder(name, version).export("on_insert").build()


def plugin(name: str = "test") -> HotReloadablePlugin:
    return HotReloadablePlugin(name, WASM.format(1), manifest(name, "1.0.0"))


def test_epoch_tracker() -> None:
    tracker = EpochTracker()
    assert tracker.current == 0
    guard = tracker.enter()
    assert tracker.refs_for_epoch(0) == 1
    assert tracker.advance() == 1
    assert tracker.current == 1
    assert tracker.refs_for_epoch(0) == 1
    del guard
    assert tracker.refs_for_epoch(0) == 0


def test_epoch_drain() -> None:
    tracker = EpochTracker()
    assert tracker.wait_drain(0, 0.01)
    with tracker.enter():
        assert not tracker.wait_drain(0, 0.01)


def test_hot_reload_creation() -> None:
    with plugin() as subject:
        assert subject.name == "test"
        assert subject.state is HotReloadState.ACTIVE


def test_hot_reload_call() -> None:
    with plugin() as subject:
        assert subject.call("on_insert") == 1


def test_hot_reload_prepare() -> None:
    with plugin() as subject:
        subject.prepare_upgrade(WASM.format(2), manifest("test", "2.0.0"))
        assert subject.state is HotReloadState.PREPARING_UPGRADE
        assert subject.call("on_insert") == 1
        assert subject.manifest.plugin.version == "1.0.0"


def test_hot_reload_full_upgrade() -> None:
    with plugin() as subject:
        subject.upgrade(WASM.format(2), manifest("test", "2.0.0"))
        assert subject.state is HotReloadState.ACTIVE
        assert subject.stats().successful_upgrades == 1
        assert subject.stats().version == 1
        assert subject.call("on_insert") == 2


def test_hot_reload_cancel() -> None:
    with plugin() as subject:
        subject.prepare_upgrade(WASM.format(2), manifest("test", "2.0.0"))
        assert subject.cancel_upgrade()
        assert subject.state is HotReloadState.ACTIVE
        assert not subject.cancel_upgrade()


def test_hot_reload_name_mismatch() -> None:
    with plugin() as subject:
        with pytest.raises(hotswap.IncompatibleUpgrade, match="'different'"):
            subject.prepare_upgrade(WASM.format(2), manifest("different", "2.0.0"))
        assert subject.state is HotReloadState.ACTIVE


def test_manager_operations() -> None:
    with HotReloadManager() as manager:
        registered = manager.register("plugin1", WASM.format(1), manifest("plugin1", "1.0.0"))
        assert manager.list() == ["plugin1"]
        assert manager.get("plugin1") is registered
        manager.upgrade("plugin1", WASM.format(2), manifest("plugin1", "2.0.0"))
        stats = manager.all_stats()
        assert list(stats) == ["plugin1"]
        assert stats["plugin1"].successful_upgrades == 1
        manager.unregister("plugin1")
        assert manager.list() == []


def test_manager_duplicate() -> None:
    with HotReloadManager() as manager:
        manager.register("dup", WASM.format(1), manifest("dup", "1.0.0"))
        with pytest.raises(hotswap.AlreadyRegistered, match="'dup'"):
            manager.register("dup", WASM.format(1), manifest("dup", "1.0.0"))


def test_concurrent_calls_during_upgrade() -> None:
    results: list[object] = []
    errors: list[BaseException] = []
    begun = threading.Barrier(5)
    with plugin("concurrent") as subject:

        def work() -> None:
            begun.wait(20)
            try:
                results.extend(subject.call("on_insert") for _ in range(100))
            except BaseException as error:  # noqa: BLE001  the test looks at it
                errors.append(error)

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        begun.wait(20)
        subject.upgrade(WASM.format(2), manifest("concurrent", "2.0.0"))
        for worker in workers:
            worker.join(20)
        assert errors == []
        assert len(results) == 400
        assert set(results) <= {1, 2}
        assert subject.stats().successful_upgrades == 1


def test_upgrade_keeps_the_hooks_that_the_old_manifest_names() -> None:
    """The seed compared `before_insert` hooks only, and with the new manifest's word."""
    hooked = ManifestBuilder("test", "1.0.0").export("on_insert").hook("before_insert", "on_insert").build()
    with HotReloadablePlugin("test", WASM.format(1), hooked) as subject:
        lost = ManifestBuilder("test", "2.0.0").build()
        with pytest.raises(hotswap.IncompatibleUpgrade, match="on_insert"):
            subject.upgrade('(module (func (export "other")))', lost)
        assert subject.call("on_insert") == 1
