"""Bytes calls: the plugin is handed bytes and hands bytes back, and nothing that it says is trusted."""

from __future__ import annotations

import random

import pytest

import hotswap
from hotswap import HotReloadablePlugin
from hotswap._runtime import _instance
from runtime_modules import BYTES, nothing_leaks, resources, running
from worlds import WAIT_S

pytestmark = pytest.mark.usefixtures("call_path")

MIB = 1 << 20
U32_MAX = 0xFFFF_FFFF
PAGE = 65_536


def packed(start: int, size: int) -> bytes:
    """Input for `reply`, which makes it its answer."""
    return (start << 32 | size).to_bytes(8, "little")


def module(*, alloc: str = "i32.const 64", func: str = "i64.const 0", free: str = "") -> str:
    """A bytes plugin of three bodies."""
    return f"""(module (memory (export "memory") 1)
      (func (export "hotswap_alloc") (param i32) (result i32) {alloc})
      (func (export "hotswap_free") (param i32 i32) {free})
      (func (export "f") (param i32 i32) (result i64) {func})
      (func (export "answer") (result i32) i32.const 42))"""


# What goes in and comes out --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("func", "data", "reply"),
    [
        ("echo", b"abc", b"abc"),
        ("echo", bytes(range(256)), bytes(range(256))),
        ("upper", "grüß Gott {}`az".encode(), "GRüß GOTT {}`AZ".encode()),
        ("twice", b"ab", b"abab"),
        ("grow", b"in a new page", b"in a new page"),
        ("nothing", b"abc", b""),
        *((func, b"", b"") for func in ("echo", "upper", "twice", "nothing")),
    ],
)
def test_bytes_go_in_and_the_reply_comes_out(func: str, data: bytes, reply: bytes) -> None:
    with running(BYTES) as instance:
        for _ in range(3):
            returned = instance.call_bytes(func, data)
            assert returned == reply
            assert type(returned) is bytes
        assert not instance.broken


@pytest.mark.parametrize("size", [PAGE - 1, PAGE, PAGE + 1, MIB])
def test_the_memory_grows_as_the_bytes_need_it(size: int) -> None:
    data = random.Random(size).randbytes(size)
    with running(BYTES, memory_limit_mb=4) as instance:
        assert instance.call_bytes("echo", data) == data
        assert instance.call("pages", ()) != 1
        assert instance.call_bytes("echo", data[::-1]) == data[::-1]


def test_many_calls_of_all_sizes_do_not_disturb_each_other() -> None:
    choose = random.Random(1)
    with running(BYTES, memory_limit_mb=2) as instance:
        for _ in range(200):
            data = choose.randbytes(choose.choice((0, 1, 7, 8, 9, 1_000, 70_000)))
            assert instance.call_bytes("twice", data) == data + data


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_plugin_takes_anything_that_holds_bytes(kind: type[bytes | bytearray | memoryview]) -> None:
    with nothing_leaks(), HotReloadablePlugin("p", BYTES, resources()) as plugin:
        assert plugin.call_bytes("upper", kind(b"abc")) == b"ABC"


# What is freed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("func", "data", "freed"),
    [
        ("echo", b"abcde", (2, 1024, 5, 1040, 5)),
        ("twice", b"abcde", (2, 1024, 5, 1040, 10)),
        ("nothing", b"abcde", (2, 1024, 5, 1040, 0)),
        ("echo", b"", (2, 1024, 0, 1032, 0)),
    ],
)
def test_the_input_is_freed_and_then_the_reply(func: str, data: bytes, freed: tuple[int, ...]) -> None:
    with running(BYTES) as instance:
        for calls in (1, 2, 3):
            instance.call_bytes(func, data)
            assert instance.call("freed", ()) == (2 * calls, *freed[1:])


# What the plugin does wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "size"),
    [
        (0, PAGE + 1),
        (PAGE - 1, 2),
        (PAGE, 1),
        (PAGE + 1, 0),
        (1, U32_MAX),
        (U32_MAX, 0),
        (U32_MAX, 1),
        (U32_MAX, U32_MAX),
        (0x8000_0000, 0x8000_0000),
        (0, 0x8000_0000),
    ],
)
def test_a_reply_outside_the_memory_is_refused(start: int, size: int) -> None:
    with running(BYTES) as instance:
        with pytest.raises(hotswap.BadReply, match=rf"reply returned {size} bytes at {start}, but .* ends at {PAGE}"):
            instance.call_bytes("reply", packed(start, size))
        assert instance.broken


@pytest.mark.parametrize(("start", "size"), [(0, PAGE), (PAGE - 1, 1), (PAGE, 0), (0, 0)])
def test_a_reply_up_to_the_last_byte_is_taken(start: int, size: int) -> None:
    with running(BYTES) as instance:
        assert len(instance.call_bytes("reply", packed(start, size))) == size
        assert not instance.broken


@pytest.mark.parametrize(
    ("pointer", "data"), [(-1, b"x"), (-1, b""), (PAGE, b"x"), (PAGE - 1, b"xx"), (-(2**31), b"x")]
)
def test_a_block_outside_the_memory_is_refused(pointer: int, data: bytes) -> None:
    with running(module(alloc=f"i32.const {pointer}")) as instance:
        with pytest.raises(hotswap.BadReply, match=rf"hotswap_alloc returned {len(data)} bytes at {pointer % 2**32}"):
            instance.call_bytes("f", data)
        assert instance.broken


def test_an_empty_input_may_lie_at_address_zero() -> None:
    with running(module(alloc="i32.const 0")) as instance:
        assert instance.call_bytes("f", b"") == b""


def test_no_room_for_the_input_leaves_the_instance_usable() -> None:
    with running(BYTES, memory_limit_mb=1) as instance:
        for _ in range(3):
            with pytest.raises(hotswap.OutOfMemory, match=rf"hotswap_alloc could not give {MIB} bytes"):
                instance.call_bytes("echo", bytes(MIB))
            assert not instance.broken
            assert instance.call_bytes("echo", b"small") == b"small"


def test_no_room_for_the_reply_is_the_plugins_trap() -> None:
    with running(BYTES, memory_limit_mb=1) as instance:
        with pytest.raises(hotswap.CallTrapped, match="unreachable"):
            instance.call_bytes("echo", bytes(700_000))
        assert instance.broken


@pytest.mark.parametrize("step", ["alloc", "func", "free"])
def test_a_step_that_traps_ends_the_call(step: str) -> None:
    with running(module(**{step: "unreachable"})) as instance:
        with pytest.raises(hotswap.CallTrapped, match=r"(?s)f: .*unreachable"):
            instance.call_bytes("f", b"x")
        assert instance.broken


@pytest.mark.parametrize("step", ["alloc", "func", "free"])
def test_a_step_that_never_ends_meets_the_deadline(step: str) -> None:
    with running(module(**{step: "(loop br 0) unreachable"}), timeout_ms=30) as instance:
        with pytest.raises(hotswap.DeadlineExceeded, match="f: ran longer than 30 ms"):
            instance.call_bytes("f", b"x")
        assert instance.broken


def test_all_steps_share_one_load_of_fuel() -> None:
    spin = """(local $i i32)
      (loop
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if 0 (i32.lt_s (local.get $i) (i32.const 1000))))"""
    one = module(alloc=f"{spin} i32.const 64")
    both = module(alloc=f"{spin} i32.const 64", func=f"{spin} i64.const 0")
    limit = 12_000
    with running(one, fuel_limit=limit) as instance:
        for _ in range(10):
            instance.call_bytes("f", b"x")
    with running(both, fuel_limit=limit) as instance, pytest.raises(hotswap.OutOfFuel, match=f"than {limit} units"):
        instance.call_bytes("f", b"x")


# What is no bytes call -------------------------------------------------------------------------------------


@pytest.mark.parametrize("func", ["number", "freed", "pages", "hotswap_alloc", "hotswap_free"])
def test_a_function_of_another_signature_is_refused(func: str) -> None:
    with running(BYTES) as instance:
        with pytest.raises(hotswap.BadArgument, match=rf"{func}\(.*expected the signature \(i32, i32\) -> i64"):
            instance.call_bytes(func, b"x")
        assert not instance.broken


@pytest.mark.parametrize("export", ["memory", "hotswap_alloc", "hotswap_free"])
@pytest.mark.parametrize("instead", ["", '(global (export "{}") i32 (i32.const 0))'], ids=["absent", "a global"])
def test_a_module_without_an_export_that_bytes_need_is_refused(export: str, instead: str) -> None:
    wasm = module().replace(f'"{export}"', '"other"').removesuffix(")") + instead.format(export) + ")"
    with running(wasm) as instance:
        with pytest.raises(hotswap.BadArgument, match="needs the exports memory, hotswap_alloc, hotswap_free"):
            instance.call_bytes("f", b"x")
        assert not instance.broken
        assert instance.call("answer", ()) == 42


@pytest.mark.parametrize(
    ("export", "signature"),
    [("hotswap_alloc", "(param i32) (result i64) i64.const 8"), ("hotswap_free", "(param i32)")],
)
def test_an_allocator_of_another_signature_is_refused_at_once(export: str, signature: str) -> None:
    wasm = f'(module (memory (export "memory") 1) (func (export "{export}") {signature}))'
    with nothing_leaks(), pytest.raises(hotswap.ModuleRejected, match=rf"{export!r}: expected .*as hotswap calls it"):
        HotReloadablePlugin("p", wasm, resources())


def test_an_unknown_function_is_answered_with_those_there_are() -> None:
    with running(BYTES) as instance, pytest.raises(hotswap.UnknownFunction, match=r"echo\(i32, i32\) -> i64"):
        instance.call_bytes("nope", b"x")


def test_more_bytes_than_an_address_can_count_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_instance, "_MAX_BYTES", 8)
    with running(BYTES) as instance:
        assert instance.call_bytes("echo", bytes(8)) == bytes(8)
        with pytest.raises(hotswap.BadArgument, match="expected at most 8 bytes, found 9"):
            instance.call_bytes("echo", bytes(9))


# What becomes of the instance ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("func", "data", "error", "discarded"),
    [
        ("reply", packed(U32_MAX, U32_MAX), hotswap.BadReply, 1),
        ("trap", b"", hotswap.CallTrapped, 1),
        ("loop", b"", hotswap.DeadlineExceeded, 1),
        ("echo", bytes(MIB), hotswap.OutOfMemory, 0),
        ("number", b"", hotswap.BadArgument, 0),
    ],
)
def test_the_plugin_serves_on_after_a_bytes_call_that_failed(
    func: str, data: bytes, error: type[hotswap.HotswapError], discarded: int
) -> None:
    with nothing_leaks(), HotReloadablePlugin("p", BYTES, resources(timeout_ms=300), queue_timeout=WAIT_S) as plugin:
        for times in (1, 2):
            with pytest.raises(error):
                plugin.call_bytes(func, data)
            assert plugin.call_bytes("echo", b"on") == b"on"
            assert plugin.stats().discarded_instances == discarded * times


@pytest.mark.parametrize("data", ["text", 5, None, [1, 2]])
def test_what_is_no_bytes_is_refused_before_it_is_admitted(data: object) -> None:
    with HotReloadablePlugin("p", BYTES, resources()) as plugin:
        with pytest.raises(hotswap.BadArgument, match=f"found {type(data).__name__}"):
            plugin.call_bytes("upper", data)  # type: ignore[arg-type]
        assert plugin.call_bytes("upper", memoryview(b"ab")) == b"AB"
