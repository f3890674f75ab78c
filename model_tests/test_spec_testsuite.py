"""The WebAssembly specification's own tests, from a folder that the user names; and the runner, on scripts of our own.

    git clone https://github.com/WebAssembly/testsuite /tmp/testsuite
    SPEC_TESTSUITE=/tmp/testsuite .venv/bin/pytest model_tests/test_spec_testsuite.py

No file of that suite is kept here.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

import wast_run
from hotswap._runtime import WasmRuntime
from runtime_modules import alone, nothing_leaks, resources
from wast import BadScript, bits, bits_of, is_as, is_signalling, read, unquoted, value_of
from wast_run import SIGNALLING, SWITCHED_OFF, VALUES, ran, suite

VARIABLE = "SPEC_TESTSUITE"
LEAST = {
    "loaded": 500,
    "returned as expected": 10_000,
    "trapped as expected": 1_000,
    "did not start, as expected": 10,
    "assert_invalid: ModuleRejected": 500,
    "assert_invalid: UnsupportedModule": 1,
    "assert_malformed: MalformedModule": 200,
    "assert_malformed: wasmtime does not assemble it": 500,
}
"""Of the whole suite. Less means that it was not read."""


@pytest.mark.timeout(3_600)
@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no folder with the specification's tests")
def test_the_specifications_tests_hold(call_path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    note = tmp_path / "note"
    child = alone(suite, os.environ[VARIABLE], str(note), timeout=3_000)
    assert child.returncode == 0, f"exit {child.returncode} in {note.read_text()}: {child.stderr[-3000:]}"
    results = json.loads(child.stdout.partition("[survived]")[0])
    became = sum((Counter(result["became"]) for result in results.values()), Counter[str]())
    with capsys.disabled():
        sys.stdout.write("\n" + "".join(f"{count:>7} {fate}\n" for fate, count in sorted(became.items())))
    wrong = [f"{name}, {what}" for name, result in results.items() for what in result["wrong"]]
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:50])
    missing = {fate: became[fate] for fate, least in LEAST.items() if became[fate] < least}
    assert not missing, f"expected the whole suite in {os.environ[VARIABLE]!r}, found too few of {missing}"


# The runner, on a script of our own ------------------------------------------------------------------------

OWN = r"""
;; a comment ( with " in it
(; one (; in ;) another ;)
(@note (of) "any kind")
(module $first (@why)
  (memory 1)
  (global $g (mut i32) (i32.const 0))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "both") (param i64) (result i64 f64) (local.get 0) (f64.const 0x1.8p1))
  (func (export "same32") (param f32) (result f32) (local.get 0))
  (func (export "same64") (param f64) (result f64) (local.get 0))
  (func (export "nan") (result f32) (f32.div (f32.const 0) (f32.const 0)))
  (func (export "div") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
  (func (export "set") (param i32) (global.set $g (local.get 0)))
  (func (export "get") (result i32) (global.get $g))
  (func (export "gr\u{f6}\c3\9fe") (result i32) (i32.const 7))
  (func (export "extern") (param externref))
  (func $deep (export "deep") (call $deep)))
(assert_return (invoke "add" (i32.const 0xffff_ffff) (i32.const -1)) (i32.const -2))
(assert_return (invoke "add" (i32.const 0x7fffffff) (i32.const 1)) (i32.const 0x80000000))
(assert_return (invoke "both" (i64.const 0x8000000000000000)) (i64.const -9223372036854775808) (f64.const 3))
(assert_return (invoke "same32" (f32.const -0)) (f32.const -0x0p0))
(assert_return (invoke "same32" (f32.const nan:0x600001)) (f32.const nan:0x600001))
(assert_return (invoke "same32" (f32.const -inf)) (f32.const -inf))
(assert_return (invoke "same64" (f64.const -nan:0x4000000000001)) (f64.const -nan:0x4000000000001))
(assert_return (invoke "same64" (f64.const 1e308)) (f64.const 1e308))
(assert_return (invoke "nan") (f32.const nan:canonical))
(assert_return (invoke "nan") (f32.const nan:arithmetic))
(assert_return (invoke "gr\u{f6}\c3\9fe") (i32.const 7))
(assert_return (invoke $first "set" (i32.const 5)))
(invoke "set" (i32.const 6))
(assert_return (invoke "get") (i32.const 6))
(assert_trap (invoke "div" (i32.const 0)) "integer divide by zero")
(assert_return (invoke "get") (i32.const 6))
(assert_exhaustion (invoke "deep") "call stack exhausted")
(assert_trap (module (func $f unreachable) (start $f)) "unreachable")
(module binary "\00asm" "\01\00\00\00")
(module quote "(func (export \"f\"))")
(assert_return (invoke "f"))
(assert_return (invoke $first "get") (i32.const 6))
(assert_invalid (module (func (result i32))) "type mismatch")
(assert_malformed (module binary "\00asm" "\01\00\00\00" "\01") "unexpected end")
(assert_malformed (module quote "(func" "(") "unexpected token")
"""


def test_what_a_script_says_is_compared(call_path: str) -> None:
    with nothing_leaks():
        script = ran(OWN)
    assert script.wrong == []
    assert script.became == {
        "loaded": 3,
        "returned as expected": 16,
        "returned": 1,
        "trapped as expected": 2,
        "did not start, as expected": 1,
        "assert_invalid: ModuleRejected": 1,
        "assert_malformed: MalformedModule": 1,
        "assert_malformed: wasmtime does not assemble it": 1,
    }


ADD = '(module (func (export "add") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))\n'
ABYSS = '(module (func (export "f") unreachable))'
WANTS = '(module (import "a" "b" (func)))'
FLOAT = '(module (func (export "f") (result f32) (f32.const {})))\n(assert_return (invoke "f") (f32.const {}))'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ADD + '(assert_return (invoke "add" (i32.const 1)) (i32.const 3))', "line 2: assert_return: .* found 2"),
        (ADD + '(assert_return (invoke "add" (i32.const 1)))', "expected \\[\\], found 2"),
        (ADD + '(assert_return (invoke "add" (i32.const 1)) (i64.const 2) (i32.const 2))', "found 2"),
        (
            ADD + '(assert_return (invoke "add") (i32.const 2))',
            "expected a call, found add.*: expected 1 arguments, found 0",
        ),
        (ADD + '(assert_return (invoke "sub"))', "expected a function 'sub'"),
        (ADD + '(assert_trap (invoke "add" (i32.const 1)) "why")', "expected a trap, found 2"),
        (ADD + '(assert_exhaustion (invoke "add" (i32.const 1)) "why")', "expected a trap, found 2"),
        (
            '(module (func (export "f") unreachable))(assert_return (invoke "f"))',
            "expected a return, found .*unreachable",
        ),
        ('(module (func (export "f") unreachable))(invoke "f")', "expected a return, found .*unreachable"),
        ('(assert_invalid (module) "why")', "expected a module that is refused .*, and it is admitted: 00 61 73 6d"),
        ('(assert_malformed (module binary "\\00asm\\01\\00\\00\\00") "why")', "expected a module that is refused"),
        ('(assert_malformed (module quote "(func)") "why")', "expected a module that is refused"),
        ("(module" + "(table 1 funcref)" * 5 + ")", "expected a valid module, found .*at most 4 tables"),
        ("(module (func (result i32)))", "expected a valid module, found .*type mismatch"),
        ('(module binary "\\00asm\\01\\00\\00\\00\\01")', "expected a valid module, found"),
        ("(module (func $f unreachable) (start $f))", "expected a module that starts, found"),
        ('(assert_trap (module) "why")', "expected a module that does not start, and it does"),
        ('(assert_return (invoke $nobody "f"))', "expected a module '\\$nobody'"),
        (FLOAT.format("0", "-0"), "found 0.0"),
        (FLOAT.format("nan", "nan:0x400001"), "found nan"),
        (FLOAT.format("nan:0x600000", "nan:canonical"), "found nan"),
    ],
)
def test_what_is_not_as_a_script_says_is_told(text: str, says: str) -> None:
    wrong = ran(text).wrong
    assert len(wrong) == 1
    assert re.search(f"(?s){says}", wrong[0]), wrong


def test_a_product_that_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    load = WasmRuntime.load
    empty = b"\0asm\1\0\0\0"
    monkeypatch.setattr(WasmRuntime, "load", lambda self, wasm, manifest: load(self, empty, manifest))
    wrong = ran(OWN).wrong
    assert any("assert_invalid: expected a module that is refused" in each for each in wrong)
    assert any("assert_malformed: expected a module that is refused" in each for each in wrong)
    monkeypatch.setattr(WasmRuntime, "load", load)
    monkeypatch.setattr(wast_run, "MANIFEST", resources(timeout_ms=1))
    (told,) = ran('(module (func (export "f") (loop br 0))) (assert_exhaustion (invoke "f") "call stack")').wrong
    assert "expected a trap, found DeadlineExceeded" in told
    monkeypatch.setattr(wast_run, "compiles", lambda wasm: True)
    (told,) = ran('(module (func (export "f") (param v128)))').wrong
    assert "called switched off, and our engine takes it" in told


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        (
            '(module (import "a" "b" (func)))(assert_return (invoke "f"))',
            ["imports", "calls of such modules (imports)"],
        ),
        ('(module (func (export "f") (param v128)))', [SWITCHED_OFF]),
        ("(module (func (drop (v128.const i64x2 0 0))))", [SWITCHED_OFF]),
        ("(module (memory 65536))", ["more than any manifest allows"]),
        ("(module definition)", ["definitions apart from instances"]),
        ('(module (func (export "f") (param f32)))(assert_return (invoke "f" (f32.const nan:0x1)))', [SIGNALLING]),
        (FLOAT.format("nan:0x200000", "nan:0x200000"), [SIGNALLING]),
        ('(module) (assert_return (get "g") (i32.const 1))', ["what is no call"]),
        ('(assert_unlinkable (module) "why")', ["assert_unlinkable"]),
        ('(module (func (export "f") (param externref)))(invoke "f" (ref.null extern))', [VALUES]),
    ],
)
def test_what_the_product_does_not_take_is_outside(text: str, reasons: list[str]) -> None:
    script = ran(text)
    assert script.wrong == []
    assert [fate for fate in script.became if fate.startswith("outside")] == [f"outside: {why}" for why in reasons]


KEEP = '(module $m (global $g (mut i32) (i32.const 0)) (func (export "get") (result i32) (global.get $g))'


@pytest.mark.parametrize(
    "text",
    [
        KEEP + '(func (export "put") (param externref)))\n(invoke "put" (ref.extern 1))',
        KEEP + '(func (export "put") (param externref)))\n(assert_return (invoke $m "put" (ref.extern 1)))',
        KEEP + '(func (export "put") (param f32)))\n(invoke "put" (f32.const nan:0x1))',
        KEEP + ')\n(register "m" $m)\n(module (import "m" "get" (func (result i32))))',
        KEEP + ')\n(register "m")\n(assert_unlinkable (module (import "m" "put" (func))) "why")',
    ],
)
def test_an_instance_that_something_outside_may_have_changed_is_outside(text: str) -> None:
    script = ran(text + '\n(assert_return (invoke $m "get") (i32.const 1))')
    assert script.wrong == []
    assert script.became["outside: calls of such modules (changed by what is outside)"] == 1


def test_a_module_without_parentheses_is_one() -> None:
    assert ran('(func (export "f"))\n(memory 1)').became == {"loaded": 1}


def test_a_folder_of_scripts_is_run_but_for_other_versions_of_the_language(tmp_path: Path) -> None:
    for name, text in {"a.wast": ADD, "b/c.wast": "(module (func (result i32)))", "proposals/x.wast": "("}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    results = json.loads(suite(str(tmp_path), str(tmp_path / "note")))
    assert [*results] == ["a.wast", "b/c.wast"]
    assert results["a.wast"] == {"became": {"loaded": 1}, "wrong": []}
    assert len(results["b/c.wast"]["wrong"]) == 1
    assert (tmp_path / "note").read_text() == "b/c.wast"


# The form of scripts ---------------------------------------------------------------------------------------


def test_a_script_is_read_into_forms() -> None:
    (form,) = read('(a (;x;) "b)\\"" (c $d) ;; e)\r (@f (g)) h)')
    assert (form.head, form.word(1), form.word(9), form.texts()) == ("a", '"b)\\""', "", [b'b)"'])
    assert [inner.items for inner in form.forms()] == [["c", "$d"]]
    assert form.items[-1] == "h"


def test_a_script_of_another_form_is_refused() -> None:
    for text in "(a", "(a))", "(; a", "(a (b)":
        with pytest.raises(BadScript):
            list(read(text))


def test_texts_are_unquoted() -> None:
    assert unquoted(r'"\00\ff\t\n\"\\\'\u{20ac}é"') == b"\x00\xff\t\n\"\\'\xe2\x82\xac\xc3\xa9"


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("i32", "-1", 0xFFFF_FFFF),
        ("i64", "-0x8000_0000_0000_0000", 1 << 63),
        ("f32", "-0x1.fffffep+127", 0xFF7F_FFFF),
        ("f32", "1e-45", 1),
        ("f32", "nan", 0x7FC0_0000),
        ("f32", "-nan:0x20_0000", 0xFFA0_0000),
        ("f64", "inf", 0x7FF0_0000_0000_0000),
        ("f64", "-0.0", 1 << 63),
        ("f64", "nan:0x1", 0x7FF0_0000_0000_0001),
    ],
)
def test_numbers_are_read_to_the_bit(kind: str, text: str, expected: int) -> None:
    assert bits(kind, text) == expected
    assert is_as(kind, text, expected)
    assert not is_as(kind, text, expected ^ 1)
    if not (kind == "f32" and is_signalling(kind, expected)):
        assert bits_of(kind, value_of(kind, expected)) == expected


@pytest.mark.parametrize(
    ("kind", "of", "canonical", "arithmetic", "signalling"),
    [
        ("f32", 0x7FC0_0000, True, True, False),
        ("f32", 0xFFC0_0000, True, True, False),
        ("f32", 0x7FC0_0001, False, True, False),
        ("f32", 0x7FA0_0000, False, False, True),
        ("f32", 0x7F80_0000, False, False, False),
        ("f64", 0xFFF8_0000_0000_0000, True, True, False),
        ("f64", 0x7FF0_0000_0000_0001, False, False, True),
        ("f64", 0x3FF8_0000_0000_0000, False, False, False),
    ],
)
def test_kinds_of_nan_are_told_apart(kind: str, of: int, canonical: bool, arithmetic: bool, signalling: bool) -> None:
    assert is_as(kind, "nan:canonical", of) is canonical
    assert is_as(kind, "nan:arithmetic", of) is arithmetic
    assert is_signalling(kind, of) is signalling
    assert math.isnan(value_of(kind, of)) is (arithmetic or signalling)
