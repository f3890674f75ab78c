"""`hotswap keygen`, `sign` and `verify`, in words and in JSON."""

from __future__ import annotations

import json
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hotswap._cli_commands import cli
from hotswap.signing import SigningKey, TrustStore, verified
from signed_plugins import ALICE, MANIFEST, MODULE, SIGNATURE, binary, put, put_trust, toml


def run(*args: str | Path, stdin: str = "") -> Result:
    """Run one command; a traceback is a failure of the test."""
    result = CliRunner().invoke(cli, [str(arg) for arg in args], input=stdin, prog_name="hotswap")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def unsigned(tmp_path: Path) -> Path:
    (tmp_path / "p.wasm").write_bytes(MODULE)
    (tmp_path / "p.toml").write_bytes(MANIFEST)
    return tmp_path / "p.wasm"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    ALICE.save(tmp_path / "a.key", tmp_path / "a.pem")
    return tmp_path / "a.key"


def test_from_keys_to_a_plugin_that_is_believed(tmp_path: Path, unsigned: Path) -> None:
    made = run("keygen", "alice", "--folder", tmp_path)
    private, public = tmp_path / "alice.key", tmp_path / "alice.pem"
    key = SigningKey.from_file(private)
    assert made.stdout.splitlines() == [
        f"private key  {private} (keep it secret)",
        f"public key   {public}",
        f"SHA-256      {key.fingerprint}",
    ]
    assert (made.exit_code, stat.S_IMODE(private.stat().st_mode)) == (0, 0o600)
    folder = put_trust(tmp_path / "trust")
    public.rename(folder / "alice.pem")
    signed = run("sign", unsigned, "--key", private)
    assert (signed.exit_code, signed.stdout) == (0, f"signed: {unsigned} and {tmp_path}/p.toml -> {unsigned}.sig\n")
    said = run("verify", unsigned, "--trust", folder)
    assert (said.exit_code, said.stdout, said.stderr) == (0, "verified: p 1.0.0, signed by alice\n", "")
    assert verified(unsigned, TrustStore.from_directory(folder)).wasm == MODULE
    assert not list(tmp_path.glob(".*")), "nothing is left beside"


def test_answers_in_json(tmp_path: Path, unsigned: Path) -> None:
    made = json.loads(run("keygen", "a", "--folder", tmp_path, "--json").stdout)
    key = SigningKey.from_file(made["private"])
    assert made == {"private": f"{tmp_path}/a.key", "public": f"{tmp_path}/a.pem", "key": key.fingerprint}
    signed = json.loads(run("sign", unsigned, "--key", made["private"], "--json").stdout)
    assert signed == {"signature": f"{unsigned}.sig", "key": key.fingerprint}
    said = run("verify", unsigned, "--trust", put_trust(tmp_path / "trust", a=key), "--json")
    assert json.loads(said.stdout) == {"verified": True, "signer": "a", "name": "p", "version": "1.0.0"}
    said = run("verify", unsigned, "--trust", put_trust(tmp_path / "others", a=ALICE), "--json")
    facts = json.loads(said.stdout)
    assert (said.exit_code, said.stderr, facts["verified"], facts["error"]) == (1, "", False, "UnknownKey")


def test_files_elsewhere(tmp_path: Path, unsigned: Path, key: Path) -> None:
    manifest, signature = tmp_path / "m", tmp_path / "s"
    (tmp_path / "p.toml").rename(manifest)
    places = ("--manifest", manifest, "--signature", signature)
    assert run("sign", unsigned, "--key", key, *places).exit_code == 0
    assert signature.read_bytes() == SIGNATURE
    folder = put_trust(tmp_path / "trust", alice=ALICE)
    assert run("verify", unsigned, "--trust", folder, *places).exit_code == 0
    assert run("verify", unsigned, "--trust", folder).exit_code == 1


def test_a_signature_that_was_there_is_replaced(unsigned: Path, key: Path) -> None:
    Path(f"{unsigned}.sig").write_bytes(b"old")
    assert run("sign", unsigned, "--key", key).exit_code == 0
    assert Path(f"{unsigned}.sig").read_bytes() == SIGNATURE
    assert stat.S_IMODE(Path(f"{unsigned}.sig").stat().st_mode) == 0o644


def test_keys_are_never_overwritten(tmp_path: Path, key: Path) -> None:
    before = key.read_bytes()
    again = run("keygen", "a", "--folder", tmp_path)
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr.startswith(
        f"error: KeyRejected: {key}: expected no such file, since keys are never overwritten"
    )
    assert key.read_bytes() == before


@pytest.mark.parametrize("name", ["a/b", "..", ""])
def test_a_key_gets_a_name_that_stores_take(tmp_path: Path, name: str) -> None:
    made = run("keygen", name, "--folder", tmp_path)
    assert made.stderr.startswith("error: KeyRejected: the name given: expected a key's name of letters")
    assert list(tmp_path.iterdir()) == []


def test_an_encrypted_key_asks_for_its_passphrase(tmp_path: Path, unsigned: Path) -> None:
    assert run("keygen", "a", "--folder", tmp_path, "--encrypt", stdin="secret\nsecret\n").exit_code == 0
    assert b"ENCRYPTED" in (tmp_path / "a.key").read_bytes()
    wrong = run("sign", unsigned, "--key", tmp_path / "a.key", stdin="Secret\n")
    assert wrong.exit_code == 1
    assert "KeyRejected" in wrong.stderr
    assert not Path(f"{unsigned}.sig").exists()
    assert run("sign", unsigned, "--key", tmp_path / "a.key", "--json", stdin="secret\n").exit_code == 0
    assert run("verify", unsigned, "--trust", put_trust(tmp_path / "t", a=ALICE)).exit_code == 1


@pytest.mark.parametrize(
    ("lost", "error"),
    [
        ("p.wasm", "ModuleRejected"),
        ("p.toml", "ManifestError"),
        ("p.wasm.sig", "MissingSignature"),
        ("t", "KeyRejected"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, lost: str, error: str) -> None:
    path = put(tmp_path, "p", 1, "1.0.0")
    folder = put_trust(tmp_path / "t", alice=ALICE)
    assert run("verify", path, "--trust", folder).exit_code == 0
    (tmp_path / lost).rename(tmp_path / "elsewhere")
    said = run("verify", path, "--trust", folder)
    assert (said.exit_code, said.stdout) == (1, "")
    assert said.stderr.startswith(f"refused: {error}: ")
    assert str(tmp_path / lost) in said.stderr


def test_what_cannot_be_signed_is_named(tmp_path: Path, unsigned: Path, key: Path) -> None:
    nowhere = run("sign", unsigned, "--key", key, "--signature", tmp_path / "no" / "where")
    assert (nowhere.exit_code, "the signature cannot be written" in nowhere.stderr) == (1, True)
    key.chmod(0o644)
    assert "may be 0600 at most" in run("sign", unsigned, "--key", key).stderr
    key.chmod(0o600)
    unsigned.write_text("(module)")
    assert "expected a WebAssembly binary" in run("sign", unsigned, "--key", key).stderr
    assert not Path(f"{unsigned}.sig").exists()


def test_the_guide_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands, and then its Python, as pasted; the store of the one is the other's."""
    text = (Path(__file__).parents[1] / "docs" / "signing.md").read_text()
    (shell,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    (python,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    folder = put_trust(tmp_path / "keys")
    for number in (1, 2):
        version = f"1.{number - 1}.0"
        Path(f"tax-{version}.wasm").write_bytes(binary(number))
        Path(f"tax-{version}.toml").write_bytes(toml(version).replace(b'name = "p"', b'name = "tax"'))
    for line in shell.splitlines():
        command = shlex.split(line, comments=True)
        assert run(*command[1:]).exit_code == 0, line
        if command[1] == "keygen":
            Path("alice.pem").rename(folder / "alice.pem")
    assert run("sign", "tax-1.1.0.wasm", "--key", "alice.key").exit_code == 0
    names: dict[str, Any] = {}
    exec(python.replace("/etc/tax/trusted", str(folder)), names)
    assert names["plugin"].call("version") == 2
    names["manager"].close()


@pytest.mark.parametrize("args", [["keygen", "a"], ["sign", "p", "--key", "k"], ["verify", "p", "--trust", "t"]])
def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path, args: list[str]) -> None:
    code = "import sys; sys.modules['cryptography'] = None; from hotswap._cli import main; main()"
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "signing needs cryptography: pip install 'hotswap[signing]'\n"
