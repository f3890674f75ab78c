"""The plugins that we ship, on bare wasmtime: what goes wrong here is the plugin's fault, not hotswap's.

The engine grants less than hotswap's own, so a plugin that runs here runs there.
"""

from __future__ import annotations

import random
import tomllib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

ROOT: Final = Path(__file__).resolve().parents[1]
SHIPPED: Final = ROOT / "impl" / "hotswap" / "_demo" / "plugins"
SHOUT: Final = ROOT / "examples" / "plugins" / "shout" / "shout.wat"

SLOW, FAST, BAD_PROBE, HANG = (SHIPPED / f"crc32-{number}.wasm" for number in ("1.0.0", "2.0.0", "2.1.0", "2.2.0"))
GOOD: Final = (SLOW, FAST)
ALL: Final = (SLOW, FAST, BAD_PROBE, HANG, SHOUT)

OFF: Final = (
    *("wasm_simd", "wasm_relaxed_simd", "wasm_threads", "wasm_exceptions", "wasm_tail_call"),
    *("wasm_gc", "wasm_function_references", "wasm_memory64", "wasm_multi_memory"),
)
"""Reference types stay on: the engine aborts without them."""

U32: Final = 0xFFFF_FFFF
SIZES: Final = (0, 1, 7, 8, 9, 15, 16, 17, 65_535, 65_536, 65_537, 1 << 20)


def make_engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    for setting in OFF:
        setattr(config, setting, False)
    config.consume_fuel = True  # so that a plugin that hangs stops after a known number of steps
    return wasmtime.Engine(config)


ENGINE: Final = make_engine()
FUEL: Final = 10_000_000_000
FUEL_OF_AN_INIT: Final = 1_000_000


def compiled(plugin: Path) -> wasmtime.Module:
    code = plugin.read_text() if plugin.suffix == ".wat" else plugin.read_bytes()
    return wasmtime.Module(ENGINE, code)


class Bare:
    """One instance, and the bytes call as docs/plugin-authors.md describes it."""

    def __init__(self, plugin: Path, store: wasmtime.Store) -> None:
        self.store = store
        self.exports = wasmtime.Instance(store, compiled(plugin), []).exports(store)
        memory = self.exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self.memory = memory

    def call(self, func: str, *args: int) -> int:
        """A numeric call; i32 and i64 results come back signed."""
        export = self.exports[func]
        assert isinstance(export, wasmtime.Func)
        return int(export(self.store, *args) or 0)

    def alloc(self, size: int) -> int:
        return self.call("hotswap_alloc", size) & U32

    def call_bytes(self, func: str, data: bytes) -> bytes:
        pointer = self.alloc(len(data))
        assert pointer != 0
        self.memory.write(self.store, data, pointer)
        packed = self.call(func, pointer, len(data))
        reply, size = packed >> 32 & U32, packed & U32
        assert not (reply < pointer + len(data) and pointer < reply + size), "the reply overlaps the input"
        result = bytes(self.memory.read(self.store, reply, reply + size))
        self.call("hotswap_free", pointer, len(data))
        self.call("hotswap_free", reply, size)
        return result

    @property
    def pages(self) -> int:
        return self.memory.size(self.store)


@contextmanager
def running(plugin: Path, *, memory_mb: int = 16, init: bool = True) -> Iterator[Bare]:
    with wasmtime.Store(ENGINE) as store:
        store.set_limits(memory_size=memory_mb << 20)
        store.set_fuel(FUEL)
        bare = Bare(plugin, store)
        if init and "hotswap_init" in bare.exports:
            assert bare.call("hotswap_init") == 0
        yield bare


def little_endian(crc: int) -> bytes:
    return crc.to_bytes(4, "little")


def crc32c(data: bytes) -> int:
    """The other polynomial, Castagnoli's, bit by bit."""
    crc = U32
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ U32


# What all of them promise --------------------------------------------------------------------------------


@pytest.mark.parametrize("plugin", ALL, ids=lambda path: path.name)
def test_a_plugin_imports_nothing(plugin: Path) -> None:
    assert compiled(plugin).imports == []


@pytest.mark.parametrize("plugin", ALL, ids=lambda path: path.name)
def test_a_plugin_exports_what_its_manifest_says(plugin: Path) -> None:
    manifest = tomllib.loads(plugin.with_suffix(".toml").read_text())
    functions = {item.name for item in compiled(plugin).exports if isinstance(item.type, wasmtime.FuncType)}
    assert functions >= {*manifest["exports"]["functions"], "hotswap_alloc", "hotswap_free"}
    assert plugin.stem in (manifest["plugin"]["name"], "{name}-{version}".format(**manifest["plugin"]))


@pytest.mark.parametrize("plugin", [SLOW, FAST, SHOUT], ids=lambda path: path.name)
def test_the_probe_of_a_good_plugin_says_0(plugin: Path) -> None:
    with running(plugin) as bare:
        assert bare.call("hotswap_probe") == 0


@pytest.mark.parametrize("plugin", ALL, ids=lambda path: path.name)
@pytest.mark.parametrize("size", [U32, U32 - 8, U32 - 16, 1 << 31, 17 << 20, 16 << 20], ids=hex)
def test_an_absurd_size_gets_no_block_and_does_no_harm(plugin: Path, size: int) -> None:
    with running(plugin, init=False) as bare:
        before = bare.pages
        assert bare.alloc(size) == 0
        assert bare.pages == before
        assert bare.alloc(100) != 0


@pytest.mark.parametrize("plugin", ALL, ids=lambda path: path.name)
def test_live_blocks_never_overlap_and_are_inside_the_memory(plugin: Path) -> None:
    with running(plugin, init=False) as bare:
        ends = 0
        for size in (0, 1, 0, 15, 16, 17, 70_000, 3, 200_000):
            pointer = bare.alloc(size)
            assert pointer >= max(ends, 1)
            assert pointer % 8 == 0
            ends = pointer + max(size, 1)
            assert ends <= bare.pages << 16


@pytest.mark.parametrize("plugin", ALL, ids=lambda path: path.name)
def test_a_free_too_many_does_not_corrupt_the_heap(plugin: Path) -> None:
    with running(plugin, init=False) as bare:
        bare.call("hotswap_free", bare.alloc(8), 8)
        bare.call("hotswap_free", 0, 0)
        bare.call("hotswap_free", 8, 8)
        blocks = [bare.alloc(8) for _ in range(5)]
        assert len(set(blocks)) == len(blocks)


@pytest.mark.parametrize(
    ("plugin", "func"), [(SLOW, "crc32"), (FAST, "crc32"), (SHOUT, "shout")], ids=["slow", "fast", "shout"]
)
def test_repeated_calls_do_not_grow_memory(plugin: Path, func: str) -> None:
    data = bytes(100_000)
    with running(plugin) as bare:
        bare.call_bytes(func, data)
        before = bare.pages
        assert bare.call("hotswap_probe") == 0
        for _ in range(50):
            bare.call_bytes(func, data)
        assert bare.pages == before


@pytest.mark.parametrize(
    ("plugin", "func"), [(SLOW, "crc32"), (FAST, "crc32"), (SHOUT, "shout")], ids=["slow", "fast", "shout"]
)
def test_a_reply_that_finds_no_room_traps(plugin: Path, func: str) -> None:
    with running(plugin, memory_mb=1) as bare:
        size = 600_000
        pointer = bare.alloc(size)
        assert pointer != 0
        while bare.alloc(16) != 0:  # fill the rest
            pass
        with pytest.raises(wasmtime.Trap):
            bare.call(func, pointer, size)


# CRC-32 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("plugin", GOOD, ids=lambda path: path.name)
def test_crc32_is_zlibs(plugin: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    with running(plugin) as bare:
        assert bare.call_bytes("crc32", data) == little_endian(zlib.crc32(data))


@given(data=st.lists(st.binary(max_size=100), max_size=5))
def test_crc32_of_one_instance_is_zlibs_call_after_call(data: list[bytes]) -> None:
    for plugin in GOOD:
        with running(plugin) as bare:
            assert [bare.call_bytes("crc32", piece) for piece in data] == [
                little_endian(zlib.crc32(piece)) for piece in data
            ]


@pytest.mark.parametrize(
    ("plugin", "number"), [(SLOW, 1), (FAST, 2), (BAD_PROBE, 3), (HANG, 4)], ids=["slow", "fast", "bad", "hang"]
)
def test_each_build_says_which_it_is(plugin: Path, number: int) -> None:
    with running(plugin, init=False) as bare:
        assert bare.call("version") == number


def test_the_probe_of_the_bad_one_is_right_to_complain() -> None:
    data = random.Random(7).randbytes(1000)
    with running(BAD_PROBE) as bare:
        assert bare.call("hotswap_probe") != 0
        assert bare.call_bytes("crc32", data) == little_endian(crc32c(data)) != little_endian(zlib.crc32(data))


@pytest.mark.parametrize("plugin", [SLOW, FAST, BAD_PROBE], ids=lambda path: path.name)
def test_an_init_ends_soon(plugin: Path) -> None:
    with running(plugin, init=False) as bare:
        bare.store.set_fuel(FUEL_OF_AN_INIT)
        assert bare.call("hotswap_init") == 0


def test_the_init_of_the_hanging_one_does_not_end() -> None:
    with running(HANG, init=False) as bare:
        bare.store.set_fuel(100 * FUEL_OF_AN_INIT)
        with pytest.raises(wasmtime.Trap) as stopped:
            bare.call("hotswap_init")
        assert stopped.value.trap_code is wasmtime.TrapCode.OUT_OF_FUEL


# shout ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_shout_is_ascii_upper_case_for_every_size(size: int) -> None:
    data = random.Random(size).randbytes(size)
    with running(SHOUT) as bare:
        assert bare.call_bytes("shout", data) == data.upper()


def test_shout_leaves_every_byte_but_a_to_z_alone() -> None:
    every = bytes(range(256))
    with running(SHOUT) as bare:
        assert bare.call_bytes("shout", every) == every.upper()
