"""The command line: every command, in words and in JSON, and what it says when something is wrong."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from click.testing import CliRunner, Result

from hotswap import PluginManifest
from hotswap._cli_commands import cli
from hotswap._runtime import CENSUS
from hotswap._runtime._inspect import Item, inspect_module
from hotswap._signature import Signature
from hotswap._wasm import Pages

MATH = """(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
  (func (export "both") (param i64) (result i64 i64) (local.get 0) (i64.sub (i64.const 0) (local.get 0)))
  (func (export "nothing"))
  (func (export "trap") unreachable)
  (func (export "spin") (loop br 0)))"""

ECHO = """(module
  (memory (export "memory") 1 3)
  (func (export "hotswap_alloc") (param i32) (result i32) i32.const 1024)
  (func (export "hotswap_free") (param i32 i32))
  (func (export "echo") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))"""

WANTS_HOST = """(module
  (import "env" "log" (func (param i32)))
  (import "env" "level" (global i32))
  (import "env" "names" (table 1 funcref))
  (func (export "run")))"""

SHIPPED = Path(__file__).resolve().parents[1] / "impl" / "hotswap" / "_demo" / "plugins"


def run(*args: str | Path, stdin: bytes = b"") -> Result:
    """Run one command; a traceback is a failure of the test, and so is an instance left open."""
    open_before = CENSUS.alive
    result = CliRunner().invoke(cli, [str(arg) for arg in args], input=stdin, prog_name="hotswap")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert CENSUS.alive <= open_before
    return result


def answer(*args: str | Path, status: int = 0) -> Any:
    """Run one command with --json; nothing else is written."""
    result = run(*args, "--json")
    assert (result.exit_code, result.stderr) == (status, "")
    return json.loads(result.stdout)


def refused(*args: str | Path) -> str:
    """Run one command that must fail; what it says on stderr."""
    result = run(*args)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr
    return result.stderr


def plugin(folder: Path, stem: str, wat: str, toml: str = "") -> Path:
    path = folder / f"{stem}.wat"
    path.write_text(wat)
    if toml:
        path.with_suffix(".toml").write_text(toml)
    return path


def toml(version: str, *functions: str, name: str = "p", more: str = "") -> str:
    return f'[plugin]\nname = "{name}"\nversion = "{version}"\n{more}\n[exports]\nfunctions = {json.dumps(functions)}\n'


def numbered(number: int, *, extra: str = "") -> str:
    return f'(module (func (export "version") (result i32) i32.const {number}) {extra})'


def hook(name: str, body: str) -> str:
    return f'(func (export "hotswap_{name}") (result i32) {body})'


@pytest.fixture
def math(tmp_path: Path) -> Path:
    return plugin(tmp_path, "math", MATH)


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    return plugin(tmp_path, "echo", ECHO)


# call: numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "printed", "result"),
    [
        (["add", "1", "2"], "3\n", 3),
        (["add", "-1", "-2"], "-3\n", -3),
        (["add", "0x1f", "-0x10"], "15\n", 15),
        (["half", "-0.5"], "-0.25\n", -0.25),
        (["half", "1e3"], "500.0\n", 500.0),
        (["half", "7"], "3.5\n", 3.5),
        (["half", "-inf"], "-inf\n", "-inf"),
        (["half", "nan"], "nan\n", "nan"),
        (["both", "5"], "5 -5\n", [5, -5]),
        (["nothing"], "", None),
    ],
)
def test_a_call_prints_its_result(math: Path, args: list[str], printed: str, result: object) -> None:
    done = run("call", math, *args)
    assert (done.exit_code, done.stdout, done.stderr) == (0, printed, "")
    assert answer("call", math, *args) == {"result": result}


@pytest.mark.parametrize(
    ("args", "error", "words"),
    [
        (["add", "1"], "BadArgument", "expected 2 arguments, found 1"),
        (["add", "1", "2", "3"], "BadArgument", "expected 2 arguments, found 3"),
        (
            ["add", "1", "two"],
            "BadArgument",
            "argument 2 (i32): expected an integer such as 7, -7 or 0x1f, found 'two'",
        ),
        (["add", "1", "2.5"], "BadArgument", "found '2.5'"),
        (["add", "1", "--tow"], "BadArgument", "found '--tow'"),
        (["add", "1", "0x80000000"], "BadArgument", "signed 32-bit"),
        (["half", "x"], "BadArgument", "argument 1 (f64): expected a number"),
        (["none", "1"], "UnknownFunction", "add(i32, i32) -> i32"),
        (["trap"], "CallTrapped", "unreachable"),
        (["spin"], "OutOfFuel", "fuel_limit"),
    ],
)
def test_a_call_that_fails_says_why(math: Path, args: list[str], error: str, words: str) -> None:
    assert refused("call", math, *args).startswith(f"error: {error}: ")
    said = answer("call", math, *args, status=1)
    assert said["error"] == error
    assert words in said["message"]
    assert said.keys() == {"error", "message"}


def test_a_call_runs_under_the_limits_of_the_manifest_beside_the_plugin(tmp_path: Path) -> None:
    limits = "[resources]\nfuel_limit = 0\ntimeout_ms = 20"
    spin = plugin(tmp_path, "spin", MATH, toml("1.0.0", "spin", more=limits))
    assert "longer than 20 ms" in refused("call", spin, "spin")


def test_a_manifest_that_is_given_goes_before_the_one_beside_the_plugin(tmp_path: Path) -> None:
    path = plugin(tmp_path, "p", MATH, toml("1.0.0", "not_there"))
    assert "not_there" in refused("call", path, "add", "1", "2")
    (tmp_path / "other.toml").write_text(toml("1.0.0", "add"))
    assert run("call", path, "add", "1", "2", "--manifest", tmp_path / "other.toml").stdout == "3\n"


@pytest.mark.parametrize("stem", ["größe 1.0", "x" * 200, "-"])
def test_a_plugin_without_a_manifest_may_have_any_file_name(tmp_path: Path, stem: str) -> None:
    assert run("call", plugin(tmp_path, stem, MATH), "add", "1", "2").stdout == "3\n"


def test_a_file_of_wasm_is_called_too(tmp_path: Path) -> None:
    (tmp_path / "p.wasm").write_bytes(bytes(wasmtime.wat2wasm(MATH)))
    assert run("call", tmp_path / "p.wasm", "add", "1", "2").stdout == "3\n"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["call", "{}/absent.wasm", "f"], "ModuleRejected"),
        (["call", "{}", "f"], "ModuleRejected"),
        (["call", "{}/math.wat", "add", "1", "2", "--manifest", "{}/absent.toml"], "ManifestError"),
        (["inspect", "{}/absent.wasm"], "ModuleRejected"),
        (["check", "{}/math.wat", "{}/absent.wasm"], "ModuleRejected"),
        (["check", "{}/absent.wasm", "{}/math.wat"], "ModuleRejected"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, math: Path, args: list[str], error: str) -> None:
    filled = [arg.format(tmp_path) for arg in args]
    said = refused(*filled)
    assert str(tmp_path) in said
    assert f"{error}: " in said
    assert answer(*filled, status=1)["error"] == error


def test_a_plugin_that_is_not_fit_to_serve_is_not_called(tmp_path: Path) -> None:
    path = plugin(tmp_path, "p", numbered(1, extra=hook("probe", "i32.const 3")))
    assert refused("call", path, "version").startswith("error: ProbeFailed: hotswap_probe: expected 0, found 3")


# call: bytes -----------------------------------------------------------------------------------------------

EVERY_BYTE = bytes(range(256))


def test_a_bytes_call_writes_its_reply_raw(echo: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(EVERY_BYTE)
    assert run("call", echo, "echo", "--bytes", "größe").stdout_bytes == "größe".encode()
    assert run("call", echo, "echo", "--bytes-file", tmp_path / "data").stdout_bytes == EVERY_BYTE
    assert run("call", echo, "echo", "--bytes-file", "-", stdin=EVERY_BYTE).stdout_bytes == EVERY_BYTE
    assert run("call", echo, "echo", "--bytes", "").stdout_bytes == b""


def test_a_bytes_call_writes_its_reply_in_hexadecimal(echo: Path) -> None:
    assert run("call", echo, "echo", "--bytes", "-1", "--hex").stdout == "2d31\n"
    assert answer("call", echo, "echo", "--bytes", "-1") == {"result_hex": "2d31"}


def test_a_bytes_call_needs_a_bytes_function(math: Path) -> None:
    assert "(i32, i32) -> i64" in refused("call", math, "add", "--bytes", "x")
    assert answer("call", math, "none", "--bytes", "x", status=1)["error"] == "UnknownFunction"


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["nonsense"],
        ["call"],
        ["call", "p.wasm"],
        ["call", "p.wasm", "f", "1", "--bytes", "x"],
        ["call", "p.wasm", "f", "--bytes", "x", "--bytes-file", "-"],
        ["call", "p.wasm", "f", "--bytes-file", "/absent"],
        ["call", "p.wasm", "f", "--hex"],
        ["inspect"],
        ["inspect", "p.wasm", "--nonsense"],
        ["check", "p.wasm"],
        ["demo", "--steady", "-1"],
        ["demo", "--files", "/absent"],
    ],
)
def test_a_wrong_use_has_the_status_2(args: list[str]) -> None:
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: hotswap" in result.stderr


# inspect ---------------------------------------------------------------------------------------------------


def test_inspect_tells_what_a_module_is_made_of(echo: Path) -> None:
    binary = bytes(wasmtime.wat2wasm(ECHO))
    assert answer("inspect", echo) == {
        "size": len(binary),
        "digest": hashlib.sha256(binary).hexdigest(),
        "functions": {
            "hotswap_alloc": "(i32) -> i32",
            "hotswap_free": "(i32, i32) -> ()",
            "echo": "(i32, i32) -> i64",
        },
        "other_exports": [{"name": "memory", "kind": "memory", "type": "1 to 3 pages"}],
        "imports": [],
        "memory": {"min": 1, "max": 3},
        "hotswap_exports": {
            "hotswap_init": False,
            "hotswap_probe": False,
            "hotswap_alloc": True,
            "hotswap_free": True,
        },
        "accepted": True,
        "refusal": None,
    }
    told = run("inspect", echo).stdout
    for words in (
        hashlib.sha256(binary).hexdigest(),
        "echo(i32, i32) -> i64",
        "1 to 3 pages",
        "hotswap_init no, hotswap_probe no, hotswap_alloc yes, hotswap_free yes",
        "imports: none",
        "accepted   yes",
    ):
        assert words in told


def test_inspect_shows_the_imports_for_which_a_module_is_rejected(tmp_path: Path) -> None:
    path = plugin(tmp_path, "p", WANTS_HOST)
    facts = answer("inspect", path)
    assert facts["imports"] == [
        {"name": "env.log", "kind": "function", "type": "(i32) -> ()"},
        {"name": "env.level", "kind": "global", "type": "i32"},
        {"name": "env.names", "kind": "table", "type": "funcref"},
    ]
    assert facts["memory"] is None
    assert facts["accepted"] is False
    assert facts["refusal"]["error"] == "ModuleRejected"
    assert "env.log" in facts["refusal"]["message"]
    told = run("inspect", path).stdout
    assert "env.log: function, (i32) -> ()" in told
    assert "memory     none exported" in told
    assert "accepted   no: ModuleRejected: " in told


@pytest.mark.parametrize(
    ("wat", "manifest", "error"),
    [
        (numbered(1, extra=hook("init", "i32.const 1")), "", "InitFailed"),
        (numbered(1, extra=hook("probe", "unreachable")), "", "ProbeFailed"),
        (numbered(1), toml("1.0.0", "version", "lost"), "ModuleRejected"),
        (numbered(1), "nonsense", "ManifestError"),
        (numbered(1, extra='(memory (export "memory") 999)'), "", "ModuleRejected"),
    ],
)
def test_inspect_tells_why_a_plugin_would_not_be_accepted(tmp_path: Path, wat: str, manifest: str, error: str) -> None:
    facts = answer("inspect", plugin(tmp_path, "p", wat, manifest))
    assert (facts["accepted"], facts["refusal"]["error"]) == (False, error)


def test_inspect_cannot_look_into_what_does_not_compile(tmp_path: Path) -> None:
    broken = tmp_path / "p.wasm"
    broken.write_bytes(b"\0asm\1\0\0\0nonsense")
    assert refused("inspect", broken).startswith(f"error: MalformedModule: file {str(broken)!r}: header of a section")
    assert answer("inspect", broken, status=1)["error"] == "MalformedModule"
    broken.write_bytes(bytes(wasmtime.wat2wasm("(module (func (result i32)))")))
    assert refused("inspect", broken).startswith(f"error: ModuleRejected: file {str(broken)!r}: the module does not")


@pytest.mark.parametrize("command", [["inspect"], ["call", "f"], ["check", "old.wat"]])
def test_a_type_that_aborts_wasmtime_py_is_told_and_never_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    plugin(tmp_path, "old", numbered(1))
    plugin(tmp_path, "p", '(module (func (export "f") (result v128) (v128.const i64x2 1 2)))')
    name, *rest = command
    args = [name, *rest, "p.wat"] if name == "check" else [name, "p.wat", *rest]
    assert "UnsupportedModule: " in refused(*args)
    said = answer(*args, status=1)
    assert said["error"] == "UnsupportedModule"
    assert "expected a module without SIMD" in said["message"]


def test_a_report_tells_globals_tables_and_endless_memories_apart() -> None:
    report = inspect_module(
        """(module (memory (export "other") 2) (table (export "t") 1 funcref)
             (global (export "g") (mut i64) (i64.const 0)) (func (export "f") (result f32 f64) unreachable))"""
    )
    assert report.other_exports == (
        Item("other", "memory", "2 to any number of pages"),
        Item("t", "table", "funcref"),
        Item("g", "global", "mutable i64"),
    )
    assert report.functions == {"f": Signature((), ("f32", "f64"))}
    assert report.memory is None  # bytes calls look for the name `memory`
    assert inspect_module('(module (memory (export "memory") 2))').memory == Pages(2, None)


# check -----------------------------------------------------------------------------------------------------


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return plugin(tmp_path, "old", numbered(1), toml("1.1.0", "version"))


def test_an_upgrade_that_would_be_accepted(tmp_path: Path, old: Path) -> None:
    new = plugin(tmp_path, "new", numbered(2), toml("1.2.0", "version"))
    result = run("check", old, new)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "accepted: p 1.1.0 -> 1.2.0\n", "")
    assert answer("check", old, new) == {"accepted": True}


@pytest.mark.parametrize(
    ("wat", "manifest", "error", "words"),
    [
        (numbered(2), toml("1.0.0", "version"), "IncompatibleUpgrade", "allow_downgrade"),
        (numbered(2), toml("1.1.0", "version"), "IncompatibleUpgrade", "allow_rebuild"),
        (
            numbered(2),
            toml("2.0.0", "version", more="[capabilities]\ncan_read_table = ['users']"),
            "IncompatibleUpgrade",
            "can_read_table: expected no more than nothing, as in version 1.1.0, found also 'users'",
        ),
        (
            numbered(2),
            toml("2.0.0", "version", name="q"),
            "IncompatibleUpgrade",
            "plugin name: expected 'p', found 'q'",
        ),
        ('(module (func (export "f")))', toml("2.0.0", "f"), "IncompatibleUpgrade", "no such export"),
        (numbered(2), toml("2.0.0", "lost"), "ModuleRejected", "lost"),
        (numbered(2, extra=hook("init", "unreachable")), toml("2.0.0", "version"), "InitFailed", "unreachable"),
        (numbered(2, extra=hook("probe", "i32.const 9")), toml("2.0.0", "version"), "ProbeFailed", "found 9"),
        (WANTS_HOST, toml("2.0.0", "run"), "ModuleRejected", "env.log"),
        (numbered(2), "nonsense", "ManifestError", "TOML"),
    ],
)
def test_an_upgrade_that_would_be_refused(
    tmp_path: Path, old: Path, wat: str, manifest: str, error: str, words: str
) -> None:
    new = plugin(tmp_path, "new", wat, manifest)
    said = refused("check", old, new)
    assert said.startswith(f"refused: {error}: ")
    assert words in said
    facts = answer("check", old, new, status=1)
    assert (facts["accepted"], facts["error"]) == (False, error)
    assert words in facts["message"]


def test_a_downgrade_and_a_rebuild_can_be_allowed(tmp_path: Path, old: Path) -> None:
    older = plugin(tmp_path, "older", numbered(2), toml("1.0.0", "version"))
    rebuilt = plugin(tmp_path, "rebuilt", numbered(2), toml("1.1.0", "version"))
    assert run("check", old, older, "--allow-downgrade").exit_code == 0
    assert run("check", old, older, "--allow-rebuild").exit_code == 1
    assert run("check", old, rebuilt, "--allow-rebuild").exit_code == 0
    assert run("check", old, rebuilt, "--allow-downgrade").exit_code == 1


def test_more_than_before_can_be_allowed(tmp_path: Path, old: Path) -> None:
    larger = plugin(tmp_path, "larger", numbered(2), toml("2.0.0", "version", more="[resources]\ntimeout_ms = 200"))
    assert "timeout_ms: expected at most 100, as in version 1.1.0, found 200" in refused("check", old, larger)
    assert run("check", old, larger, "--allow-downgrade", "--allow-rebuild").exit_code == 1
    assert run("check", old, larger, "--allow-escalation").exit_code == 0
    assert run("check", larger, old, "--allow-downgrade").exit_code == 0
    bare = plugin(tmp_path, "bare", numbered(3))
    assert run("check", bare, larger).exit_code == 0


def test_check_takes_manifests_from_elsewhere(tmp_path: Path, old: Path) -> None:
    new = plugin(tmp_path, "new", numbered(2), "nonsense")
    (tmp_path / "a.toml").write_text(toml("4.0.0", "version"))
    (tmp_path / "b.toml").write_text(toml("5.0.0", "version"))
    manifests = ("--old-manifest", tmp_path / "a.toml", "--new-manifest", tmp_path / "b.toml")
    assert run("check", old, new, *manifests).stdout == "accepted: p 4.0.0 -> 5.0.0\n"


def test_check_without_a_manifest_compares_what_can_be_compared(tmp_path: Path, old: Path) -> None:
    """Neither name nor version is known then; the exports are."""
    new = plugin(tmp_path, "other-name", numbered(2, extra=hook("probe", "i32.const 0")))
    newer = plugin(tmp_path, "third", numbered(3))
    lost = plugin(tmp_path, "lost", MATH)
    assert run("check", old, new).stdout == "accepted: p 1.1.0 -> 1.1.0\n"
    assert run("check", new, old).stdout == "accepted: p 1.1.0 -> 1.1.0\n"
    assert run("check", new, newer).stdout == "accepted: other-name 0.0.0 -> 0.0.0\n"  # a probe may come and go
    assert "function 'version'" in refused("check", old, lost)
    assert "function 'version'" in refused("check", new, lost)


# The shipped plugins, the version, and a missing extra --------------------------------------------------------


def test_the_shipped_plugins_are_what_the_demo_says() -> None:
    slow, fast, bad = (SHIPPED / f"crc32-{version}.wasm" for version in ("1.0.0", "2.0.0", "2.1.0"))
    reply = zlib.crc32(b"hello").to_bytes(4, "little")
    assert run("call", slow, "crc32", "--bytes", "hello").stdout_bytes == reply
    assert run("call", fast, "crc32", "--bytes", "hello").stdout_bytes == reply
    assert run("check", slow, fast).exit_code == 0
    assert answer("check", fast, bad, status=1)["error"] == "ProbeFailed"
    assert PluginManifest.from_file(slow.with_suffix(".toml")).plugin.name == "crc32"


def test_the_version_is_that_of_the_distribution() -> None:
    assert run("--version").stdout.startswith("hotswap 0.")


@pytest.mark.parametrize(("missing", "args"), [("click", ["--version"]), ("rich", ["demo", "--steady", "0"])])
def test_without_the_extra_one_line_says_what_to_install(missing: str, args: list[str]) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from hotswap._cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "the command line needs click and rich: pip install 'hotswap[cli]'\n"


def test_another_missing_module_is_not_blamed_on_the_extra() -> None:
    code = "import sys; from hotswap._cli import main; sys.modules['hotswap._cli_plugin'] = None; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "ModuleNotFoundError: import of hotswap._cli_plugin" in done.stderr
    assert "hotswap[cli]" not in done.stderr
