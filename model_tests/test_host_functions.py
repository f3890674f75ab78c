"""Functions of the host that a plugin may call: granted one by one, typed, and each error its caller's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import pytest

import hotswap
from host_plugins import PLUGIN, Refused, asking, grown, refuse
from hotswap import HostFunction, HotReloadablePlugin
from runtime_modules import nothing_leaks, resources
from worlds import Runner

pytestmark = pytest.mark.usefixtures("call_path")

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
        seen: list[tuple[float, ...]] = []

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


@pytest.mark.parametrize("func", ["ask", "twice", "ask_and_loop", "ask_and_trap"])
def test_the_error_of_a_host_function_is_the_cause_whatever_the_wasm_does_next(func: str) -> None:
    """The loop would run for a minute."""
    with nothing_leaks(), asking(refuse) as plugin:
        with pytest.raises(hotswap.HostFunctionFailed, match=r"env\.ask: Refused: 100") as failure:
            plugin.call(func, 100)
        assert isinstance(failure.value.__cause__, Refused)
        assert plugin.call("ask", 7) == 7
        assert plugin.stats().discarded_instances == 1


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration, RecursionError, MemoryError, hotswap.Busy])
def test_an_exception_of_any_kind_is_the_cause(error: type[Exception]) -> None:
    with nothing_leaks(), asking(raising(error)) as plugin:
        with pytest.raises(hotswap.HostFunctionFailed) as failure:
            plugin.call("ask", 1)
        assert type(failure.value.__cause__) is error


@pytest.mark.parametrize("error", [GeneratorExit, SystemExit, KeyboardInterrupt])
def test_what_is_no_error_is_raised_as_it_is(error: type[BaseException]) -> None:
    with nothing_leaks(), asking(raising(error)) as plugin:
        with pytest.raises(error):
            plugin.call("ask", 1)
        assert plugin.stats().discarded_instances == 1


def raising(error: type[BaseException]) -> Callable[[int], int]:
    def ask(number: int) -> int:
        raise error(number)

    return ask


def test_no_function_of_the_host_runs_after_one_that_failed() -> None:
    asked = []

    def ask(number: int) -> int:
        asked.append(number)
        return refuse(number)

    with asking(ask) as plugin, pytest.raises(hotswap.HostFunctionFailed, match="Refused: 100"):
        plugin.call("twice", 100)
    assert asked == [100]


def test_no_other_function_of_the_host_runs_after_one_that_failed() -> None:
    wasm = """(module (import "env" "ask" (func $ask (param i32) (result i32))) (import "env" "note" (func $note))
      (func (export "f") (call $note) (drop (call $ask (i32.const 100))) (call $note)))"""
    noted: list[None] = []
    imports = {
        "env.ask": HostFunction("(i32) -> i32", refuse),
        "env.note": HostFunction("() -> ()", lambda: noted.append(None)),
    }
    with (
        HotReloadablePlugin("p", wasm, resources(), imports=imports) as plugin,
        pytest.raises(hotswap.HostFunctionFailed, match="Refused: 100"),
    ):
        plugin.call("f")
    assert len(noted) == 1


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
