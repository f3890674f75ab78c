"""Functions of the host that a plugin may call: granted one by one, typed, and each error its caller's own."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import pytest

import hotswap
from hotswap import HostFunction, HotReloadablePlugin, HotReloadManager, ManifestBuilder, PluginManifest
from hotswap.monitor import Monitor
from runtime_modules import nothing_leaks, resources, survive
from worlds import WAIT_S, Runner, eventually

pytestmark = pytest.mark.usefixtures("call_path")

PLUGIN: Final = """(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (func (export "ask") (param i32) (result i32) (call $ask (local.get 0)))
  (func (export "twice") (param i32) (result i32)
    (drop (call $ask (local.get 0))) (call $ask (i32.add (local.get 0) (i32.const 1))))
  (func (export "ask_and_loop") (param i32) (result i32) (drop (call $ask (local.get 0))) (loop br 0) unreachable)
  (func (export "ask_and_trap") (param i32) (result i32) (drop (call $ask (local.get 0))) unreachable)
  (func (export "plain") (result i32) (i32.const 5))
  (memory (export "memory") 1)
  (func (export "hotswap_alloc") (param i32) (result i32) (call $ask (local.get 0)))
  (func (export "hotswap_free") (param i32 i32))
  (func (export "echo") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))"""


def asking(function: Callable[[int], Any], wasm: str = PLUGIN, **limits: int) -> HotReloadablePlugin:
    """A plugin with one instance, unless told otherwise, whose `env.ask` is the function."""
    return HotReloadablePlugin(
        "p", wasm, resources(**limits), imports={"env.ask": HostFunction("(i32)->i32", function)}
    )


# Values ------------------------------------------------------------------------------------------------------

ECHO: Final = """(module
  (import "a" "f" (func $f (param {0}) (result {1})))
  (func (export "f") (param {0}) (result {1}) {2} (call $f)))"""


def echoing(params: str, results: str, function: Callable[..., Any]) -> HotReloadablePlugin:
    gets = " ".join(f"(local.get {position})" for position in range(len(params.split())))
    signature = f"({params.replace(' ', ', ')}) -> ({results.replace(' ', ', ')})"
    return HotReloadablePlugin(
        "p",
        ECHO.format(params, results, gets),
        resources(),
        imports={"a.f": HostFunction(signature.replace("(i32)->", ""), function)},
    )


def test_every_type_goes_to_the_host_and_comes_back_unchanged() -> None:
    for values in ((-(2**31), -(2**63), -1.5, -1e300), (2**31 - 1, 2**63 - 1, 2.0**127, 5e-324), (0, 0, 0.0, 0.0)):
        seen = []

        def turn(*args: float, seen: list[tuple[float, ...]] = seen) -> tuple[float, ...]:
            seen.append(args)
            return args[::-1]

        with echoing("i32 i64 f32 f64", "f64 f32 i64 i32", turn) as plugin:
            assert plugin.call("f", *values) == values[::-1]
        assert seen == [values]
        assert [type(value) for value in seen[0]] == [int, int, float, float]


@pytest.mark.parametrize(
    ("results", "returned", "why"),
    [
        ("i32", 2**31, "result 1 (i32): expected a signed 32-bit value"),
        ("i32", -(2**31) - 1, "result 1 (i32)"),
        ("i64", 2**63, "result 1 (i64)"),
        ("i32", 1.0, "found float"),
        ("i32", True, "found bool"),
        ("i32", None, "found NoneType"),
        ("i32", (1,), "found tuple"),
        ("f32", 1e39, "result 1 (f32)"),
        ("f64", "1", "found str"),
        ("", 1, "expected it to return None, found 1"),
        ("i32 i32", 1, "expected it to return a tuple of 2, found 1"),
        ("i32 i32", (1, 2, 3), "a tuple of 2"),
        ("i32 i32", (1, 2**31), "result 2 (i32)"),
    ],
)
def test_what_a_host_function_returns_is_checked(results: str, returned: object, why: str) -> None:
    with echoing("", results, lambda: returned) as plugin, pytest.raises(hotswap.HostFunctionFailed) as failure:
        plugin.call("f")
    assert isinstance(failure.value.__cause__, TypeError | ValueError)
    assert why in str(failure.value)
    assert "a.f()" in str(failure.value)


def test_a_function_without_arguments_and_results_is_called() -> None:
    calls: list[None] = []
    with echoing("", "", lambda: calls.append(None)) as plugin:
        assert plugin.call("f") is None
    assert calls == [None]


# Grants ------------------------------------------------------------------------------------------------------


def test_what_is_not_granted_or_granted_otherwise_is_refused_all_at_once() -> None:
    wasm = """(module (import "env" "f" (func (param i32))) (import "env" "g" (func)) (import "env" "m" (memory 1))
      (import "env" "h" (func)))"""
    imports = {"env.f": HostFunction("(i64) -> ()", print), "env.h": HostFunction("() -> ()", print)}
    with nothing_leaks(), pytest.raises(hotswap.ModuleRejected) as refusal:
        HotReloadablePlugin("p", wasm, resources(), imports=imports)
    for line in (
        "granted is: env.f(i64) -> (), env.h() -> ()",
        "env.f: expected (i32) -> (), found a grant of (i64) -> ()",
        "env.g, a function () -> (): not granted",
        "env.m, a memory",
    ):
        assert line in str(refusal.value)
    assert "env.h:" not in str(refusal.value)


def test_a_memory_cannot_be_granted_by_the_name_of_a_function() -> None:
    imports = {"env.m": HostFunction("() -> ()", print)}
    with pytest.raises(hotswap.ModuleRejected, match="expected 1 to any number of pages"):
        HotReloadablePlugin("p", '(module (import "env" "m" (memory 1)))', resources(), imports=imports)


@pytest.mark.parametrize(
    ("imports", "error"),
    [
        ({"log": HostFunction("() -> ()", print)}, ValueError),
        ({1: HostFunction("() -> ()", print)}, ValueError),
        ({"env.log": print}, TypeError),
    ],
)
def test_grants_that_make_no_sense_are_refused(imports: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="imports"):
        HotReloadablePlugin("p", PLUGIN, resources(), imports=imports)


def test_a_host_function_has_a_signature_and_can_be_called() -> None:
    with pytest.raises(ValueError, match="externref"):
        HostFunction("(externref) -> ()", print)
    with pytest.raises(TypeError, match="something to call"):
        HostFunction("() -> ()", 5)  # type: ignore[arg-type]


def grown(version: str) -> PluginManifest:
    return ManifestBuilder("p", version).limit("fuel_limit", 0).limit("max_instances", 1).build()


def test_an_upgrade_that_calls_more_of_the_host_needs_a_grant_of_its_own() -> None:
    imports = {"env.ask": HostFunction("(i32) -> i32", abs)}
    with HotReloadablePlugin("p", '(module (func (export "plain")))', grown("1.0.0"), imports=imports) as plugin:
        with pytest.raises(hotswap.IncompatibleUpgrade, match=r"no more than nothing.*found also env\.ask"):
            plugin.upgrade(PLUGIN, grown("1.1.0"))
        plugin.upgrade(PLUGIN, grown("1.1.0"), allow_escalation=True)
        assert plugin.call("ask", -3) == 3
        plugin.upgrade(PLUGIN + " ", grown("1.2.0"))
        with pytest.raises(hotswap.ModuleRejected, match="not granted"):
            plugin.upgrade(PLUGIN.replace('"ask" (func $', '"other" (func $'), grown("1.3.0"))
        assert plugin.call("ask", -4) == 4


# Errors ------------------------------------------------------------------------------------------------------


class Refused(Exception):
    pass


def refuse(number: int) -> int:
    if number >= 100:
        raise Refused(number)
    return number


@pytest.mark.parametrize("func", ["ask", "twice", "ask_and_loop", "ask_and_trap"])
def test_the_error_of_a_host_function_is_the_cause_whatever_the_wasm_does_next(func: str) -> None:
    """The loop would run for a minute."""
    with nothing_leaks(), asking(refuse) as plugin:
        with pytest.raises(hotswap.HostFunctionFailed, match=r"env\.ask: Refused: 100") as failure:
            plugin.call(func, 100)
        assert isinstance(failure.value.__cause__, Refused)
        assert plugin.call("ask", 7) == 7
        assert plugin.stats().discarded_instances == 1


def test_no_function_of_the_host_runs_after_one_that_failed() -> None:
    asked = []

    def ask(number: int) -> int:
        asked.append(number)
        return refuse(number)

    with asking(ask) as plugin, pytest.raises(hotswap.HostFunctionFailed, match="Refused: 100"):
        plugin.call("twice", 100)
    assert asked == [100]


def test_a_bytes_call_fails_with_the_error_of_the_host_function() -> None:
    with nothing_leaks(), asking(lambda size: refuse(size + 95)) as plugin:
        assert plugin.call_bytes("echo", b"four") == b"four"
        with pytest.raises(hotswap.HostFunctionFailed, match="Refused: 100"):
            plugin.call_bytes("echo", b"fives")


def test_each_thread_gets_its_own_error_and_no_other() -> None:
    """The library keeps one last exception for the whole process."""
    calls, callers = 300, 4
    wrong: list[object] = []

    def call(first: int) -> None:
        for number in range(first, first + calls):
            try:
                plugin.call("ask", number)
                wrong.append(number)
            except hotswap.HostFunctionFailed as error:
                if error.__cause__ is None or error.__cause__.args != (number,):
                    wrong.append((number, error.__cause__))

    with nothing_leaks(), asking(refuse, max_instances=callers) as plugin:
        runners = [Runner(call, 1_000 * (caller + 1)) for caller in range(callers)]
        for runner in runners:
            runner.value()
    assert wrong == []


def start(wasm: str) -> str:
    return f'(module (import "env" "ask" (func $ask (param i32) (result i32))) {wasm})'


ASK_100: Final = "(call $ask (i32.const 100))"


@pytest.mark.parametrize(
    ("wasm", "error"),
    [
        (start(f"(func $s (drop {ASK_100})) (start $s)"), hotswap.InitFailed),
        (start(f'(func (export "hotswap_init") (result i32) {ASK_100})'), hotswap.InitFailed),
        (start(f'(func (export "hotswap_probe") (result i32) {ASK_100})'), hotswap.ProbeFailed),
    ],
)
def test_start_init_and_probe_may_ask_and_fail_with_the_cause(wasm: str, error: type[Exception]) -> None:
    with nothing_leaks():
        with pytest.raises(error, match="Refused: 100") as failure:
            asking(refuse, wasm)
        found: BaseException | None = failure.value
        while found is not None and not isinstance(found, Refused):
            found = found.__cause__
        assert isinstance(found, Refused)
        asking(lambda _: 0, wasm).close()


def test_a_deadline_that_passes_in_a_host_function_ends_the_call_when_it_has_returned() -> None:
    beyond = threading.Event()

    def wait(number: int) -> int:
        beyond.wait(0.2)
        return number

    with asking(wait, timeout_ms=50) as plugin, pytest.raises(hotswap.DeadlineExceeded):
        plugin.call("ask_and_loop", 1)


# Re-entry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("instances", [1, 2])
@pytest.mark.parametrize("cutover", hotswap.Cutover)
def test_a_call_from_a_host_function_of_the_same_plugin_is_refused_at_once(
    instances: int, cutover: hotswap.Cutover
) -> None:
    """At once: waiting for a free instance would take a minute."""
    refusals = []

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


def storm(interval: str) -> str:
    """Ctrl-C once or again and again, on the main thread, in a loop that calls the host as fast as it can."""
    struck, armed = 0, False

    def strike(*_: object) -> None:
        if armed:
            raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, strike)
    loop = PLUGIN.replace("(loop br 0)", "(loop (drop (call $ask (i32.const 1))) br 0)")
    with nothing_leaks(), asking(lambda number: number, loop, max_instances=2) as plugin:
        for number in range(60):
            signal.setitimer(signal.ITIMER_REAL, 0.001 + number * 1e-5, float(interval))
            try:
                armed = True
                plugin.call("ask_and_loop", 1)
            except KeyboardInterrupt:
                armed = False
                struck += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
    return f"{struck}"


@pytest.mark.parametrize("interval", [0, 0.0005])
def test_ctrl_c_in_a_loop_that_calls_the_host_aborts_nothing(interval: float) -> None:
    """The library's own way to call the host aborts at the first."""
    assert survive(storm, str(interval)) == "60"


def deep() -> str:
    """Calls ever nearer to the recursion limit: the host's function, or the callback, has no frame left."""
    refused = 0

    def at(depth: int) -> None:
        nonlocal refused
        if depth:
            at(depth - 1)
            return
        try:
            plugin.call("ask", 1)
        except (RecursionError, hotswap.HostFunctionFailed):
            refused += 1

    with asking(lambda number: number, max_instances=1) as plugin:
        limit = sys.getrecursionlimit()
        for depth in range(limit - 60, limit):
            try:
                at(depth)
            except RecursionError:
                refused += 1
        assert plugin.call("ask", 4) == 4
    return f"{refused > 5}"


def test_a_host_function_near_the_recursion_limit_aborts_nothing() -> None:
    assert survive(deep) == "True"


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
