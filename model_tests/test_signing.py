"""Signed plugins: what verifies, what does not and why, and that nothing else gets in where signatures are demanded."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

import hotswap
from hotswap import BadSignature, HotReloadablePlugin, HotReloadManager, MissingSignature, PluginManifest, UnknownKey
from hotswap._runtime import CENSUS
from hotswap.signing import SignedModule, TrustStore, Verified, _files, _verify, sign, signed_only, verified, verify
from hotswap.signing._statement import Statement, sha256, written
from signed_plugins import ALICE, BOB, EVE, MANIFEST, MODULE, SIGNATURE, TRUST, binary, put, put_trust, toml


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    before = CENSUS.alive
    yield
    assert CENSUS.alive == before


# What verifies ---------------------------------------------------------------------------------------------


def test_what_was_signed_verifies_and_is_what_is_returned(tmp_path: Path) -> None:
    found = verified(put(tmp_path, "p", 1, "1.0.0"), TRUST)
    assert (found.wasm, found.manifest) == (MODULE, PluginManifest.from_toml(MANIFEST.decode()))
    assert found.wasm.signer == "alice"
    assert verify(MODULE, MANIFEST, sign(MODULE, MANIFEST, BOB), TRUST).wasm.signer == "bob"
    assert isinstance(found, Verified)


def test_the_files_may_be_anywhere(tmp_path: Path) -> None:
    put(tmp_path, "p", 1, "1.0.0")
    moved = [tmp_path / name for name in ("a", "b", "c")]
    for old, new in zip(("p.wasm", "p.toml", "p.wasm.sig"), moved, strict=True):
        (tmp_path / old).rename(new)
    found = verified(str(moved[0]), TRUST, manifest=str(moved[1]), signature=str(moved[2]))
    assert found.wasm == MODULE


def test_the_message_is_as_it_is_documented() -> None:
    """Old signatures must go on verifying: the format changes with its first line only. Verified by hand here."""
    lines = SIGNATURE.splitlines(keepends=True)
    assert [line.split()[0] for line in lines] == [
        b"hotswap-signature",
        b"module-sha256",
        b"manifest-sha256",
        b"key-sha256",
        b"ed25519",
    ]
    raw = ALICE._key.public_key().public_bytes_raw()
    Ed25519PublicKey.from_public_bytes(raw).verify(bytes.fromhex(lines[4].split()[1].decode()), b"".join(lines[:4]))
    assert SIGNATURE[:20] == b"hotswap-signature 1\n"
    assert len(SIGNATURE) == 393


def test_import_hotswap_and_its_command_line_do_without_the_library() -> None:
    code = """if True:
        import sys
        import hotswap, hotswap._cli_commands
        assert "cryptography" not in sys.modules
        sys.modules["cryptography"] = None
        try:
            import hotswap.signing
        except ModuleNotFoundError as error:
            print(error)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("signing needs cryptography: pip install 'hotswap[signing]'\n", "")


# What does not ---------------------------------------------------------------------------------------------


WRONG = [
    (binary(2), MANIFEST, SIGNATURE, BadSignature, "the module given: expected the bytes with SHA-256"),
    (MODULE, toml("1.0.1"), SIGNATURE, BadSignature, "the manifest given: expected the bytes with SHA-256"),
    (MODULE, MANIFEST + b"\n", SIGNATURE, BadSignature, "the manifest given: expected the bytes"),
    (MODULE, MANIFEST, sign(MODULE, MANIFEST, EVE), UnknownKey, f"found one by {EVE.fingerprint}; if you believe"),
    (
        MODULE,
        MANIFEST,
        sign(MODULE, MANIFEST, EVE).replace(EVE.fingerprint.encode(), ALICE.fingerprint.encode()),
        BadSignature,
        "expected a signature by 'alice' of the digests in the file, found that it is none",
    ),
    (
        MODULE,
        MANIFEST,
        SIGNATURE.replace(ALICE.fingerprint.encode(), BOB.fingerprint.encode()),
        BadSignature,
        "expected a signature by 'bob'",
    ),
    (MODULE, MANIFEST, b"", hotswap.DamagedSignature, "found 0 bytes that begin with ''"),
    (MODULE, MANIFEST, SIGNATURE[:-1], hotswap.DamagedSignature, "found 392 bytes that begin with 'hotswap-sig"),
    (MODULE, MANIFEST, SIGNATURE + b"\n", hotswap.DamagedSignature, "found 394 bytes"),
    (MODULE, MANIFEST, SIGNATURE.replace(b"\n", b"\r\n"), hotswap.DamagedSignature, "found 398 bytes"),
    (
        MODULE,
        MANIFEST,
        SIGNATURE.replace(b"e 1", b"e 2"),
        hotswap.DamagedSignature,
        "with 'hotswap-signature 2",
    ),
    (MODULE, MANIFEST, SIGNATURE.upper(), hotswap.DamagedSignature, "begin with 'HOTSWAP"),
    (MODULE, MANIFEST, b"\xff\0", hotswap.DamagedSignature, r"begin with '\\xff\x00'"),
]


@pytest.mark.parametrize(
    ("module", "manifest", "signature", "error", "words"), WRONG, ids=[words for *_, words in WRONG]
)
def test_what_does_not_verify_says_why(
    module: bytes, manifest: bytes, signature: bytes, error: type[hotswap.HotswapError], words: str
) -> None:
    with pytest.raises(error) as refusal:
        verify(module, manifest, signature, TRUST)
    assert type(refusal.value) is error
    assert words in str(refusal.value)


def test_two_signed_plugins_cannot_be_mixed() -> None:
    other = binary(2), toml("2.0.0")
    second = sign(*other, ALICE)
    verify(*other, second, TRUST)
    for signature in (SIGNATURE, second):
        for mixed in ((MODULE, other[1]), (other[0], MANIFEST)):
            with pytest.raises(BadSignature):
                verify(*mixed, signature, TRUST)
    for swapped in (MANIFEST, MODULE), (MODULE, MODULE), (MANIFEST, MANIFEST):
        with pytest.raises(BadSignature):
            verify(*swapped, SIGNATURE, TRUST)


def test_nothing_is_parsed_before_it_is_authentic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(text: str) -> None:
        raise AssertionError(text)

    path = put(tmp_path, "p", 1, "1.0.0")
    monkeypatch.setattr(PluginManifest, "from_toml", parsed)
    with pytest.raises(AssertionError):
        verified(path, TRUST)
    with pytest.raises(UnknownKey):
        verified(path, TrustStore({"eve": EVE.public_pem()}))
    path.with_suffix(".toml").write_bytes(MANIFEST + b"#")
    with pytest.raises(BadSignature):
        verified(path, TRUST)


@pytest.mark.parametrize("file", ["p.wasm", "p.toml", "p.wasm.sig"])
def test_a_file_that_is_exchanged_after_it_was_read_makes_no_difference(
    tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = put(tmp_path, "p", 1, "1.0.0"), list[str]()

    def read_and_exchange(path: Path, limit: int) -> bytes:
        opened.append(path.name)
        data = _files.read_file(path, limit)
        if path.name == file:
            path.write_bytes(b"exchanged")
        return data

    monkeypatch.setattr(_verify, "read_file", read_and_exchange)
    found = verified(path, TRUST)
    monkeypatch.undo()
    with HotReloadManager(ports=signed_only(TRUST)) as manager:
        assert manager.register("p", *found).call("version") == 1
    assert sorted(opened) == ["p.toml", "p.wasm", "p.wasm.sig"], "each is read once"


def test_no_more_of_a_module_is_read_than_its_manifest_allows(tmp_path: Path) -> None:
    path = put(tmp_path, "p", 1, "1.0.0", max_module_kb=1)
    path.write_bytes(MODULE.ljust(1024))
    with pytest.raises(BadSignature):
        verified(path, TRUST)
    path.write_bytes(MODULE.ljust(1025))
    with pytest.raises(hotswap.LimitExceeded, match="expected at most 1 KiB, found more"):
        verified(path, TRUST)


def put_nothing(path: Path) -> None:
    path.unlink()


def put_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def put_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def put_much(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("damage", [put_nothing, put_folder, put_fifo, put_much])
@pytest.mark.parametrize(
    ("file", "error"),
    [
        ("p.wasm.sig", MissingSignature),
        ("p.toml", hotswap.ManifestError),
        ("p.wasm", hotswap.ModuleRejected),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, file: str, error: type[hotswap.HotswapError], damage: Callable[[Path], None]
) -> None:
    path = put(tmp_path, "p", 1, "1.0.0")
    damage(tmp_path / file)
    with pytest.raises(error) as refusal:
        verified(path, TRUST)
    assert str(tmp_path / file) in str(refusal.value)


def test_a_path_that_no_file_can_have_is_refused_with_a_typed_error() -> None:
    with pytest.raises(MissingSignature):
        verified("a\0b", TRUST)


# What is signed --------------------------------------------------------------------------------------------


UNFIT = [
    (b"(module)", MANIFEST, hotswap.ModuleRejected, "expected a WebAssembly binary, found b'(mod' at its start"),
    (MODULE, b"[plugin]", hotswap.ManifestError, "the manifest given: [plugin] name: expected a value"),
    (MODULE, b"\xff", hotswap.ManifestError, "expected TOML in UTF-8"),
    (
        MODULE,
        MANIFEST.replace(b"[plugin]\n", b"[plugin]\nmodule_sha256 = '" + b"0" * 64 + b"'\n"),
        hotswap.DigestMismatch,
        "which [plugin] module_sha256 pins, found",
    ),
]


@pytest.mark.parametrize(("module", "manifest", "error", "words"), UNFIT, ids=[words for *_, words in UNFIT])
def test_what_nobody_could_load_is_not_signed(
    module: bytes, manifest: bytes, error: type[hotswap.HotswapError], words: str
) -> None:
    with pytest.raises(error) as refusal:
        sign(module, manifest, ALICE)
    assert words in str(refusal.value)


def test_a_plugin_that_somebody_signed_against_its_pin_does_not_verify() -> None:
    pinned = MANIFEST.replace(b"[plugin]\n", b"[plugin]\nmodule_sha256 = '" + b"0" * 64 + b"'\n")
    statement = Statement(sha256(MODULE), sha256(pinned), ALICE.fingerprint)
    with pytest.raises(hotswap.DigestMismatch, match=r"the module given: expected .* SHA-256 0{64}, which"):
        verify(MODULE, pinned, written(statement, ALICE.sign(statement.message())), TRUST)


# Where signatures are demanded -----------------------------------------------------------------------------


def test_a_manager_that_demands_signatures_takes_signed_plugins_and_no_others(tmp_path: Path) -> None:
    first, second = put(tmp_path, "a", 1, "1.0.0"), put(tmp_path, "b", 2, "2.0.0", BOB)
    manifest = PluginManifest.from_toml(MANIFEST.decode())
    with HotReloadManager(ports=signed_only(TRUST)) as manager:
        for unsigned in (MODULE, first, str(first), "(module)", bytearray(MODULE), verified(first, TRUST).wasm[:]):
            with pytest.raises(MissingSignature, match=r"plugin 'p': expected a signed module.* found "):
                manager.register("p", unsigned, manifest)
        plugin = manager.register("p", *verified(first, TRUST))
        with pytest.raises(MissingSignature):
            plugin.upgrade(binary(2), toml_manifest("2.0.0"))
        with pytest.raises(MissingSignature):
            plugin.prepare_upgrade(second, second.with_suffix(".toml"))
        with pytest.raises(MissingSignature):
            manager.upgrade("p", second, second.with_suffix(".toml"))
        assert plugin.call("version") == 1
        plugin.upgrade(*verified(second, TRUST))
        assert plugin.call("version") == 2
        assert plugin.stats().failures == {"MissingSignature": 3}
    with pytest.raises(MissingSignature):
        HotReloadablePlugin("p", MODULE, manifest, ports=signed_only(TRUST))


def toml_manifest(version: str) -> PluginManifest:
    return PluginManifest.from_toml(toml(version).decode())


@pytest.mark.parametrize(
    ("wasm", "manifest", "error"),
    [
        (SignedModule(MODULE, MANIFEST, SIGNATURE, "alice"), toml_manifest("1.0.1"), BadSignature),
        (SignedModule(binary(2), MANIFEST, SIGNATURE, "alice"), toml_manifest("1.0.0"), BadSignature),
        (SignedModule(MODULE, toml("1.0.1"), SIGNATURE, "alice"), toml_manifest("1.0.1"), BadSignature),
        (SignedModule(MODULE, MANIFEST, b"", "alice"), toml_manifest("1.0.0"), hotswap.DamagedSignature),
        (SignedModule(MODULE, MANIFEST, sign(MODULE, MANIFEST, EVE), "alice"), toml_manifest("1.0.0"), UnknownKey),
        (SignedModule(MODULE, MANIFEST, sign(MODULE, MANIFEST, BOB), "alice"), toml_manifest("1.0.0"), UnknownKey),
    ],
    ids=["another manifest", "other bytes", "another text", "no signature", "a stranger's", "believed elsewhere"],
)
def test_the_gate_believes_the_signature_only(
    wasm: SignedModule, manifest: PluginManifest, error: type[hotswap.HotswapError]
) -> None:
    only_alice = TrustStore({"alice": ALICE.public_pem()})
    good = verify(MODULE, MANIFEST, SIGNATURE, only_alice)
    with HotReloadManager(ports=signed_only(only_alice)) as manager:
        with pytest.raises(error):
            manager.register("p", wasm, manifest)
        plugin = manager.register("p", *good)
        with pytest.raises(error):
            plugin.upgrade(wasm, manifest, allow_rebuild=True, allow_downgrade=True)
        assert plugin.call("version") == 1


def test_a_signature_grants_no_escalation(tmp_path: Path) -> None:
    with HotReloadManager(ports=signed_only(TRUST)) as manager:
        plugin = manager.register("p", *verified(put(tmp_path, "a", 1, "1.0.0"), TRUST))
        larger = verified(put(tmp_path, "b", 2, "2.0.0", max_instances=5), TRUST)
        with pytest.raises(hotswap.IncompatibleUpgrade, match="max_instances: expected at most 4"):
            plugin.upgrade(*larger)
        plugin.upgrade(*larger, allow_escalation=True)
        assert plugin.call("version") == 2


# Trust stores ----------------------------------------------------------------------------------------------


def test_a_directory_of_keys_is_a_store(tmp_path: Path) -> None:
    folder = put_trust(tmp_path / "trust", alice=ALICE, bob=BOB)
    (folder / "README").write_text("other files are left alone")
    store = TrustStore.from_directory(folder)
    assert store.names == {ALICE.fingerprint: "alice", BOB.fingerprint: "bob"}
    assert verify(MODULE, MANIFEST, SIGNATURE, store).wasm.signer == "alice"
    assert repr(store) == "<TrustStore alice, bob>"
    (folder / "eve.pem").write_bytes(EVE.public_pem())
    assert EVE.fingerprint not in store.names, "a store is what was read"


RSA = b"""-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAMK7jpZOiA0HfFKtnyBCyvSz1zTAiDG2
PBtXLDQF7uTSzQn0iHUwJHCLrSAvhVZnhOjo3SZSsLYs9SPtkdKRSKsCAwEAAQ==
-----END PUBLIC KEY-----
"""
X25519 = b"""-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEAhSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=
-----END PUBLIC KEY-----
"""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected an Ed25519 public key in PEM, found a fault"),
        (b"nonsense", "expected an Ed25519 public key in PEM, found a fault"),
        (RSA, "expected an Ed25519 public key, found RSAPublicKey"),
        (X25519, "expected an Ed25519 public key, found X25519PublicKey"),
        (ALICE.private_pem(), "expected a public key, found a private one"),
        (ALICE.public_pem() + BOB.public_pem(), "found other bytes around it or in it"),
        (b"# alice\n" + ALICE.public_pem(), "found other bytes around it or in it"),
        (ALICE.public_pem().replace(b"\n", b"\r\n"), "found other bytes around it or in it"),
        (ALICE.public_pem().rstrip(), "found other bytes around it or in it"),
        (bytes(5000), "found a fault: it has more than 4096 bytes"),
    ],
)
def test_a_store_with_one_bad_key_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    folder = put_trust(tmp_path / "trust", alice=ALICE)
    (folder / "bad.pem").write_bytes(content)
    (folder / "bad.pem").chmod(0o644)
    with pytest.raises(hotswap.KeyRejected) as refusal:
        TrustStore.from_directory(folder)
    assert words in str(refusal.value)
    assert "bad" in str(refusal.value)


@pytest.mark.parametrize("name", ["", ".hidden", "a b", "a/b", "a\n", "ä", "x" * 129])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(hotswap.KeyRejected, match="expected a key's name of letters"):
        TrustStore({name: ALICE.public_pem()})


def test_a_key_has_one_name_and_a_store_a_key(tmp_path: Path) -> None:
    with pytest.raises(hotswap.KeyRejected, match="found one as 'a' and 'b'"):
        TrustStore({"a": ALICE.public_pem(), "b": ALICE.public_pem()})
    with pytest.raises(hotswap.KeyRejected, match="expected at least one key, found none"):
        TrustStore.from_directory(put_trust(tmp_path / "trust"))
    for wrong in (tmp_path / "absent", put(tmp_path, "p", 1, "1.0.0"), "a\0b"):
        with pytest.raises(hotswap.KeyRejected, match=r"expected a directory of NAME\.pem files"):
            TrustStore.from_directory(wrong)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o602, 0o620])
def test_a_store_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    folder = put_trust(tmp_path / "trust", alice=ALICE)
    (folder / "alice.pem").chmod(mode)
    with pytest.raises(hotswap.KeyRejected, match=f"alice.pem: .*its mode is {mode:04o}, and may be"):
        TrustStore.from_directory(folder)
    (folder / "alice.pem").chmod(0o444)
    TrustStore.from_directory(folder)
    folder.chmod(mode | 0o100)
    with pytest.raises(hotswap.KeyRejected, match="expected a directory that only its owner writes to"):
        TrustStore.from_directory(folder)
    folder.chmod(0o755)


@pytest.mark.parametrize(
    ("owner", "we", "fine"), [(0, 0, True), (0, 7, True), (7, 7, True), (7, 0, False), (8, 7, False)]
)
def test_a_file_of_somebody_else_is_refused(owner: int, we: int, fine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: we)
    facts = os.stat_result((stat.S_IFREG | 0o644, 0, 0, 1, owner, 0, 0, 0, 0, 0))
    if fine:
        _files.require_owned(facts, _files.OTHERS_MAY_WRITE)
    else:
        with pytest.raises(_files.Unusable, match=f"it belongs to user {owner}, and not to root or to user {we}"):
            _files.require_owned(facts, _files.OTHERS_MAY_WRITE)


# Private keys ----------------------------------------------------------------------------------------------


def test_a_key_is_saved_for_its_owner_only_and_never_over_another(tmp_path: Path, monkeypatch: Any) -> None:
    private, public = tmp_path / "a.key", tmp_path / "a.pem"
    old = os.umask(0)
    try:
        ALICE.save(private, public)
    finally:
        os.umask(old)
    assert [stat.S_IMODE(file.stat().st_mode) for file in (private, public)] == [0o600, 0o644]
    assert type(ALICE).from_file(private).fingerprint == ALICE.fingerprint
    for kept, other in ((private, public), (public, private)):
        before = kept.read_bytes()
        other.unlink()
        with pytest.raises(hotswap.KeyRejected, match="since keys are never overwritten, found one"):
            EVE.save(private, public)
        assert kept.read_bytes() == before
        assert not other.exists(), "half a pair is none"
        ALICE.save(tmp_path / "b.key", tmp_path / "b.pem")
        (tmp_path / f"b{other.suffix}").rename(other)
        (tmp_path / f"b{kept.suffix}").unlink()
    other.unlink()
    other.symlink_to(tmp_path / "elsewhere")
    kept.unlink()
    with pytest.raises(hotswap.KeyRejected, match="never overwritten"):
        EVE.save(private, public)
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_leaves_no_half_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(hotswap.KeyRejected, match=r"the key cannot be written: .*No space left"):
        ALICE.save(tmp_path / "a.key", tmp_path / "a.pem")
    (tmp_path / "sig").write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"):
        _files.replace_file(tmp_path / "sig", b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("sig", b"old")]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_private_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    ALICE.save(tmp_path / "a.key", tmp_path / "a.pem")
    (tmp_path / "a.key").chmod(mode)
    with pytest.raises(hotswap.KeyRejected, match=f"its mode is {mode:04o}, and may be 0600 at most"):
        type(ALICE).from_file(tmp_path / "a.key")


def test_a_passphrase_is_needed_exactly_where_there_is_one(tmp_path: Path) -> None:
    ALICE.save(tmp_path / "a.key", tmp_path / "a.pem", b"secret")
    assert type(ALICE).from_file(tmp_path / "a.key", b"secret").fingerprint == ALICE.fingerprint
    for wrong in (None, b"", b"Secret"):
        with pytest.raises(hotswap.KeyRejected, match="and its passphrase if it has one, found a fault"):
            type(ALICE).from_file(tmp_path / "a.key", wrong)
    with pytest.raises(hotswap.KeyRejected, match="found a fault"):
        type(ALICE).from_pem(ALICE.private_pem(), b"secret")
    with pytest.raises(hotswap.KeyRejected, match="the key given: expected an Ed25519 private key in PEM"):
        type(ALICE).from_pem(ALICE.public_pem())
    with pytest.raises(hotswap.KeyRejected, match="absent"):
        type(ALICE).from_file(tmp_path / "absent")
    assert "PRIVATE" not in repr(ALICE)
