"""Faults at every step of the compile cache: what the system refuses, what others do to the files meanwhile, Ctrl-C.

A fault costs an entry, or the cache, and never the plugin; what is given out is authentic; nothing is left behind.
"""

from __future__ import annotations

import gc
import inspect
import os
import shutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

import pytest

import hotswap
from faults import (
    ANY,
    BROKEN_DISK,
    CTRL_C,
    EARLIER,
    FORBIDDEN,
    FULL_DISK,
    LATER,
    NO_FILES,
    NO_MEMORY,
    Fault,
    Faults,
    faults_at,
)
from faults_calls import module, stand_ins, stepping_class, struck
from hotswap import CompileCache, _cache
from test_compile_child import files
from test_interrupts import Strike

pytestmark = pytest.mark.filterwarnings("ignore:unclosed scandir iterator:ResourceWarning")  # it is closed by that
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


class Desk:
    """Makes cabinets, one for each run."""

    def __init__(self, root: Path) -> None:
        self._root, self._number = root, 0

    def cabinet(self, name: str) -> Cabinet:
        template = self._root / "template" / name
        if not template.exists():
            template.parent.mkdir(exist_ok=True)
            Cabinet.filled(template, name)
        self._number += 1
        made = Cabinet(shutil.copytree(template, self._root / str(self._number)))
        if name not in ("made anew", "opened"):
            made.open()
        return made

    def run(self, name: str, *planned: Fault) -> Faults:
        made = self.cabinet(name)
        before = files()
        faults = Faults(*planned, acts=made.acts())
        result: list[object] = []
        try:
            with stand_ins(faults, patches):
                error = struck(faults, lambda: result.append(CASES[name](made)))
            expected = hotswap.UnsafeCache, OSError
            if error is not None and not any(error is one for one in faults.raised):
                assert isinstance(error, expected), repr(error)
            if isinstance(error, expected):
                assert name in ("made anew", "opened"), f"{error!r} is not for who asks"
            if name == "hit":
                assert result in ([], [OLD], [None])
                assert faults.struck or result == [OLD]
            error = None
            check(made, faults, before, len(faults.struck))
        except BaseException as failure:  # noqa: BLE001  told with its faults
            story = "".join(traceback.format_exception(failure))
            said = " and then ".join(map(str, planned)) or "nothing"
            pytest.fail(f"{name}, struck by {said}:\n{story}", pytrace=False)
        shutil.rmtree(made.root)
        return faults


def check(made: Cabinet, faults: Faults, before: set[str], times: int) -> None:
    """What must hold, whatever has struck, and so often."""
    faults.forget()
    if files() != before:
        gc.collect()
    assert files() == before
    unlinked = any("unlink" in fault.point.step for fault in faults.struck)
    moved = any(fault.kind == MOVED for fault in faults.struck)
    left = [path for path in made.root.rglob("*") if path.suffix == ".half" or path.name.startswith("key.")]
    allowed = {"young.half", "dead.half"}
    assert unlinked or moved or {path.name for path in left} <= allowed, left
    if made.cache is None:
        made.open()
    assert made.cache is not None
    for name, contents in {
        "old": {OLD},
        "new": {NEW, LARGE},
        "damaged": set[bytes](),
        "x": {LARGE},
        "y": {LARGE},
    }.items():
        assert made.get(name) in {None, *contents}
    made.cache.put("next", NEW)
    assert made.get("next") == NEW
    stats = made.cache.stats
    assert made.gets <= stats.hits + stats.misses + stats.rejected <= made.gets + times


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def faults_of(faults: Faults, leave_out: frozenset[str] = frozenset()) -> Iterator[Fault]:
    begin = faults.seen.index(faults.struck[-1].point) + 1 if faults.struck else 0
    return faults_at(faults.seen[begin:], leave_out, CATALOGUE)


@pytest.mark.parametrize("name", CASES)
def test_one_fault_anywhere(name: str, desk: Desk) -> None:
    found = list(faults_of(desk.run(name)))
    assert len(found) > 20
    for fault in found:
        assert desk.run(name, fault).struck == [fault]


def test_every_step_of_the_catalogue_is_taken(desk: Desk) -> None:
    taken = {point.step for name in CASES for point in desk.run(name).seen}
    never = {f"{when} {step}" for step in ("entry.name",) for when in ("before", "after")}
    assert taken == set(CATALOGUE) - never - {"before os.unlink", "after os.unlink"} | {
        "before os.unlink",
        "after os.unlink",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_faults_anywhere(name: str, desk: Desk) -> None:
    """No memory goes the way of Ctrl-C, and to cut an entry is to swap it, so these two stand for four."""
    alike = frozenset({NO_MEMORY, CUT})
    for first in faults_of(desk.run(name), alike):
        for second in faults_of(desk.run(name, first), alike):
            assert desk.run(name, first, second).struck == [first, second]


class StrikeNoGenerator(Strike):
    """Where a generator goes on, an exception of the profiler's ends it, and passes its handlers by. No signal does."""

    def _event(self, frame: FrameType, event: str, arg: object) -> None:
        if event != "call" or not frame.f_code.co_flags & inspect.CO_GENERATOR:
            super()._event(frame, event, arg)


@pytest.mark.parametrize("name", CASES)
def test_ctrl_c_between_any_two_steps(name: str, desk: Desk) -> None:
    """Wherever CPython can deliver it, in the code as it is."""
    for point in range(2_000):
        made, strike = desk.cabinet(name), StrikeNoGenerator(point)
        before = files()
        hit = strike.hits(lambda made=made: CASES[name](made)) is not None  # type: ignore[misc]
        try:
            check(made, Faults(), before, 1)
        except AssertionError as failure:
            pytest.fail(f"{name}, struck at {strike.where}: {failure}")
        shutil.rmtree(made.root)
        if not hit:
            assert point > 10
            return
    pytest.fail("the operation does not end")
