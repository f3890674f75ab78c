"""Faults at every step of the compile cache: what the system refuses, what others do to the files meanwhile, Ctrl-C.

A fault costs an entry, or the cache, and never the plugin; what is given out is authentic; nothing is left behind.
"""

from __future__ import annotations

import gc
import inspect
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

import hotswap
from faults import NO_MEMORY, Fault, Faults
from faults_cabinet import CASES, CATALOGUE, CUT, LARGE, MOVED, NEW, OLD, Cabinet, patches
from faults_calls import stand_ins, struck
from test_compile_child import files
from test_interrupts import Strike

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed scandir iterator:ResourceWarning"),  # it is closed by that
    pytest.mark.timeout(600),  # for a few hundred runs; each of them has less
]


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
    return faults.to_come(leave_out, CATALOGUE)


@pytest.mark.parametrize("name", CASES)
def test_one_fault_anywhere(name: str, desk: Desk) -> None:
    found = list(faults_of(desk.run(name)))
    assert len(found) > 20
    for fault in found:
        assert desk.run(name, fault).struck == [fault]


def test_every_step_of_the_catalogue_is_taken(desk: Desk) -> None:
    taken = {point.step for name in CASES for point in desk.run(name).seen}
    never = {f"{when} {step}" for step in ("entry.name",) for when in ("before", "after")}
    assert taken == set(CATALOGUE) - never


@pytest.mark.slow
@pytest.mark.timeout(3_600)
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
