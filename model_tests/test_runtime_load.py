"""What is accepted as a plugin, what is refused, and that a refusal leaves nothing behind (S4, S8)."""

from __future__ import annotations

import gc
import hashlib
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import wasmtime

import hotswap
from hotswap import HotReloadablePlugin
from runtime_modules import ANSWER, CALLS, LOOP, load, nothing_leaks, resources, running, survive

pytestmark = pytest.mark.usefixtures("call_path")

WAT = f"(module {ANSWER})"
WASM = bytes(wasmtime.wat2wasm(WAT))
MAGIC = b"\0asm"
SPIN = "(loop br 0)"
PAGES_A_MB = 16


@pytest.fixture(autouse=True)
def leak_check() -> Iterator[None]:
    with nothing_leaks():
        yield


# What a plugin may be given as -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wasm",
    [
        WASM,
        bytearray(WASM),
        memoryview(WASM),
        memoryview(WASM + WASM)[: len(WASM)],
        WAT,
        f" \t\r\n {WAT}",
        f";; a comment\n{WAT}",
        f"\n  ;; (module\n;; another\n{WAT}",
        f"(; a comment ;){WAT}",
        ANSWER,
    ],
)
def test_bytes_and_wat_are_accepted(wasm: object) -> None:
    with running(wasm) as instance:
        assert instance.call("answer", ()) == 42


@pytest.mark.parametrize("name", ["p.wasm", "p.wat", "p", "( p ;;.wasm", "ü.wat"])
@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("content", [WASM, WAT.encode()], ids=["wasm", "wat"])
def test_a_path_is_accepted(tmp_path: Path, name: str, kind: type[str | Path], content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if content == WASM or path.suffix == ".wat":
        with running(kind(path)) as instance:
            assert instance.call("answer", ()) == 42
    else:
        with pytest.raises(hotswap.ModuleRejected, match="starts with"):
            load(kind(path))


def pinning(digest: str) -> hotswap.PluginManifest:
    return hotswap.ManifestBuilder("p", "1.0.0").pin(digest).build()


def test_what_a_manifest_does_not_pin_is_not_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(WASM).hexdigest()
    path = tmp_path / "p.wasm"
    path.write_bytes(WASM)
    for wasm in (WASM, WAT, path):
        HotReloadablePlugin("p", wasm, pinning(digest)).close()

    def reached(*arguments: object) -> None:
        raise AssertionError("wasmtime was given the bytes")

    monkeypatch.setattr(wasmtime, "Module", reached)
    other = bytes(wasmtime.wat2wasm("(module)"))
    path.write_bytes(other)
    for wasm in (other, "(module)", path):
        with pytest.raises(hotswap.DigestMismatch) as refusal:
            HotReloadablePlugin("p", wasm, pinning(digest))
        assert f"expected the module with SHA-256 {digest}" in str(refusal.value)
        assert f"found {hashlib.sha256(other).hexdigest()}; load the module" in str(refusal.value)


def test_an_upgrade_to_a_module_that_is_not_the_pinned_one_leaves_the_version_that_serves() -> None:
    digest = hashlib.sha256(WASM).hexdigest()
    with HotReloadablePlugin("p", WASM, pinning(digest)) as plugin:
        with pytest.raises(hotswap.DigestMismatch):
            plugin.upgrade("(module)", pinning(digest), allow_rebuild=True)
        plugin.upgrade(WASM, pinning(digest))
        assert plugin.stats().failures == {"DigestMismatch": 1}


def test_one_module_is_one_digest_however_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "p.wat"
    path.write_text(WAT)
    assert len({load(wasm).facts.digest for wasm in (WASM, WAT, path, str(path))}) == 1
    assert load("(module)").facts.digest != load(WAT).facts.digest


def test_the_facts_are_the_exported_functions() -> None:
    facts = load(f'(module (memory (export "memory") 1) {ANSWER} (func (export "f") (param i64 f32)))').facts
    assert {name: str(signature) for name, signature in facts.functions.items()} == {
        "answer": "() -> i32",
        "f": "(i64, f32) -> ()",
    }


# What is no module -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wasm", "expected"),
    [
        (b"", "found nothing"),
        (b"\0", "found 1 bytes"),
        (b"garbage", "found 7 bytes that start with b'garb'"),
        (WAT.encode(), "the bytes given: expected a wasm module"),
        (MAGIC, "version bytes b''"),
        (MAGIC + b"\2\0\0\0", "expected wasm version 1"),
        (MAGIC + b"\x0d\0\1\0", "found a component"),
        (
            WASM[:-1],
            "header of a section, byte 31: expected a section of 6 bytes, found 5 until the end; the module is",
        ),
        (WASM + b"\0", "header of a section, byte 40: expected the size of a section, found the end"),
        ("(module", "does not parse"),
        ("(module (func (result i32)))", "does not compile"),
        (";; nothing but a comment \ud800", "does not parse"),
        ("(module) ;; \ud800", "does not parse"),
        ("(" * 100_000, "does not parse"),
        ("", "cannot be read"),
        ("no/such/file.wasm", "cannot be read.*No such file"),
        ("nul\0byte", "cannot be read"),
        ("long" * 10_000, "cannot be read"),
        ("surrogate \ud800", "cannot be read"),
        (None, "expected bytes, a path or WAT text, found NoneType"),
        (7, "expected bytes, a path or WAT text, found int"),
        ([WASM], "expected bytes, a path or WAT text, found list"),
    ],
)
def test_what_is_no_module_is_refused(wasm: object, expected: str) -> None:
    with pytest.raises(hotswap.ModuleRejected, match=rf"(?s){expected}"):
        load(wasm)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("empty.wasm", b"", "found nothing"),
        ("p.wasm", b"\x7fELF", "starts with"),
        ("latin.wat", "(module) ;; ü".encode("latin-1"), "expected WAT in UTF-8"),
        ("bad.wat", b"(module", "does not parse"),
        ("half.wasm", WASM[:-3], r"half.wasm': header of a section, byte 31: expected a section of 6 bytes"),
        ("component.wasm", MAGIC + b"\x0d\0\1\0", "found a component"),
    ],
)
def test_a_file_that_is_no_module_is_refused(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(hotswap.ModuleRejected, match=expected):
        load(tmp_path / name)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(hotswap.ModuleRejected, match=r"cannot be read.*directory"):
        load(tmp_path)


def load_damaged_modules() -> str:
    """Each cut and each flipped bit of a module that has a bit of everything."""
    wat = f"""(module {ANSWER} {LOOP} (memory (export "memory") 1) (data (i32.const 8) "data")
      (type $f (func (param i32) (result i64))) (table (export "table") 2 funcref) (elem (i32.const 0) $g)
      (global $n (export "global") (mut f64) (f64.const 1)) (start $s) (func $s (global.set $n (f64.const 2)))
      (func $g (type $f) (i64.extend_i32_s (call_indirect (result i32) (local.get 0)))))"""
    whole = bytes(wasmtime.wat2wasm(wat))
    cuts = [whole[:size] for size in range(len(whole))]
    flips = [
        bytes([*whole[:at], whole[at] ^ 1 << bit, *whole[at + 1 :]]) for at in range(len(whole)) for bit in range(8)
    ]
    refused = 0
    for wasm in (*cuts, *flips):
        try:
            load(wasm, timeout_ms=20).instantiate(probe=True).close()
        except hotswap.ModuleRejected:
            refused += 1
    return f"{len(cuts) + len(flips)} {refused}"


def test_a_damaged_module_is_refused_or_runs_but_never_kills_the_process() -> None:
    tried, refused = map(int, survive(load_damaged_modules).split())
    assert tried > 1000
    assert tried / 2 < refused < tried


# What a module asks for ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (
            '(import "env" "log" (func (param i32)))',
            r"granted is: nothing\n  - env\.log, a function \(i32\) -> \(\): not granted",
        ),
        (
            '(import "env" "m" (memory 1)) (import "a b" "" (global i32))',
            r"env\.m, a memory .*: not granted\n  - a b\., a global i32: not",
        ),
        (
            '(import "wasi_snapshot_preview1" "fd_write" (func))',
            r"wasi_snapshot_preview1\.fd_write, (.|\n)*without WASI",
        ),
        ('(import "e" "t" (table 1 externref))', r"e\.t, a table externref: not granted"),
        (
            "".join(f'(import "e" "f{n}" (func))' for n in range(12)),
            r"e\.f9, a function .*: not granted\n  - and 2 more\n",
        ),
    ],
)
def test_an_import_is_refused_and_named(wanted: str, expected: str) -> None:
    with pytest.raises(hotswap.ModuleRejected, match=expected):
        load(f"(module {wanted})")


def test_a_thousand_exports_are_accepted_and_more_are_not() -> None:
    def exporting(count: int) -> str:
        exports = "".join(f'(export "f{n}" (func $f))' for n in range(count))
        return f"(module (func $f) {exports})"

    with running(exporting(1000)) as instance:
        assert instance.call("f999", ()) is None
    with pytest.raises(hotswap.ModuleRejected, match="at most 1000 exports, found 1001"):
        load(exporting(1001))


@pytest.mark.parametrize(
    ("wasm", "expected"),
    [
        (f"(module (memory {2 * PAGES_A_MB + 1}))", "memory minimum size of 33 pages exceeds"),
        ("(module (table 100001 funcref))", "table minimum size of 100001 elements exceeds"),
        ("(module (table 100001 externref))", "table minimum size of 100001 elements exceeds"),
    ],
)
def test_a_module_that_asks_for_more_than_it_may_have_is_refused(wasm: str, expected: str) -> None:
    code = load(wasm, memory_limit_mb=2)
    with pytest.raises(hotswap.ModuleRejected, match=rf"within its manifest's resources: .*{expected}") as caught:
        code.instantiate(probe=False)
    assert not isinstance(caught.value, hotswap.InitFailed)


def test_four_tables_are_accepted_and_more_are_not() -> None:
    with running(f"(module {'(table 1 funcref)' * 4})"):
        pass
    with pytest.raises(hotswap.LimitExceeded, match="table section, byte 10: expected at most 4 tables, found 5"):
        load(f"(module {'(table 1 funcref)' * 5})")


@pytest.mark.parametrize("limit_mb", [1, 3])
def test_a_memory_grows_up_to_its_limit(limit_mb: int) -> None:
    wasm = '(module (memory 1) (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))'
    limit = limit_mb * PAGES_A_MB
    with running(wasm, memory_limit_mb=limit_mb) as instance:
        assert instance.call("grow", (limit,)) == -1
        assert instance.call("grow", (limit - 1,)) == 1
        assert instance.call("grow", (1,)) == -1
        assert instance.call("grow", (0,)) == limit
        assert not instance.broken


@pytest.mark.parametrize("reference", ["func", "extern"])
def test_a_table_grows_up_to_its_limit(reference: str) -> None:
    wasm = f"""(module (table $t 1 {reference}ref)
      (func (export "grow") (param i32) (result i32) (table.grow $t (ref.null {reference}) (local.get 0))))"""
    with running(wasm) as instance:
        assert instance.call("grow", (100_000,)) == -1
        assert instance.call("grow", (99_999,)) == 1
        assert instance.call("grow", (1,)) == -1
        assert not instance.broken


# Start, init and probe -------------------------------------------------------------------------------------


def hook(name: str, body: str, signature: str = "(result i32)") -> str:
    return f'(module {ANSWER} (func (export "{name}") {signature} {body}))'


def start(body: str) -> str:
    return f"(module {ANSWER} (func $s {body}) (start $s))"


FAULTS = [
    ("unreachable", {}, "unreachable"),
    (f"{SPIN} unreachable", {"timeout_ms": 30}, "ran longer than 30 ms"),
    (f"{SPIN} unreachable", {"fuel_limit": 5_000}, "used more than 5000 units of fuel"),
]


@pytest.mark.parametrize(("body", "limits", "expected"), FAULTS)
def test_a_start_that_fails_is_an_init_that_failed(body: str, limits: dict[str, int], expected: str) -> None:
    code = load(start(body), **limits)
    with pytest.raises(hotswap.InitFailed, match=f"(?s)the module's start failed: .*{expected}"):
        code.instantiate(probe=True)


@pytest.mark.parametrize(
    ("name", "error"), [("hotswap_init", hotswap.InitFailed), ("hotswap_probe", hotswap.ProbeFailed)]
)
@pytest.mark.parametrize(
    ("body", "limits", "expected"),
    [
        *FAULTS,
        ("i32.const 1", {}, "expected 0, found 1"),
        ("i32.const -1", {}, "expected 0, found -1"),
    ],
)
def test_an_init_or_a_probe_that_fails_is_told(
    name: str, error: type[hotswap.ModuleRejected], body: str, limits: dict[str, int], expected: str
) -> None:
    code = load(hook(name, body), **limits)
    with pytest.raises(error, match=f"(?s){name}.*{expected}") as caught:
        code.instantiate(probe=True)
    assert type(caught.value) is error


@pytest.mark.parametrize("name", ["hotswap_init", "hotswap_probe"])
@pytest.mark.parametrize("signature", ["(param i32) (result i32)", "(result i32 i32)", "(result externref)", ""])
def test_an_init_or_a_probe_of_another_signature_is_refused_at_once(name: str, signature: str) -> None:
    with pytest.raises(hotswap.ModuleRejected, match=rf"{name!r}: expected \(\) -> i32, as hotswap calls it"):
        HotReloadablePlugin("p", hook(name, "unreachable", signature), resources())


def test_the_probe_runs_only_when_asked_for() -> None:
    code = load(hook("hotswap_probe", "i32.const 1"))
    instance = code.instantiate(probe=False)
    assert instance.call("answer", ()) == 42
    instance.close()
    with pytest.raises(hotswap.ProbeFailed):
        code.instantiate(probe=True)


def test_start_init_and_probe_run_once_each_in_this_order() -> None:
    wasm = """(module (global $log (mut i32) (i32.const 0))
      (func $s (call $note (i32.const 1))) (start $s)
      (func (export "hotswap_init") (result i32) (call $note (i32.const 2)) i32.const 0)
      (func (export "hotswap_probe") (result i32) (call $note (i32.const 3)) i32.const 0)
      (func $note (param i32) (global.set $log (i32.add (local.get 0) (i32.mul (global.get $log) (i32.const 10)))))
      (func (export "log") (result i32) (global.get $log)))"""
    for probe, log in ((False, 12), (True, 123)):
        with running(wasm, probe=probe) as instance:
            assert instance.call("log", ()) == log


def test_init_runs_in_every_instance_and_in_every_replacement() -> None:
    wasm = """(module (global $ready (mut i32) (i32.const 0))
      (func (export "hotswap_init") (result i32) (global.set $ready (i32.const 1)) i32.const 0)
      (func (export "ready") (result i32) (global.get $ready))
      (func (export "trap") unreachable))"""
    with HotReloadablePlugin("p", wasm, resources(max_instances=2)) as plugin:
        for _ in range(6):
            assert plugin.call("ready") == 1
            with pytest.raises(hotswap.CallTrapped):
                plugin.call("trap")


@pytest.mark.parametrize(
    "wasm",
    [
        start("unreachable"),
        hook("hotswap_init", "i32.const 1"),
        hook("hotswap_probe", "i32.const 1"),
        "(module (memory 99))",
    ],
    ids=["start", "init", "probe", "memory"],
)
def test_a_module_that_fails_many_times_leaves_nothing_behind(wasm: str) -> None:
    code = load(wasm)
    for _ in range(50):
        with pytest.raises(hotswap.ModuleRejected):
            code.instantiate(probe=True)
    with pytest.raises(hotswap.ModuleRejected):
        HotReloadablePlugin("p", wasm, resources(max_instances=3))


@pytest.mark.parametrize("content", ["", "  \n"])
def test_a_blank_wat_file_is_refused_like_any_half_written_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "half.wat"
    path.write_text(content)
    with pytest.raises(hotswap.ModuleRejected, match="expected a wasm module"):
        load(path)


# Compiled modules ------------------------------------------------------------------------------------------


def test_the_same_bytes_are_compiled_once_for_each_engine_and_kept_while_they_are_used() -> None:
    wasm = bytes(wasmtime.wat2wasm(f"(module {ANSWER})"))
    first, second, metered = load(wasm), load(bytearray(wasm)), load(wasm, fuel_limit=1_000)
    assert first._module is second._module
    assert first._module is not metered._module
    kept = weakref.ref(first._module)
    del first
    assert kept() is second._module
    del second
    gc.collect()
    assert kept() is None
    instance = load(wasm).instantiate(probe=False)
    assert instance.call("answer", ()) == 42
    instance.close()


def test_instances_of_a_shared_module_have_a_memory_and_globals_of_their_own() -> None:
    with running(CALLS) as one, running(CALLS) as other:
        assert [one.call("count", ()) for _ in range(3)] == [1, 2, 3]
        assert other.call("count", ()) == 1
