"""A folder of compiled modules that is struck by faults: what can happen at which step, and what is done with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from faults import ANY, BROKEN_DISK, CTRL_C, EARLIER, FORBIDDEN, FULL_DISK, LATER, NO_FILES, Faults
from faults_calls import module, stepping_class
from hotswap import CompileCache, _cache

OLD, NEW, LARGE = b"old" * 1_000, b"new" * 1_000, bytes(400_000)
REMOVED, CUT, SWAPPED, OPENED, MOVED = "entry removed", "entry cut", "entry swapped", "entry opened up", "folder moved"
MEANWHILE: Final = (REMOVED, CUT, SWAPPED, OPENED, MOVED)
"""What somebody else does between two steps."""

BEFORE: Final = {
    "os.open": (*ANY, NO_FILES, FORBIDDEN, FULL_DISK),
    "os.fstat": (*ANY, BROKEN_DISK),
    "os.fdopen": ANY,
    "os.close": (),
    "os.read": (*ANY, BROKEN_DISK),
    "os.write": (*ANY, FULL_DISK),
    "os.fsync": (*ANY, BROKEN_DISK, FULL_DISK),
    "os.link": (*ANY, FORBIDDEN, FULL_DISK),
    "os.utime": (*ANY, FORBIDDEN),
    "os.replace": (*ANY, FORBIDDEN, FULL_DISK),
    "os.unlink": (*ANY, FORBIDDEN),
    "os.scandir": (*ANY, NO_FILES, FORBIDDEN),
    "entry.stat": (*ANY, BROKEN_DISK),
    "files.__exit__": (),
    "file.read": (*ANY, BROKEN_DISK),
    "file.write": (*ANY, FULL_DISK),
    "file.__exit__": (),
    "Path.mkdir": (*ANY, FORBIDDEN, FULL_DISK),
    "Path.exists": (*ANY, FORBIDDEN),
    "Path.unlink": (*ANY, FORBIDDEN),
    "Path.resolve": (*ANY, FORBIDDEN),
    "hmac.new": ANY,
    "hmac.compare_digest": ANY,
    "secrets.token_bytes": ANY,
    "secrets.token_hex": ANY,
    "time.time": (*ANY, LATER, EARLIER),
}
AFTER: Final = {
    "os.close": (BROKEN_DISK,),  # it is closed all the same
    "file.__exit__": (FULL_DISK, *ANY),  # what was written last is written here
    "files.__exit__": (CTRL_C,),
    "os.replace": (CTRL_C,),
    "os.link": (CTRL_C,),
}
"""After all others Ctrl-C strikes too: see `test_ctrl_c_between_any_two_steps`, which does without stand-ins."""
CATALOGUE: Final = {
    **{f"before {name}": (*kinds, *MEANWHILE) for name, kinds in BEFORE.items()},
    **{f"after {name}": AFTER.get(name, ()) for name in BEFORE},
}


class Cabinet:
    """A folder with entries, its key beside it, and what somebody else does to them."""

    def __init__(self, root: Path) -> None:
        self.root, self.path, self.key_file = root, root / "cache", root / "key"
        self.cache: CompileCache | None = None
        self.gets = 0

    @staticmethod
    def filled(root: Path, name: str) -> Cabinet:
        """As a case finds it."""
        root.mkdir()
        made = Cabinet(root)
        if name != "made anew":
            cache = made.open()
            for entry, contents in {
                "old": OLD,
                "damaged": NEW,
                **({"x": LARGE, "y": LARGE} if name == "evict" else {}),
            }.items():
                cache.put(entry, contents)
            for age, entry in enumerate(("x", "y", "old", "damaged"), 1_000):
                path = made.entry(entry)
                if path.exists():
                    os.utime(path, (age, age))
            made.entry("damaged").write_bytes(bytes(2_000))
        if name == "evict":
            for half in ("dead.half", "young.half"):
                (made.path / half).write_bytes(b"")
            os.utime(made.path / "dead.half", (0, 0))
        return made

    def open(self) -> CompileCache:
        self.cache = CompileCache(self.path, self.key_file, max_mb=1)
        return self.cache

    def entry(self, name: str = "old") -> Path:
        return self.path / f"{name}.cwasm"

    def get(self, name: str) -> bytes | None:
        assert self.cache is not None
        found = self.cache.get(name)
        self.gets += 1
        return found

    def put(self, name: str, contents: bytes) -> None:
        assert self.cache is not None
        self.cache.put(name, contents)

    def acts(self) -> dict[str, Callable[[], object]]:
        return {
            REMOVED: lambda: self.entry().unlink(missing_ok=True),
            CUT: lambda: self._to_the_entry(lambda entry: os.truncate(entry, 40)),
            SWAPPED: lambda: self._to_the_entry(self._swap),
            OPENED: lambda: self._to_the_entry(lambda entry: entry.chmod(0o666)),
            MOVED: self._move,
        }

    def _to_the_entry(self, act: Callable[[Path], None]) -> None:
        if self.entry().exists():
            act(self.entry())

    def _swap(self, entry: Path) -> None:
        other = self.path / "other"
        other.write_bytes(NEW)
        other.rename(entry)

    def _move(self) -> None:
        away = self.root / "elsewhere"
        if self.path.exists() and not away.exists():
            self.path.rename(away)
            self.path.mkdir(mode=0o700)


CASES: Final[dict[str, Callable[[Cabinet], object]]] = {
    "made anew": Cabinet.open,
    "opened": Cabinet.open,
    "hit": lambda made: made.get("old"),
    "miss": lambda made: made.get("none"),
    "damaged": lambda made: made.get("damaged"),
    "put": lambda made: made.put("new", NEW),
    "put again": lambda made: made.put("old", OLD),
    "evict": lambda made: made.put("new", LARGE),
}


def patches(patch: pytest.MonkeyPatch, faults: Faults) -> None:
    for name in ("os", "hmac", "secrets", "time"):
        module(patch, faults, _cache, name)
    real = type(Path())
    patch.setattr(_cache, "Path", stepping_class(faults, real, "mkdir", "exists", "unlink", "resolve"))
