"""The compile cache: what is not authentic never reaches wasmtime, and what goes wrong with it costs no plugin."""

from __future__ import annotations

import errno
import gc
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

import hotswap
from hotswap import CacheStats, CompileCache, UnsafeCache
from hotswap._runtime import _compiled
from runtime_modules import ANSWER, load, resources, running, survive
from worlds import Runner

MODULE: Final = bytes(wasmtime.wat2wasm(f"(module {ANSWER})"))
OTHER: Final = bytes(wasmtime.wat2wasm('(module (func (export "answer") (result i32) i32.const 41))'))


class Folder:
    """A cache in a folder of its own, with its key beside it."""

    def __init__(self, root: Path) -> None:
        self.path, self.key_file = root / "cache", root / "key"
        self.cache = self.opened()

    def opened(self, **options: int) -> CompileCache:
        return CompileCache(self.path, self.key_file, **options)

    @property
    def entries(self) -> list[Path]:
        return sorted(self.path.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    hotswap.use_compile_cache(made.cache)
    yield made
    hotswap.use_compile_cache(None)


def answer_of(wasm: bytes, fuel_limit: int = 0) -> object:
    """What a plugin of these bytes says; nothing of it is left in the process afterwards."""
    with running(wasm, fuel_limit=fuel_limit) as instance:
        return instance.call("answer", ())


# What is kept, and for whom --------------------------------------------------------------------------------


def test_the_second_time_nothing_is_compiled(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer_of(MODULE) == 42
    assert folder.cache.stats == CacheStats(misses=1, stored=1)
    monkeypatch.setattr(_compiled, "compile_module", lambda *_: pytest.fail("it was compiled"))
    assert answer_of(MODULE) == 42
    assert folder.cache.stats == CacheStats(misses=1, stored=1, hits=1)


def test_another_process_has_it_too(folder: Folder) -> None:
    answer_of(MODULE)
    script = """if True:
        import sys, hotswap
        from runtime_modules import running
        from test_cache import MODULE
        cache = hotswap.CompileCache(*sys.argv[1:])
        hotswap.use_compile_cache(cache)
        with running(MODULE) as instance:
            print(instance.call("answer", ()), cache.stats.hits)"""
    command = [sys.executable, "-c", script, str(folder.path), str(folder.key_file)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(Path(__file__).parent)])}
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "42 1\n"


def test_the_bytes_and_the_engine_have_entries_of_their_own(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [answer_of(MODULE), answer_of(OTHER), answer_of(MODULE, fuel_limit=1_000)] == [42, 41, 42]
    assert (len(folder.entries), folder.cache.stats.hits) == (3, 0)
    monkeypatch.setattr(_compiled, "_machine", lambda: ("51.0.0", "Linux", "x86_64"))
    answer_of(MODULE)
    assert (len(folder.entries), folder.cache.stats.hits) == (4, 0)
    monkeypatch.setattr(_compiled, "settings", lambda metered: {"wasm_simd": True})
    answer_of(MODULE)
    assert (len(folder.entries), folder.cache.stats.hits) == (5, 0)


def test_without_a_cache_nothing_is_kept(folder: Folder) -> None:
    hotswap.use_compile_cache(None)
    assert answer_of(MODULE) == 42
    assert (folder.entries, folder.cache.stats) == ([], CacheStats())


# What is not authentic -------------------------------------------------------------------------------------


def flip(path: Path, position: int) -> None:
    found = bytearray(path.read_bytes())
    found[position % len(found)] ^= 1 << position % 8
    path.write_bytes(found)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


DAMAGE: Final[dict[str, Callable[[Path], object]]] = {
    "a bit of the contents": lambda path: flip(path, 1_000),
    "a bit of the authentication": lambda path: flip(path, 3),
    "half of it": lambda path: cut(path, path.stat().st_size // 2),
    "no more than the authentication": lambda path: cut(path, 32),
    "nothing": lambda path: cut(path, 0),
    "a byte more": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "writable by others": lambda path: path.chmod(0o622),
    "a folder": make_a_folder,
    "a FIFO that nobody writes to": make_a_fifo,
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_entry_is_never_deserialized_and_made_anew(
    what: str, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_of(MODULE)
    (entry,) = folder.entries
    DAMAGE[what](entry)
    with monkeypatch.context() as patch:
        patch.setattr(wasmtime.Module, "deserialize", lambda *_: pytest.fail("it was given to wasmtime"))
        assert answer_of(MODULE) == 42
    stats = folder.cache.stats
    assert stats.hits == 0
    assert stats.misses + stats.rejected == 2
    if entry.is_file():
        assert answer_of(MODULE) == 42
        assert folder.cache.stats.hits == 1, "it was made anew"


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_entry_costs_no_descriptor(what: str, folder: Folder) -> None:
    folder.cache.put("a", b"contents" * 500)
    DAMAGE[what](folder.path / "a.cwasm")
    before = open_files()
    assert [folder.cache.get("a") for _ in range(3)] == [None] * 3
    assert open_files() == before


def test_an_entry_under_another_name_is_rejected(folder: Folder) -> None:
    """Else whoever can write there could give a plugin another's code."""
    answer_of(MODULE)
    (first,) = folder.entries
    answer_of(OTHER)
    (second,) = set(folder.entries) - {first}
    second.write_bytes(first.read_bytes())
    assert answer_of(OTHER) == 41
    assert folder.cache.stats.rejected == 1


def test_an_entry_made_with_another_key_is_rejected(folder: Folder) -> None:
    answer_of(MODULE)
    folder.key_file.unlink()
    other = folder.opened()
    hotswap.use_compile_cache(other)
    assert answer_of(MODULE) == 42
    assert other.stats == CacheStats(rejected=1, stored=1)


def test_a_link_in_the_place_of_an_entry_is_not_followed(folder: Folder, tmp_path: Path) -> None:
    answer_of(MODULE)
    (entry,) = folder.entries
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    assert answer_of(MODULE) == 42
    assert (folder.cache.stats.hits, folder.cache.stats.failures) == (0, 1)
    assert not entry.is_symlink(), "it was made anew"


def test_what_wasmtime_refuses_is_made_anew(folder: Folder) -> None:
    """Authentic, and made for another machine."""
    (name,) = (_compiled._name(load(MODULE).facts.digest, False),)
    folder.cache.put(name, b"for another machine")
    assert answer_of(MODULE) == 42
    assert folder.cache.stats == CacheStats(misses=1, rejected=1, stored=3)
    assert answer_of(MODULE) == 42
    assert folder.cache.stats.hits == 1


@settings(max_examples=300)
@given(st.integers(0, 100_000), st.binary(max_size=3), st.booleans())
def test_no_change_of_an_entry_goes_unnoticed(position: int, put: bytes, whole: bool) -> None:
    cache = CompileCache.__new__(CompileCache)
    cache._key = b"k" * 32
    entry = cache._mac("name", b"contents" * 9) + b"contents" * 9
    position %= len(entry)
    changed = entry[:position] + put + (b"" if whole else entry[position + len(put) :])
    assert (changed[:32] == cache._mac("name", changed[32:])) == (changed == entry)


# Whose it is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_folder_that_others_can_enter_is_refused(folder: Folder, mode: int) -> None:
    folder.path.chmod(mode)
    with pytest.raises(UnsafeCache, match=rf"expected nobody else to have access, found mode {mode:o}"):
        folder.opened()
    assert answer_of(MODULE) == 42, "and one that becomes so later is not used"
    assert (folder.entries, folder.cache.stats) == ([], CacheStats(rejected=1, failures=1))


def test_a_key_that_others_can_read_is_refused(folder: Folder) -> None:
    folder.key_file.chmod(0o640)
    with pytest.raises(UnsafeCache, match=r"key file .* found mode 640"):
        folder.opened()


def test_a_key_in_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeCache, match="expected it outside"):
        CompileCache(tmp_path / "cache", tmp_path / "cache" / "key")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_is_refused(folder: Folder, size: int) -> None:
    folder.key_file.write_bytes(bytes(size))
    with pytest.raises(UnsafeCache, match=rf"expected 32 bytes, found {size}"):
        folder.opened()


def test_a_fifo_in_the_place_of_the_key_is_refused(folder: Folder) -> None:
    make_a_fifo(folder.key_file)
    with pytest.raises(UnsafeCache, match="expected 32 bytes, found 0"):
        folder.opened()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_folder_or_an_entry_of_somebody_else_is_refused(folder: Folder) -> None:
    answer_of(MODULE)
    (entry,) = folder.entries
    os.chown(entry, 12_345, 12_345)
    assert answer_of(MODULE) == 42
    assert folder.cache.stats.rejected == 1
    os.chown(folder.path, 12_345, 12_345)
    with pytest.raises(UnsafeCache, match="found user 12345"):
        folder.opened()


def test_what_is_made_is_this_users_alone(folder: Folder) -> None:
    answer_of(MODULE)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder.path, folder.key_file, *folder.entries)}
    assert set(modes.values()) == {0o700, 0o600}


def test_processes_that_come_at_once_agree_on_a_key(tmp_path: Path) -> None:
    makers = [Runner(CompileCache, tmp_path / "cache", tmp_path / "key") for _ in range(8)]
    keys = {maker.value()._key for maker in makers}  # type: ignore[attr-defined]
    assert keys == {(tmp_path / "key").read_bytes()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "key"]


# The disk --------------------------------------------------------------------------------------------------


def test_what_was_not_used_for_longest_goes(folder: Folder) -> None:
    cache = folder.opened(max_mb=1)
    for age, name in enumerate("abc"):
        cache.put(name, bytes(300_000))
        os.utime(folder.path / f"{name}.cwasm", (age, age))
    assert cache.get("a") is not None
    cache.put("d", bytes(300_000))
    assert [path.name for path in folder.entries] == ["a.cwasm", "c.cwasm", "d.cwasm"]
    assert cache.stats.evicted == 1


def test_a_file_that_a_dead_process_left_goes_and_one_that_is_being_written_stays(folder: Folder) -> None:
    for name, age in (("old", 4_000), ("new", 0)):
        path = folder.path / f"{name}.half"
        path.write_bytes(b"")
        stamp = path.stat().st_mtime - age
        os.utime(path, (stamp, stamp))
    folder.cache.put("a", b"")
    assert [path.name for path in folder.entries] == ["a.cwasm", "new.half"]


@pytest.mark.parametrize("name", ["old.half", "old.cwasm"])
def test_a_folder_in_the_place_of_a_file_does_not_keep_the_others(name: str, folder: Folder) -> None:
    cache = folder.opened(max_mb=1)
    (folder.path / name).mkdir()
    os.utime(folder.path / name, (0, 0))
    for each in "abcd":
        cache.put(each, bytes(300_000))
    assert len([path for path in folder.entries if path.is_file()]) == 3
    assert (cache.stats.stored, cache.stats.evicted, cache.stats.failures) == (4, 1, 0)


def test_what_is_larger_than_all_may_be_is_not_kept_and_drives_nothing_out(folder: Folder) -> None:
    cache = folder.opened(max_mb=1)
    cache.put("a", b"contents")
    cache.put("b", bytes(1 << 20))
    assert [path.name for path in folder.entries] == ["a.cwasm"]
    assert (cache.stats.stored, cache.stats.evicted, cache.stats.failures) == (1, 0, 1)


def test_a_full_disk_costs_the_entry_and_not_the_plugin(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "replace", fill)
    assert answer_of(MODULE) == 42
    assert (folder.entries, folder.cache.stats) == ([], CacheStats(misses=1, failures=1))


def test_a_folder_that_is_gone_costs_the_cache_and_not_the_plugin(folder: Folder) -> None:
    folder.path.rmdir()
    assert answer_of(MODULE) == 42
    assert folder.cache.stats == CacheStats(misses=1, failures=1)


def hammer(cache: CompileCache, seed: int, rounds: int, names: str, size: int) -> None:
    """Stores and reads by chance, and never finds anything but what was stored."""
    choose = random.Random(seed)
    for _ in range(rounds):
        name = choose.choice(names)
        if choose.random() < 0.5:
            cache.put(name, name.encode() * size)
        elif (found := cache.get(name)) is not None:
            assert found == name.encode() * size


def hammered(path: str, key_file: str, seed: str) -> int:
    """In a folder which is too small for all; returns how often it found what it looked for."""
    cache = CompileCache(path, key_file, max_mb=1)
    hammer(cache, int(seed), 400, "abcdef", 300_000)
    assert (cache.stats.rejected, cache.stats.failures) == (0, 0), cache.stats
    return cache.stats.hits


def test_many_processes_on_one_folder_never_see_half_an_entry(folder: Folder) -> None:
    """Also while each drives out what the others store."""
    paths = str(folder.path), str(folder.key_file)
    hits = [Runner(survive, hammered, *paths, str(seed)) for seed in range(3)]
    assert all(int(str(each.value())) > 10 for each in hits)
    sizes = [path.stat().st_size for path in folder.entries]
    assert len(sizes) <= 4, "those that fit, and one that was stored while another process looked"


def test_many_threads_on_one_folder_never_see_half_an_entry(folder: Folder) -> None:
    caches = [folder.opened() for _ in range(4)]
    for worker in [Runner(hammer, cache, seed, 200, "ab", 50_000) for seed, cache in enumerate(caches)]:
        worker.value()
    assert sum(cache.stats.rejected + cache.stats.failures for cache in caches) == 0


# In a plugin ----------------------------------------------------------------------------------------------


def test_an_upgrade_takes_its_code_from_the_cache(folder: Folder) -> None:
    with hotswap.HotReloadablePlugin("p", MODULE, resources()) as plugin:
        plugin.upgrade(OTHER, resources(), allow_rebuild=True)
        gc.collect()  # the module of the first version is shared while it is in the process
        plugin.upgrade(MODULE, resources(), allow_rebuild=True)
        assert plugin.call("answer") == 42
    assert folder.cache.stats == CacheStats(misses=2, stored=2, hits=1)
