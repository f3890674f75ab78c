"""Calls that are inside the host: re-entered, upgraded meanwhile, struck by Ctrl-C, near the recursion limit."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from itertools import product
from queue import SimpleQueue
from typing import Any

import pytest

import hotswap
from host_plugins import PLUGIN, asking, grown, refuse
from hotswap import HostFunction, HotReloadablePlugin, HotReloadManager, ManifestBuilder, PluginManifest
from hotswap._frames import demand_frames
from hotswap._runtime import CENSUS
from hotswap._runtime._ticker import TICKER, Beat
from hotswap.monitor import Monitor
from runtime_modules import alone, nothing_leaks, resources, survive
from worlds import WAIT_S, Runner, eventually

pytestmark = pytest.mark.usefixtures("call_path")

# Re-entry ----------------------------------------------------------------------------------------------------


def test_a_host_function_that_an_init_calls_may_not_close_the_plugin() -> None:
    """A discarded instance is replaced on a thread of the plugin's own, for which a close would wait."""
    plugins, refusals = list[HotReloadablePlugin](), SimpleQueue[str]()

    def close() -> None:
        for each in plugins:
            with pytest.raises(hotswap.Reentrant) as refusal:
                each.close()
            refusals.put(str(refusal.value))

    wasm = """(module (import "env" "close" (func $close)) (func (export "trap") unreachable)
      (func (export "hotswap_init") (result i32) (call $close) (i32.const 0)))"""
    imports = {"env.close": HostFunction("() -> ()", close)}
    with nothing_leaks(), HotReloadablePlugin("p", wasm, resources(), imports=imports) as plugin:
        plugins.append(plugin)
        with pytest.raises(hotswap.CallTrapped):
            plugin.call("trap")
        assert "from inside one of its own host functions" in refusals.get(timeout=WAIT_S)


@pytest.mark.parametrize("instances", [1, 2])
@pytest.mark.parametrize("cutover", hotswap.Cutover)
def test_a_call_from_a_host_function_of_the_same_plugin_is_refused_at_once(
    instances: int, cutover: hotswap.Cutover
) -> None:
    """At once: waiting for a free instance would take a minute."""
    refusals: list[str] = []

    def again(number: int) -> int:
        for operation in (
            lambda: plugin.call("plain"),
            lambda: plugin.call_bytes("echo", b""),
            lambda: plugin.upgrade(PLUGIN, resources()),
            plugin.close,
        ):
            with pytest.raises(hotswap.Reentrant) as refusal:
                operation()
            refusals.append(str(refusal.value))
        return number

    with nothing_leaks():
        plugin = HotReloadablePlugin(
            "p",
            PLUGIN,
            resources(max_instances=instances),
            imports={"env.ask": HostFunction("(i32) -> i32", again)},
            queue_timeout=60,
            cutover=cutover,
        )
        with plugin:
            assert plugin.call("ask", 3) == 3
            assert len(refusals) == 4
            assert "plugin 'p' was called from inside one of its own host functions" in refusals[0]
            assert plugin.call("plain") == 5, "afterwards it can be called"
            assert plugin.stats().discarded_instances == 0


def test_another_thread_may_call_meanwhile() -> None:
    with asking(lambda _: Runner(plugin.call, "plain").value(), max_instances=2) as plugin:
        assert plugin.call("ask", 3) == 5


def test_re_entry_is_found_through_another_plugin_and_that_one_may_be_called() -> None:
    with HotReloadManager() as manager:

        def grant(function: Callable[[int], Any]) -> dict[str, HostFunction]:
            return {"env.ask": HostFunction("(i32) -> i32", function)}

        def manifest(name: str) -> PluginManifest:
            return ManifestBuilder(name, "1.0.0").limit("max_instances", 2).build()

        manager.register("a", PLUGIN, manifest("a"), imports=grant(lambda n: manager["b"].call("ask", n)))
        manager.register("b", PLUGIN, manifest("b"), imports=grant(lambda n: manager["a"].call("plain") if n else 8))
        assert manager["a"].call("ask", 0) == 8
        with pytest.raises(hotswap.HostFunctionFailed) as failure:
            manager["a"].call("ask", 1)
        inner = failure.value.__cause__
        assert isinstance(inner, hotswap.HostFunctionFailed)
        assert isinstance(inner.__cause__, hotswap.Reentrant)


# Upgrades ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cutover", hotswap.Cutover)
def test_a_call_inside_the_host_is_drained_and_the_next_runs_on_the_new_version(cutover: hotswap.Cutover) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def wait(number: int) -> int:
        inside.set()
        assert go_on.wait(WAIT_S)
        return number

    with nothing_leaks(), Monitor() as monitor:
        plugin = HotReloadablePlugin(
            "p",
            PLUGIN,
            grown("1.0.0"),
            imports={"env.ask": HostFunction("(i32) -> i32", wait)},
            cutover=cutover,
            monitor=monitor,
        )
        with plugin:
            call = Runner(plugin.call, "ask", 3)
            assert inside.wait(WAIT_S)
            upgrade = Runner(plugin.upgrade, PLUGIN.replace("(i32.const 5)", "(i32.const 6)"), grown("1.1.0"))
            if cutover is hotswap.Cutover.OVERLAP:
                eventually(lambda: plugin.manifest.plugin.version == "1.1.0")
            go_on.set()
            assert call.value() == 3
            upgrade.value()
            assert plugin.call("plain") == 6
        assert monitor.flush()
        assert monitor.divergences == []


# Hazards -----------------------------------------------------------------------------------------------------


def struck(again_s: str) -> str:
    """Ctrl-C on the main thread, in a loop that calls the host as fast as it can; then again each so many seconds."""
    struck, armed = 0, False

    def strike(*_: object) -> None:
        if armed:
            if not float(again_s):
                signal.setitimer(signal.ITIMER_REAL, 1)  # for one that falls into a finalizer, which swallows it
            raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, strike)
    loop = PLUGIN.replace("(loop br 0)", "(loop (drop (call $ask (i32.const 1))) br 0)")
    with nothing_leaks(), asking(lambda number: number, loop, max_instances=2) as plugin:
        for number in range(40):
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, 0.001 + number * 1e-5, float(again_s))
                plugin.call("ask_and_loop", 1)
            except KeyboardInterrupt:
                armed = False
                struck += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        if float(again_s):
            os._exit(struck)
    return f"{struck}"


def test_ctrl_c_in_a_loop_that_calls_the_host_aborts_and_loses_nothing() -> None:
    """The library's own way to call the host aborts at the first."""
    assert survive(struck, "0") == "40"


def test_ctrl_c_again_while_the_first_is_seen_to_aborts_nothing() -> None:
    """A finalizer that is struck may lose an instance then; that no memory is damaged is promised all the same."""
    assert alone(struck, "0.0005").returncode == 40


def test_a_plugin_with_host_functions_that_is_dropped_is_closed_at_once() -> None:
    gc.disable()
    try:
        with nothing_leaks():
            plugin = asking(refuse)
            with contextlib.suppress(hotswap.HostFunctionFailed):
                plugin.call("ask", 100)
            assert plugin.call("ask", 1) == 1
            with pytest.warns(ResourceWarning):
                del plugin
    finally:
        gc.enable()


# The recursion limit -----------------------------------------------------------------------------------------


def deep(func: str) -> str:
    """Calls ever nearer to the recursion limit. Each loses no instance, wherever it ran out of frames."""

    def ask(number: int) -> int:
        demand_frames(40)
        return number

    ended: dict[str, int] = {}

    def at(depth: int) -> None:
        if depth:
            at(depth - 1)
            return
        try:
            plugin.call(func, 1)
            end = "returned"
        except (RecursionError, hotswap.CallTrapped) as error:
            end = type(error).__name__
        ended[end] = ended.get(end, 0) + 1

    before = CENSUS.alive
    with asking(ask, max_instances=1) as plugin:
        limit = sys.getrecursionlimit()
        for depth, in_a_new_beat in product(range(limit - 120, limit), (False, True)):
            if in_a_new_beat:  # its deadline is set then, for which more frames are needed
                TICKER.beat = Beat(time.monotonic())
            with contextlib.suppress(RecursionError):
                at(depth)
            eventually(lambda: plugin.stats().in_flight == {1: 0})
            assert plugin.call("plain") == 5
    eventually(lambda: CENSUS.alive == before)
    return str(sorted(ended))


@pytest.mark.parametrize(
    ("func", "ends"),
    [
        ("ask", "['HostFunctionFailed', 'RecursionError', 'returned']"),
        ("ask_and_trap", "['CallTrapped', 'HostFunctionFailed', 'RecursionError']"),
    ],
)
def test_a_call_near_the_recursion_limit_aborts_and_loses_nothing(func: str, ends: str) -> None:
    assert survive(deep, func) == ends
