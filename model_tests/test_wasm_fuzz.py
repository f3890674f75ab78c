"""Modules made by chance: the reader ends, says what is wrong as an error of ours, and agrees with wasmtime.

`wasm_fuzz.py` says what must hold. wasmtime is asked in a child, which no module may kill.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wasm_bytes as w
import wasm_fuzz
from fuzzing import hold
from hotswap import LimitExceeded, MalformedModule, UnsupportedModule
from hotswap._wasm import Export, ModuleLimits, ModuleShape, Pages, read_module
from wasm_fuzz import check, fuzz, run, shrunk
from wasm_generated import example, split, whole_modules
from wasm_reading import LIMITS, calls_made

QUICK = 5_000
CHUNK = 50_000


def test_modules_made_by_chance_hold(tmp_path: Path) -> None:
    became = hold(fuzz, 0, QUICK, tmp_path / "note")
    assert became["agreed"] > QUICK / 5, became
    assert became["malformed"] > QUICK / 5, became
    for fate in "switched off", "another form", "too much", "does not compile", "refused", "a call failed", "ran":
        assert became.get(fate, 0) > 0, f"{fate}: never, of {became}"


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(1, 21))
def test_many_modules_made_by_chance_hold(tmp_path: Path, chunk: int) -> None:
    hold(fuzz, chunk * CHUNK, CHUNK, tmp_path / "note")


# The reader by itself --------------------------------------------------------------------------------------


def ends(wasm: bytes) -> None:
    def work() -> None:
        with contextlib.suppress(MalformedModule, LimitExceeded, UnsupportedModule):
            read_module(wasm, LIMITS)

    assert calls_made(work) <= 5 * len(wasm) + 1_000


@settings(max_examples=500)
@given(content=st.binary(max_size=300), header=st.sampled_from([b"", w.HEADER, w.HEADER + b"\1"]))
def test_any_bytes_are_read_or_refused(content: bytes, header: bytes) -> None:
    ends(header + content)


@settings(max_examples=500)
@given(sections=st.lists(st.tuples(st.integers(0, 14), st.binary(max_size=60)), max_size=8))
def test_any_sections_are_read_or_refused(sections: list[tuple[int, bytes]]) -> None:
    ends(w.module(*(w.section(*each) for each in sections)))


@settings(max_examples=500)
@given(number=st.integers(0, 2**64))
def test_generated_modules_are_read_or_refused(number: int) -> None:
    ends(example(number))


# The checks can fail ---------------------------------------------------------------------------------------

GOOD = w.module(w.section(w.MEMORY, b"\1\0\1"), w.exports(("m", 2, 0)), w.section(w.CUSTOM, w.name("not needed")))


def refusing(error: Exception) -> Any:
    def read(wasm: bytes, limits: ModuleLimits) -> ModuleShape:
        raise error

    return read


def lying(wasm: bytes, limits: ModuleLimits) -> ModuleShape:
    return ModuleShape((), tuple(Export(item.name, Pages(1, 1)) for item in read_module(wasm, limits).exports))


@pytest.mark.parametrize(
    ("reader", "says"),
    [
        (refusing(MalformedModule("no")), "called malformed, and is valid"),
        (refusing(UnsupportedModule("no")), "called switched off, and our engine takes it"),
        (lying, "exports: ours .*max=1.*wasmtime's .*max=None"),
        (refusing(IndexError("no")), "no"),
    ],
    ids=["malformed", "switched off", "another type", "another error"],
)
def test_a_reader_that_is_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch, reader: Any, says: str) -> None:
    assert (check(GOOD), run(GOOD)) == ("agreed", "ran")
    monkeypatch.setattr(wasm_fuzz, "read_module", reader)
    with pytest.raises((AssertionError, IndexError), match=says):
        check(GOOD)


def test_a_reader_that_lets_through_what_is_damaged_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wasm_fuzz, "read_module", lambda wasm, limits: ModuleShape((), ()))
    with pytest.raises(AssertionError, match=r"(?s)admitted, and a section does not parse: .*unexpected end"):
        check(GOOD[:-1])


def test_a_failure_is_told_as_small_as_it_gets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wasm_fuzz, "read_module", lying)
    assert shrunk(GOOD) == w.module(w.section(w.MEMORY, b"\1\0\1"), w.exports(("m", 2, 0)))
    monkeypatch.setattr(wasm_fuzz, "example", lambda number: GOOD if number == 7 else w.HEADER)
    with pytest.raises(AssertionError, match=r"example 7: AssertionError.*\nas small as it gets: 00 61 73 6d 01 00"):
        fuzz("0", "10", str(tmp_path / "note"))
    assert int((tmp_path / "note").read_text()) == 7


def test_a_module_that_kills_is_named(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("41")
    with pytest.raises(AssertionError, match="exit 1 at example 41"):
        hold(fuzz, 0, "no number", tmp_path / "note")  # type: ignore[arg-type]


def test_the_same_number_is_the_same_module() -> None:
    assert [example(number) for number in range(50)] == [example(number) for number in range(50)]
    assert len({example(number) for number in range(500)}) > 450


def test_a_whole_module_can_be_taken_apart() -> None:
    for wasm in whole_modules():
        again = w.module(*(w.section(*each) for each in split(wasm)))
        assert split(again) == split(wasm)
        assert check(again) == check(wasm) == "agreed"
        assert read_module(again, wasm_fuzz.LIMITS) == read_module(wasm, wasm_fuzz.LIMITS)
