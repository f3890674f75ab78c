"""What must hold for whatever stands where a cache entry should.

- `get` returns exactly what was put under that name with that key, or None; it raises nothing and waits for nobody.
- Each request is counted once, as a hit, a miss or rejected; no descriptor stays open.
- wasmtime is given nothing but what this process has put; and a plugin has its own code in any case.
"""

from __future__ import annotations

import hmac
import os
import random
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest import mock

import wasmtime

import hotswap
from damage import damaged
from fuzzing import examine
from hotswap import CompileCache
from hotswap._runtime import _compiled
from runtime_modules import ANSWER, running

MODULE: Final = bytes(wasmtime.wat2wasm(f"(module {ANSWER})"))
CONTENTS: Final = (b"", b"contents", bytes(range(256)) * 20, b"x" * 40)
NAMES: Final = ("a" * 64, "b" * 64, "c")
LOADED: Final = 20
"""Every so manieth example is an entry of compiled code, which a plugin is loaded from."""
MAX_BYTES: Final = 1 << 20


class Recording(CompileCache):
    """Remembers what was put."""

    def __init__(self, *places: Path) -> None:
        super().__init__(*places, max_mb=MAX_BYTES >> 20)
        self.made: set[tuple[str, bytes]] = set()

    def put(self, name: str, contents: bytes) -> None:
        self.made.add((name, contents))
        super().put(name, contents)


class Bench:
    """A cache, another one with another key, and a place outside of both."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="hotswap-fuzz-"))
        self.path = self.root / "cache"
        self.cache = Recording(self.path, self.root / "key")
        self.key = (self.root / "key").read_bytes()
        self.elsewhere = self.root / "elsewhere"
        self.elsewhere.mkdir()
        hotswap.use_compile_cache(self.cache)
        _compiled._modules.clear()  # as in a process that has just begun
        with running(MODULE) as instance:
            assert instance.call("answer", ()) == 42
        (self.module,) = (name for name, _ in self.cache.made)
        self.descriptors = 0
        """Open before the first example."""

    def entry(self, name: str, contents: bytes, key: bytes | None = None) -> bytes:
        """What the file of an entry holds, written down a second time."""
        return hmac.digest(key or self.key, name.encode() + b"\0" + contents, "sha256") + contents

    def is_genuine(self, name: str, file: bytes) -> bool:
        return len(file) >= 32 and file == self.entry(name, file[32:])

    def clear(self) -> None:
        self.path.chmod(0o700)
        for path in (*self.path.iterdir(), *self.elsewhere.iterdir()):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@cache
def bench() -> Bench:
    return Bench()


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


# What stands there instead; each returns whether it still is a plain file of ours -----------------------------


def _other_bytes(path: Path, chance: random.Random) -> bool:
    path.write_bytes(damaged(path.read_bytes(), chance, (bytes(32), b"\0", b"\x7fELF", chance.randbytes(32))))
    return True


def _cut(path: Path, chance: random.Random) -> bool:
    size = path.stat().st_size
    os.truncate(path, chance.choice((0, 1, 31, 32, 33, chance.randint(0, size))))
    return True


def _another_names(path: Path, chance: random.Random) -> bool:
    path.write_bytes(bench().entry("d", path.read_bytes()[32:]))
    return True


def _another_keys(path: Path, chance: random.Random) -> bool:
    path.write_bytes(bench().entry(path.stem, path.read_bytes()[32:], key=bytes(32)))
    return True


def _another_entry(path: Path, chance: random.Random) -> bool:
    """As genuine: what a process with this key has put, for another machine maybe, which wasmtime sees to."""
    contents = chance.choice(CONTENTS)
    bench().cache.made.add((path.stem, contents))
    path.write_bytes(bench().entry(path.stem, contents))
    return True


def _another_header(path: Path, chance: random.Random) -> bool:
    header = chance.choice((bytes(32), chance.randbytes(32), bench().entry(path.stem, b"")))
    path.write_bytes(header + path.read_bytes()[32:])
    return True


def _too_large(path: Path, chance: random.Random) -> bool:
    os.truncate(path, MAX_BYTES + chance.choice((1, 1 << 40)))
    return False


def _open_to_others(path: Path, chance: random.Random) -> bool:
    mode = chance.choice((0o620, 0o602, 0o666, 0o644, 0o755, 0o000, 0o400))
    path.chmod(mode)
    return not mode & 0o022 and (mode & 0o400 != 0 or os.geteuid() == 0)


def _folder_open_to_others(path: Path, chance: random.Random) -> bool:
    path.parent.chmod(chance.choice((0o750, 0o701, 0o777)))
    return False


def _gone(path: Path, chance: random.Random) -> bool:
    path.unlink()
    return False


def _a_link(path: Path, chance: random.Random) -> bool:
    there = bench().elsewhere / "there"
    path.rename(there)
    path.symlink_to(chance.choice((there, "/dev/zero", path, path.parent, "nowhere")))
    return False


def _a_hard_link(path: Path, chance: random.Random) -> bool:
    os.link(path, bench().elsewhere / "there")
    return True


def _a_folder(path: Path, chance: random.Random) -> bool:
    path.unlink()
    path.mkdir(0o700)
    return False


def _a_fifo(path: Path, chance: random.Random) -> bool:
    path.unlink()
    os.mkfifo(path, 0o600)
    return False


def _a_socket(path: Path, chance: random.Random) -> bool:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    path.chmod(0o600)
    return False


def _nothing(path: Path, chance: random.Random) -> bool:
    return True


CHANGES: Final[tuple[Callable[[Path, random.Random], bool], ...]] = (
    *(_other_bytes, _other_bytes, _other_bytes, _cut, _another_names, _another_keys, _another_entry, _another_header),
    *(_too_large, _open_to_others, _folder_open_to_others, _gone, _a_link, _a_hard_link),
    *(_a_folder, _a_fifo, _a_socket, _nothing),
)


def changed(number: int, name: str, chance: random.Random) -> bytes | None:
    """Change the entry in its place; what `get` has to say then."""
    path = bench().path / f"{name}.cwasm"
    still_plain = CHANGES[number % len(CHANGES)](path, chance)
    file = path.read_bytes() if still_plain else b""
    return file[32:] if bench().is_genuine(name, file) else None


def check(number: int) -> str:
    chance, made, name = random.Random(number), bench(), random.Random(number).choice(NAMES)
    contents = chance.choice(CONTENTS)
    made.cache.put(name, contents)
    expected, before = changed(number, name, chance), made.cache.stats
    found, after = made.cache.get(name), made.cache.stats
    assert found == expected, f"expected {expected!r}, found {found!r}"
    counted = {key: getattr(after, key) - getattr(before, key) for key in ("hits", "misses", "rejected")}
    (fate,) = (key for key, count in counted.items() if count)
    assert (counted[fate], fate == "hits") == (1, found is not None), counted
    made.path.chmod(0o700)
    made.cache.put(name, contents)
    assert made.cache.get(name) == (None if (made.path / f"{name}.cwasm").is_dir() else contents), "not made anew"
    return fate


def load(number: int) -> str:
    """As a plugin is loaded, with whatever stands in the place of its code."""
    chance, made = random.Random(number), bench()
    _compiled._modules.clear()
    with running(MODULE):
        pass  # the entry is there, as it should be
    _compiled._modules.clear()
    changed(number // LOADED, made.module, chance)
    deserialize, given = wasmtime.Module.deserialize, 0

    def guarded(engine: wasmtime.Engine, code: Any) -> wasmtime.Module:
        nonlocal given
        assert (made.module, bytes(code)) in made.cache.made, "wasmtime is given what nobody has put"
        given += 1
        return deserialize(engine, code)

    with mock.patch.object(wasmtime.Module, "deserialize", guarded), running(MODULE) as instance:
        assert instance.call("answer", ()) == 42
    return "loaded from the cache" if given else "compiled anew"


def fates(number: int) -> Iterator[str]:
    bench().descriptors = bench().descriptors or descriptors()
    try:
        yield load(number) if number % LOADED == 0 else check(number)
    finally:
        bench().clear()
    if number % LOADED == 0:
        assert descriptors() == bench().descriptors, "a descriptor stays open"


def told(number: int) -> str:
    what = number // LOADED if number % LOADED == 0 else number
    return f"the change: {CHANGES[what % len(CHANGES)].__name__}"


def fuzz(first: str, count: str, current: str) -> str:
    made = bench()
    try:
        return examine(fates, told, first, count, current)
    finally:
        hotswap.use_compile_cache(None)
        shutil.rmtree(made.root)
        bench.cache_clear()
