"""Numeric calls: what they return, how they end, and what becomes of an instance that ended badly (S1, S3)."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import ref

import pytest
import wasmtime

import hotswap
from hotswap import HotReloadablePlugin
from hotswap._ports import Number
from runtime_modules import ANSWER, CALLS, LOOP, nothing_leaks, resources, running
from worlds import WAIT_S, eventually

pytestmark = pytest.mark.usefixtures("call_path")

TRAPS = [
    ("unreachable", (), "unreachable"),
    ("divide", (1, 0), "divide by zero"),
    ("divide", (-(2**31), -1), "integer overflow"),
    ("peek", (65_533,), "out of bounds memory access"),
    ("peek", (-1,), "out of bounds memory access"),
    ("indirect", (), "uninitialized element"),
    ("to_int", (1e300,), "integer overflow"),
    ("to_int", (float("nan"),), "invalid conversion to integer"),
    ("dive", (), "call stack exhausted"),
]


@contextmanager
def plugin(wasm: object = CALLS, **limits: int) -> Iterator[HotReloadablePlugin]:
    with nothing_leaks(), HotReloadablePlugin("p", wasm, resources(**limits), queue_timeout=WAIT_S) as made:  # type: ignore[arg-type]
        yield made


# How a call ends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("func", "args", "what"), TRAPS)
def test_a_trap_is_an_error_with_its_backtrace(func: str, args: tuple[Number, ...], what: str) -> None:
    with running(CALLS) as instance:
        with pytest.raises(hotswap.CallTrapped, match=what) as caught:
            instance.call(func, args)
        assert type(caught.value) is hotswap.CallTrapped
        assert isinstance(caught.value.__cause__, wasmtime.Trap)
        assert str(caught.value).startswith(f"{func}: ")
        assert "wasm backtrace" in str(caught.value)
        assert instance.broken


def test_the_backtrace_names_the_functions_on_the_way() -> None:
    with running(CALLS) as instance, pytest.raises(hotswap.CallTrapped) as caught:
        instance.call("nested", ())
    _, inner, outer = str(caught.value).partition("!abyss")
    assert inner
    assert "!nested" in outer


@pytest.mark.parametrize("fuel_limit", [0, 2**62], ids=["unmetered", "metered"])
def test_a_call_that_runs_too_long_is_stopped(fuel_limit: int) -> None:
    with running(CALLS, timeout_ms=30, fuel_limit=fuel_limit) as instance:
        with pytest.raises(hotswap.DeadlineExceeded, match=r"loop: ran longer than 30 ms \(resources.timeout_ms\)"):
            instance.call("loop", ())
        assert instance.broken


def test_the_deadline_starts_anew_with_each_call() -> None:
    with running(CALLS, timeout_ms=500) as instance:
        calls, ends = 0, time.monotonic() + 1.2
        while time.monotonic() < ends:
            instance.call("spin", (100_000,))
            calls += 1
        assert calls > 2


def test_the_time_between_calls_does_not_count() -> None:
    with running(CALLS, timeout_ms=250) as instance:
        with running(CALLS, timeout_ms=500) as other, pytest.raises(hotswap.DeadlineExceeded):
            other.call("loop", ())
        assert instance.call("answer", ()) == 42


def test_a_call_that_uses_too_much_fuel_is_stopped() -> None:
    with running(CALLS, fuel_limit=10_000) as instance:
        with pytest.raises(hotswap.OutOfFuel, match=r"loop: used more than 10000 units of fuel \(resources.fuel_limit"):
            instance.call("loop", ())
        assert instance.broken


def test_each_call_has_its_own_load_of_fuel() -> None:
    with running(CALLS, fuel_limit=10_000) as instance:
        for _ in range(20):
            instance.call("spin", (1_000,))
        with pytest.raises(hotswap.OutOfFuel):
            instance.call("spin", (20_000,))


def test_a_fuel_limit_of_zero_is_no_limit() -> None:
    with running(CALLS, fuel_limit=0) as instance:
        assert instance.call("spin", (3_000_000,)) is None


# What never enters the wasm --------------------------------------------------------------------------------


def test_an_unknown_function_is_answered_with_those_there_are() -> None:
    with running(CALLS) as instance:
        with pytest.raises(hotswap.UnknownFunction, match="no function 'nope'") as caught:
            instance.call("nope", ())
        assert "answer() -> i32, count() -> i32, dive() -> (), divide(i32, i32) -> i32" in str(caught.value)
        assert not instance.broken


@pytest.mark.parametrize(
    ("wasm", "func"), [("(module)", "f"), ('(module (memory (export "memory") 1))', "memory")], ids=["empty", "memory"]
)
def test_what_is_no_function_cannot_be_called(wasm: str, func: str) -> None:
    with running(wasm) as instance, pytest.raises(hotswap.UnknownFunction, match="it exports: none"):
        instance.call(func, ())


@pytest.mark.parametrize(
    ("func", "args", "expected"),
    [
        ("divide", (), "expected 2 arguments, found 0"),
        ("divide", (1, 2, 3), "expected 2 arguments, found 3"),
        ("divide", (1, 2.0), r"argument 2 \(i32\): expected an int, found float"),
        ("divide", (2**31, 1), r"argument 1 \(i32\): expected a signed 32-bit value"),
    ],
)
def test_wrong_arguments_are_refused_and_the_instance_lives_on(
    func: str, args: tuple[Number, ...], expected: str
) -> None:
    with running(CALLS) as instance:
        with pytest.raises(hotswap.BadArgument, match=rf"divide\(i32, i32\) -> i32: {expected}"):
            instance.call(func, args)
        assert not instance.broken
        assert instance.call("divide", (6, 2)) == 3


@pytest.mark.parametrize("reference", ["funcref", "externref"])
def test_a_function_of_references_is_refused(reference: str) -> None:
    wasm = f"""(module {ANSWER}
      (func (export "takes") (param {reference}))
      (func (export "gives") (result {reference}) (ref.null {reference.removesuffix("ref")})))"""
    with running(wasm) as instance:
        for func, args in (("takes", (1,)), ("takes", ()), ("gives", ())):
            with pytest.raises(
                hotswap.BadArgument, match=rf"{func}\(.*{reference}.*: expected a function of i32, i64, f32 and f64"
            ):
                instance.call(func, args)
            with pytest.raises(hotswap.BadArgument, match="bytes call"):
                instance.call_bytes(func, b"")
        assert not instance.broken
        assert instance.call("answer", ()) == 42


# What becomes of the instance ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("func", "args", "error", "limits"),
    [
        *((func, args, hotswap.CallTrapped, {}) for func, args, _ in (TRAPS[0], TRAPS[3], TRAPS[-1])),
        ("loop", (), hotswap.DeadlineExceeded, {"timeout_ms": 200}),
        ("loop", (), hotswap.OutOfFuel, {"fuel_limit": 100_000}),
    ],
)
def test_an_instance_that_trapped_is_replaced_and_the_plugin_serves_on(
    func: str, args: tuple[Number, ...], error: type[hotswap.CallTrapped], limits: dict[str, int]
) -> None:
    with plugin(**limits) as made:
        assert [made.call("count") for _ in range(3)] == [1, 2, 3]
        for discarded in (1, 2, 3):
            with pytest.raises(error):
                made.call(func, *args)
            assert made.call("count") == 1, "state of the trapped instance is left"
            assert made.call("count") == 2, "the instance was replaced without need"
            assert made.stats().discarded_instances == discarded


def test_a_call_refused_before_it_enters_keeps_its_instance() -> None:
    with plugin() as made:
        for func, args in (("nope", ()), ("divide", (1,)), ("divide", (1, 2**40))):
            assert made.call("count")
            with pytest.raises((hotswap.UnknownFunction, hotswap.BadArgument)):
                made.call(func, *args)
        assert made.call("count") == 4
        assert made.stats().discarded_instances == 0


def test_a_plugin_whose_instances_all_trap_in_turn_gets_them_all_back() -> None:
    with plugin(max_instances=3) as made:
        for _ in range(30):
            with pytest.raises(hotswap.CallTrapped):
                made.call("unreachable")
        assert made.stats().discarded_instances == 30
        assert made.call("answer") == 42


def test_a_replacement_that_cannot_be_made_is_told_to_the_callers_who_wait() -> None:
    """The limits are lowered behind the plugin's back, so that its init works the first time only."""
    wasm = f"""(module {ANSWER} {LOOP}
      (func (export "hotswap_init") (result i32) (local $i i32)
        (loop
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if 0 (i32.lt_s (local.get $i) (i32.const 1000))))
        i32.const 0))"""
    with nothing_leaks(), HotReloadablePlugin("p", wasm, resources(fuel_limit=20_000), queue_timeout=0.2) as made:
        made._protocol.current.value.code._limits = resources(fuel_limit=100).resources  # type: ignore[attr-defined]
        with pytest.raises(hotswap.OutOfFuel):
            made.call("loop")
        eventually(lambda: made._upgrades.last_failure is not None)
        with pytest.raises(hotswap.Overloaded, match="hotswap_init failed: hotswap_init: used more than 100 units"):
            made.call("answer")
        old = ref(made._protocol.current.value.code)
        made.upgrade(f"(module {ANSWER})", resources(max_instances=1), allow_rebuild=True, allow_escalation=True)
        lease = made._protocol.admit()
        with pytest.raises(hotswap.Overloaded, match=r"found none\. Raise"):
            made.call("answer")
        del lease
        gc.collect()
        assert old() is None, "what failed holds nothing of the old version"
