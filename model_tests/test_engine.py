"""What kills a process under wasmtime's defaults is refused with an error under ours.

Each case runs in a process of its own. Beside it stands the same module on the default configuration, so that a case
which no longer shows what it should is noticed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest
import wasmtime

import hotswap
from hotswap._runtime._engine import MAX_WASM_STACK, MIN_THREAD_STACK, engine, engines
from runtime_modules import LOOP, alone, load, nothing_leaks, running, survive

DIES, RUNS, REFUSED = "dies", "runs", "refused"
"""What becomes of a module under the defaults."""

NULL: Final = '(func (export "f") (result {0}) (ref.null {1}))'
MODULES: Final = {
    "v128 result": (DIES, '(func (export "f") (result v128) (v128.const i64x2 1 2))'),
    "v128 parameter": (DIES, '(func (export "f") (param v128))'),
    "v128 global": (RUNS, '(global (export "g") v128 (v128.const i64x2 1 2))'),
    "v128 inside": (RUNS, '(func (export "f") (drop (v128.const i64x2 1 2)))'),
    "relaxed simd": (
        RUNS,
        '(func (export "f") (drop (i8x16.relaxed_swizzle (v128.const i64x2 1 2) (v128.const i64x2 1 2))))',
    ),
    "struct": (DIES, "(type $t (struct (field i32)))" + NULL.format("(ref null $t)", "$t")),
    "array": (DIES, "(type $t (array i8))" + NULL.format("(ref null $t)", "$t")),
    "anyref": (DIES, NULL.format("anyref", "any")),
    "i31ref": (DIES, '(func (export "f") (result i31ref) (ref.i31 (i32.const 1)))'),
    "exnref": (DIES, NULL.format("exnref", "exn")),
    "typed reference": (DIES, "(type $t (func))" + NULL.format("(ref null $t)", "$t")),
    "non-null reference": (DIES, '(func $f (export "f") (result (ref func)) (ref.func $f))'),
    "typed table": (RUNS, '(type $t (func)) (table (export "t") 1 (ref null $t))'),
    "exception tag": (RUNS, '(tag (export "e") (param i32))'),
    "atomics": (RUNS, '(memory 1) (func (export "f") (drop (i32.atomic.load (i32.const 0))))'),
    "64-bit memory": (RUNS, '(memory (export "memory") i64 1)'),
    "64-bit table": (RUNS, '(table (export "t") i64 1 funcref)'),
    "two memories": (RUNS, "(memory 1) (memory 1)"),
    "tail call": (RUNS, '(func $g) (func (export "f") (return_call $g))'),
    "shared memory": (REFUSED, '(memory (export "memory") 1 1 shared)'),
    "page size": (REFUSED, "(memory 1 (pagesize 1))"),
    "wide arithmetic": (RUNS, '(func (export "f") (result i64 i64) i64.const 1 i64.const 1 i64.mul_wide_u)'),
    "continuation": (REFUSED, "(type $f (func)) (type $c (cont $f))" + NULL.format("(ref null $c)", "$c")),
}


def under_the_defaults(fields: str) -> None:
    """What wasmtime-py does with a module if nobody has told it otherwise."""
    default = wasmtime.Engine()
    store = wasmtime.Store(default)
    module = wasmtime.Module(default, f"(module {fields})")
    exports = wasmtime.Instance(store, module, []).exports(store)
    for item in module.exports:
        if isinstance(item.type, wasmtime.FuncType):
            assert all(map(str, (*item.type.params, *item.type.results)))
            function = exports[item.name]
            assert isinstance(function, wasmtime.Func)
            function(store)


def under_ours(fields: str) -> list[str]:
    """On both of our engines."""
    answers = []
    for fuel_limit in (0, 1_000_000):
        with nothing_leaks():
            try:
                instance = load(f"(module {fields})", fuel_limit=fuel_limit).instantiate(probe=True)
                instance.close()
            except hotswap.ModuleRejected as error:
                answers.append(f"{type(error).__name__}: {error}")
            else:
                answers.append("accepted")
    return answers


def on_our_engines(fields: str) -> int:
    """How many of our two engines refuse a module that nobody has looked at before."""
    refusals = 0
    for metered in (True, False):
        try:
            wasmtime.Module(engine(metered=metered), f"(module {fields})")
        except wasmtime.WasmtimeError:
            refusals += 1
    return refusals


def is_killed(child: subprocess.CompletedProcess[str]) -> bool:
    return child.returncode in {-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_wasmtime_py_cannot_hold_is_refused(name: str) -> None:
    output = survive(under_ours, MODULES[name][1])
    assert output.count("UnsupportedModule: ") == 2
    assert output.count("switched off in hotswap, build without it") == 2
    assert "accepted" not in output


@pytest.mark.parametrize("name", MODULES)
def test_our_engines_refuse_it_too(name: str) -> None:
    """What slips through our own reader of modules is stopped a second time."""
    assert survive(on_our_engines, MODULES[name][1]) == "2"


@pytest.mark.parametrize("name", MODULES)
def test_that_is_what_wasmtimes_defaults_do_with_it(name: str) -> None:
    fate, fields = MODULES[name]
    child = alone(under_the_defaults, fields)
    if fate is DIES:
        assert is_killed(child), f"exit {child.returncode}: {child.stdout}{child.stderr}"
    elif fate is RUNS:
        assert child.returncode == 0, child.stderr
    else:
        assert "WasmtimeError" in child.stderr, f"exit {child.returncode}: {child.stdout}{child.stderr}"


def test_what_is_left_on_is_accepted() -> None:
    """Else a check that refuses every module would pass."""
    wasm = """(module
      (table $t (export "t") 1 externref) (global (export "g") (mut externref) (ref.null extern)) (memory 1)
      (func (export "f") (result i32 i32)
        (memory.fill (i32.const 0) (i32.const 7) (i32.const 4))
        (table.set $t (i32.const 0) (ref.null extern))
        (i32.extend8_s (i32.const 255))
        (i32.trunc_sat_f64_s (f64.const 1e300))))"""
    for fuel_limit in (0, 1_000):
        with running(wasm, fuel_limit=fuel_limit) as instance:
            assert instance.call("f", ()) == (-1, 2**31 - 1)


# The engine itself -----------------------------------------------------------------------------------------


def make_an_engine(setting: str, value: str) -> None:
    config = wasmtime.Config()
    setattr(config, setting, json.loads(value))
    wasmtime.Engine(config)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("wasm_simd", False), ("wasm_reference_types", False), ("max_wasm_stack", 0), ("max_wasm_stack", 3 << 20)],
)
def test_settings_that_ours_steer_clear_of_kill_the_process(setting: str, value: int) -> None:
    assert is_killed(alone(make_an_engine, setting, json.dumps(value)))


def make_our_engines() -> None:
    for metered in (True, False):
        wasmtime.Store(engine(metered=metered)).close()


def test_both_engines_can_be_made() -> None:
    survive(make_our_engines)


def test_there_is_one_engine_of_each_kind() -> None:
    metered, unmetered = engine(metered=True), engine(metered=False)
    assert engine(metered=True) is metered
    assert engine(metered=False) is unmetered
    assert set(map(id, engines())) == {id(metered), id(unmetered)}
    wasmtime.Store(metered).set_fuel(1)
    with pytest.raises(wasmtime.WasmtimeError, match="fuel"):
        wasmtime.Store(unmetered).set_fuel(1)


def test_threads_that_ask_for_an_engine_at_once_get_the_same() -> None:
    survive(ask_for_engines_at_once)


def ask_for_engines_at_once() -> None:
    begin, got = threading.Barrier(8), []

    def ask() -> None:
        begin.wait()
        got.append(id(engine(metered=True)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got)) == 1, got


# The stack -------------------------------------------------------------------------------------------------

DIVE: Final = f"""(module {LOOP}
  (func $dive (export "dive") (call $dive))
  (func $crawl (export "crawl") (local $i i32)
    (loop
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if 0 (i32.lt_s (local.get $i) (i32.const 20000))))
    (call $crawl))
  (func $many (export "many") (param i64 i64 i64 i64 f64 f64) (result i64)
    (i64.add
      (call $many (local.get 1) (local.get 2) (local.get 3) (local.get 0) (local.get 5) (local.get 4))
      (i64.mul (local.get 0) (local.get 3)))))"""


def on_a_stack_of(size: int, work: Callable[[], None]) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  raised again
            failed.append(error)

    threading.stack_size(size)
    thread = threading.Thread(target=run)
    thread.start()
    threading.stack_size(0)
    thread.join()
    if failed:
        raise failed[0]


def dive_on_the_smallest_stack(fuel_limit: str) -> str:
    """On the stack as it is, and from under as much Python as usually stands above a call."""
    arguments: dict[str, tuple[Any, ...]] = {"dive": (), "crawl": (), "many": (1, 2, 3, 4, 5.0, 6.0)}
    code, ends = load(DIVE, fuel_limit=int(fuel_limit)), []

    def dive(func: str, frames: int) -> None:
        if frames:
            dive(func, frames - 1)
            return
        instance = code.instantiate(probe=False)
        with pytest.raises(hotswap.CallTrapped, match="call stack exhausted") as caught:
            instance.call(func, arguments[func])
        ends.append(f"{func} {type(caught.value).__name__}")
        instance.close()

    for func in arguments:
        for frames in (0, 100):
            on_a_stack_of(MIN_THREAD_STACK, partial(dive, func, frames))
    return ", ".join(ends)


@pytest.mark.parametrize("fuel_limit", [0, 10**12], ids=["unmetered", "metered"])
def test_a_runaway_recursion_traps_on_the_smallest_stack(fuel_limit: int) -> None:
    output = survive(dive_on_the_smallest_stack, str(fuel_limit))
    assert output.split(", ") == [f"{func} CallTrapped" for func in ("dive", "crawl", "many") for _ in range(2)]


def dive_under_the_defaults(size: str) -> None:
    default = wasmtime.Engine()
    store = wasmtime.Store(default)
    function = wasmtime.Instance(store, wasmtime.Module(default, DIVE), []).exports(store)["dive"]
    assert isinstance(function, wasmtime.Func)

    def dive() -> None:
        with pytest.raises(wasmtime.Trap):
            function(store)

    on_a_stack_of(int(size), dive)


def test_wasmtimes_defaults_die_of_it_on_a_smaller_stack() -> None:
    assert is_killed(alone(dive_under_the_defaults, str(2 * MAX_WASM_STACK)))


@pytest.fixture
def thread_stack() -> Iterator[Callable[[int], None]]:
    def set_size(size: int) -> None:
        threading.stack_size(size)

    yield set_size
    threading.stack_size(0)


@pytest.mark.parametrize("size", [64 * 1024, MIN_THREAD_STACK // 2, MIN_THREAD_STACK - 4096])
def test_a_process_whose_threads_have_smaller_stacks_is_refused(thread_stack: Callable[[int], None], size: int) -> None:
    thread_stack(size)
    with pytest.raises(hotswap.Overloaded, match=rf"stacks of {size} bytes; expected at least {MIN_THREAD_STACK}"):
        load(DIVE)


def load_under_a_limit_of(size: str) -> str:
    import resource

    resource.setrlimit(resource.RLIMIT_STACK, (int(size), resource.RLIM_INFINITY))
    with pytest.raises(hotswap.Overloaded) as refusal:
        load(DIVE)
    return str(refusal.value)


def test_a_process_that_gives_its_threads_too_small_stacks_is_refused() -> None:
    said = survive(load_under_a_limit_of, str(MIN_THREAD_STACK // 2))
    assert f"stacks of {MIN_THREAD_STACK // 2} bytes" in said
    assert "ulimit -s" in said


@pytest.mark.parametrize("size", [0, MIN_THREAD_STACK, 2 * MIN_THREAD_STACK])
def test_a_process_whose_threads_have_room_is_not(thread_stack: Callable[[int], None], size: int) -> None:
    thread_stack(size)
    assert load(DIVE)
