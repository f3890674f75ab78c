"""Every failure before the commit: the old version serves, the phase is ACTIVE, the candidate is closed, the failure
is counted with its reason (S4, S7, S8). Each is injected once, in both worlds where both can have it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hotswap
from hotswap import Cutover, HotReloadablePlugin, HotReloadState
from hotswap._host import Imports
from worlds import FakeWorld, Runner, WasmWorld, World, manifest


def assert_as_before(plugin: HotReloadablePlugin, world: World, reason: str, before: Any) -> None:
    assert plugin.state is HotReloadState.ACTIVE
    assert plugin.manifest is before
    assert plugin.call("version") == 1
    stats = plugin.stats()
    assert (stats.attempts, stats.successful_upgrades, stats.cancelled_upgrades) == (1, 0, 0)
    assert dict(stats.failures) == {reason: 1}
    assert stats.in_flight == {1: 0}
    created, closed = world.instances()
    assert created - closed == 2, "S8: only the old version's two instances are alive"
    plugin.upgrade(world.module(2), manifest(2))
    assert plugin.call("version") == 2


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ("garbage", hotswap.ModuleRejected, "expected a"),
        ("import", hotswap.ModuleRejected, "import|FakeModule"),
        ("start", hotswap.InitFailed, "failed: "),
        ("init", hotswap.InitFailed, "expected 0, found 1"),
        ("init_trap", hotswap.InitFailed, "hotswap_init failed"),
        ("probe", hotswap.ProbeFailed, "expected 0, found 1"),
    ],
)
def test_a_bad_module_is_rejected(world: World, fault: str, error: type[hotswap.HotswapError], says: str) -> None:
    with world.plugin() as plugin:
        before = plugin.manifest
        with pytest.raises(error, match=says):
            plugin.upgrade(world.bad_module(fault), manifest(2))
        reason = world.garbage if fault == "garbage" else error
        assert_as_before(plugin, world, reason.__name__, before)


@pytest.mark.parametrize("what", ["missing.wasm", "."])
def test_an_unreadable_file_is_rejected(what: str, tmp_path: Path) -> None:
    world = WasmWorld()
    with world.plugin() as plugin:
        before = plugin.manifest
        with pytest.raises(hotswap.ModuleRejected, match="cannot be read"):
            plugin.upgrade(str(tmp_path / what), manifest(2))
        assert_as_before(plugin, world, "ModuleRejected", before)


def test_an_init_that_loops_for_ever_is_stopped_by_its_deadline() -> None:
    world = WasmWorld()
    looping = world.bad_module("init").replace("i32.const 1", "(loop br 0) i32.const 0")
    with world.plugin() as plugin:
        before = plugin.manifest
        with pytest.raises(hotswap.InitFailed, match="ran longer than 50 ms"):
            plugin.upgrade(looping, manifest(2, timeout_ms=50))
        assert_as_before(plugin, world, "InitFailed", before)


@pytest.mark.parametrize(
    ("candidate", "says"),
    [
        (manifest(2, name="other"), "of that name"),
        (manifest(1, version="0.9.0"), "allow_downgrade=True"),
        (manifest(1), "allow_rebuild=True"),
        (manifest(2, max_instances=3), r"max_instances: expected at most 2, .* found 3; .* allow_escalation=True"),
    ],
)
def test_an_incompatible_candidate_is_refused(world: World, candidate: hotswap.PluginManifest, says: str) -> None:
    with world.plugin() as plugin:
        before = plugin.manifest
        with pytest.raises(hotswap.IncompatibleUpgrade, match=says):
            plugin.upgrade(world.module(2), candidate)
        assert_as_before(plugin, world, "IncompatibleUpgrade", before)


def test_a_manifest_that_cannot_be_read_is_no_attempt(world: World, tmp_path: Path) -> None:
    with world.plugin() as plugin:
        with pytest.raises(hotswap.ManifestError):
            plugin.upgrade(world.module(2), tmp_path / "none.toml")
        assert plugin.stats().attempts == 0
        assert plugin.state is HotReloadState.ACTIVE


def test_flags_allow_what_they_name(world: World) -> None:
    with world.plugin() as plugin:
        plugin.upgrade(world.module(2), manifest(1), allow_rebuild=True)
        plugin.upgrade(world.module(3), manifest(1, version="0.9.0"), allow_downgrade=True)
        plugin.upgrade(world.module(4), manifest(4, max_instances=3), allow_escalation=True)
        plugin.upgrade(world.module(5), manifest(5, max_instances=3))
        plugin.prepare_upgrade(world.module(6), manifest(6, max_instances=4), allow_escalation=True)
        plugin.execute_upgrade()
        assert plugin.call("version") == 6


def test_a_flag_that_there_is_not_is_no_attempt(world: World) -> None:
    with world.plugin() as plugin:
        for upgrade in (plugin.upgrade, plugin.prepare_upgrade):
            with pytest.raises(TypeError, match="allow_everything"):
                upgrade(world.module(2), manifest(2), allow_everything=True)  # type: ignore[call-arg]
        assert plugin.stats().attempts == 0
        assert (plugin.state, plugin.call("version")) == (HotReloadState.ACTIVE, 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError, SystemExit], ids=lambda e: e.__name__)
@pytest.mark.parametrize("at", ["load", "instantiate 1", "instantiate 2", "published", "prepared"])
@pytest.mark.parametrize("cutover", list(Cutover), ids=lambda c: c.name)
def test_any_exception_in_the_upgrading_thread_rolls_back(
    world: World, error: type[BaseException], at: str, cutover: Cutover
) -> None:
    if (cutover, at) == (Cutover.EXCLUSIVE, "published"):
        at = "prepared"  # EXCLUSIVE publishes with its commit
    with world.plugin(cutover=cutover) as plugin:
        before = plugin.manifest
        ports = plugin._upgrades._ports
        load, made = ports.runtime.load, 0

        def faulty_load(wasm: object, its_manifest: hotswap.PluginManifest, imports: Imports) -> Any:
            if at == "load":
                raise error
            code = load(wasm, its_manifest, imports)
            instantiate = code.instantiate

            def faulty_instantiate(*, probe: bool) -> Any:
                nonlocal made
                made += 1
                if at == f"instantiate {made}":
                    raise error
                return instantiate(probe=probe)

            code.instantiate = faulty_instantiate  # type: ignore[method-assign]
            return code

        def faulty_trace(event: str, **facts: object) -> None:
            if event.endswith(at):
                raise error

        ports.runtime.load = faulty_load  # type: ignore[method-assign,assignment]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(world.trace), "__call__", lambda self, event, **facts: faulty_trace(event))
            with pytest.raises(error):
                plugin.upgrade(world.module(2), manifest(2))
        ports.runtime.load = load  # type: ignore[method-assign]
        assert_as_before(plugin, world, error.__name__, before)


@pytest.mark.parametrize("cutover", list(Cutover), ids=lambda c: c.name)
def test_an_exception_after_the_commit_leaves_the_new_version_serving(world: World, cutover: Cutover) -> None:
    with world.plugin(cutover=cutover) as plugin:

        def struck(event: str) -> None:
            if event == "upgrade_committed":
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(world.trace), "__call__", lambda self, event, **facts: struck(event))
            with pytest.raises(KeyboardInterrupt):
                plugin.upgrade(world.module(2), manifest(2))
        assert plugin.state is HotReloadState.ACTIVE
        assert plugin.call("version") == 2
        assert (plugin.stats().successful_upgrades, plugin.stats().failed_upgrades) == (1, 0)
        assert plugin.stats().in_flight == {2: 0}


@pytest.mark.parametrize("fault", ["garbage", "import", "start", "init", "init_trap", "probe"])
def test_register_applies_the_same_checks_and_leaves_nothing(world: World, fault: str) -> None:
    with hotswap.HotReloadManager(ports=world.ports) as manager:
        with pytest.raises(hotswap.ModuleRejected):
            manager.register("p", world.bad_module(fault), manifest(2))
        assert manager.list() == []
        with pytest.raises(hotswap.IncompatibleUpgrade, match="of that name"):
            manager.register("q", world.module(1), manifest(1))
        manager.register("p", world.module(1), manifest(1))
    created, closed = world.instances()
    assert created == closed


def test_a_replacement_that_fails_is_named_when_calls_find_no_instance() -> None:
    """The instances trap one by one, and new ones cannot be initialised any more."""
    world = FakeWorld()
    fail: list[bool] = []
    module = hotswap_module(lambda: 1 if fail else 0)
    plugin = HotReloadablePlugin("p", module, manifest(1, max_instances=1), ports=world.ports, queue_timeout=0.2)
    fail.append(True)
    with pytest.raises(hotswap.CallTrapped):
        plugin.call("trap")
    with pytest.raises(hotswap.Overloaded, match=r"replace a discarded instance failed: hotswap_init: expected 0"):
        plugin.call("version")
    fail.clear()
    assert Runner(plugin.call, "version").value() == 1
    plugin.close()
    assert world.runtime.created == world.runtime.closed


def hotswap_module(init: Callable[[], int]) -> Any:
    from hotswap.testing import FakeModule

    def trap() -> int:
        raise ZeroDivisionError

    return FakeModule({"version": lambda: 1, "hold": lambda: 1, "trap": trap}, init=init)
