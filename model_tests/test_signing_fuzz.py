"""Damaged signatures, plugins and keys: none verifies, and none raises anything but a typed error.

Every single bit of each file is flipped, and files are cut, mixed and made up by chance.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap import BadSignature, DamagedSignature, HotswapError, KeyRejected, SignatureError, UnknownKey
from hotswap.signing import SigningKey, TrustStore, sign, verified, verify
from signed_plugins import ALICE, BOB, MANIFEST, MODULE, SIGNATURE, TRUST, put, put_trust


def flipped(data: bytes) -> Iterator[bytes]:
    """The same with one other bit, for each of its bits."""
    for at in range(len(data)):
        for bit in range(8):
            yield data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def fate(module: bytes, manifest: bytes, signature: bytes, trust: TrustStore = TRUST) -> type[SignatureError] | None:
    """What a plugin is refused with; None if it verifies. Any other error is one of the test."""
    try:
        verify(module, manifest, signature, trust)
    except SignatureError as error:
        return type(error)
    return None


def test_the_oracle_tells_what_verifies() -> None:
    assert fate(MODULE, MANIFEST, SIGNATURE) is None


def test_no_flipped_bit_of_a_signature_verifies() -> None:
    fates = Counter(fate(MODULE, MANIFEST, one) for one in flipped(SIGNATURE))
    assert fates.keys() == {DamagedSignature, BadSignature, UnknownKey}
    assert fates.total() == 8 * len(SIGNATURE)
    assert fates[BadSignature] > 500, "of the digests and of the signature itself, half of the flips are hexadecimal"


@pytest.mark.parametrize("file", ["module", "manifest"])
def test_no_flipped_bit_of_a_plugin_verifies(file: str) -> None:
    for one in flipped(MODULE if file == "module" else MANIFEST):
        module, manifest = (one, MANIFEST) if file == "module" else (MODULE, one)
        assert fate(module, manifest, SIGNATURE) is BadSignature


def test_no_flipped_bit_of_a_public_key_makes_another_file_of_the_same_key() -> None:
    """Most are refused; those that are a key are another one, which did not sign."""
    fates = Counter(fate_under(one) for one in flipped(ALICE.public_pem()))
    assert fates.keys() == {KeyRejected, UnknownKey}
    assert fates[UnknownKey] > 200


def fate_under(pem: bytes) -> type[SignatureError] | None:
    try:
        trust = TrustStore({"alice": pem})
    except KeyRejected:
        return KeyRejected
    return fate(MODULE, MANIFEST, SIGNATURE, trust)


def test_a_flipped_bit_of_a_private_key_is_refused_or_another_key() -> None:
    fates = Counter(signed_with(one) for one in flipped(ALICE.private_pem()))
    assert fates.keys() <= {KeyRejected, UnknownKey, None}
    assert fates[UnknownKey] > 200


def signed_with(pem: bytes) -> type[SignatureError] | None:
    """None: a bit of the base64 or of the lines around it that means nothing, and so the same key."""
    try:
        key = SigningKey.from_pem(pem)
    except KeyRejected:
        return KeyRejected
    found = fate(MODULE, MANIFEST, sign(MODULE, MANIFEST, key))
    assert (found is None) == (key.fingerprint == ALICE.fingerprint)
    return found


PIECES = st.sampled_from([SIGNATURE, sign(MODULE, MANIFEST, BOB), ALICE.public_pem(), MANIFEST, MODULE, b"\n", b""])
LINES = st.lists(st.sampled_from(SIGNATURE.splitlines(keepends=True)), max_size=7).map(b"".join)
CUT = st.builds(lambda data, start, end: data[start:end], PIECES, st.integers(0, 400), st.integers(0, 400))
ANY = st.binary() | LINES | CUT | st.lists(CUT, max_size=4).map(b"".join)


@given(ANY)
def test_made_up_signatures_do_not_verify(signature: bytes) -> None:
    if signature not in (SIGNATURE, sign(MODULE, MANIFEST, BOB)):
        assert fate(MODULE, MANIFEST, signature) is not None


@given(ANY, ANY)
def test_made_up_plugins_do_not_verify(module: bytes, manifest: bytes) -> None:
    if (module, manifest) != (MODULE, MANIFEST):
        assert fate(module, manifest, SIGNATURE) is BadSignature


@given(ANY, st.text() | st.sampled_from(["alice", "bob"]))
def test_made_up_keys_are_refused(pem: bytes, name: str) -> None:
    if pem != ALICE.public_pem():
        with pytest.raises(KeyRejected):
            TrustStore({name: pem})
    for passphrase in (None, b"", b"phrase"):
        with pytest.raises(KeyRejected):
            SigningKey.from_pem(pem, passphrase)


def test_a_folder_or_a_fifo_in_the_place_of_a_file_is_refused_and_costs_no_descriptor(tmp_path: Path) -> None:
    path, folder = put(tmp_path, "p", 1, "1.0.0"), put_trust(tmp_path / "trust", alice=ALICE)
    for file in path, path.with_suffix(".toml"), tmp_path / "p.wasm.sig", folder / "alice.pem":
        whole = file.read_bytes()
        for make in (file.mkdir, lambda file=file: os.mkfifo(file, 0o600)):
            file.unlink(missing_ok=True)
            make()
            before = len([*Path("/proc/self/fd").iterdir()])
            with pytest.raises(HotswapError, match="it is no plain file"):
                verified(path, TrustStore.from_directory(folder))
            assert len([*Path("/proc/self/fd").iterdir()]) == before
            file.rmdir() if file.is_dir() else file.unlink()
        file.write_bytes(whole)
        file.chmod(0o644)
    verified(path, TrustStore.from_directory(folder))


def test_damaged_files_on_disk_raise_typed_errors_only(tmp_path: Path) -> None:
    path, folder = put(tmp_path, "p", 1, "1.0.0"), put_trust(tmp_path / "trust", alice=ALICE, bob=BOB)
    files = [path, path.with_suffix(".toml"), tmp_path / "p.wasm.sig", folder / "alice.pem", folder / "bob.pem"]
    verified(path, TrustStore.from_directory(folder))
    for file in files:
        whole = file.read_bytes()
        for size in range(len(whole)):
            file.write_bytes(whole[:size])
            with pytest.raises(HotswapError):
                verified(path, TrustStore.from_directory(folder))
        file.write_bytes(whole)
    verified(path, TrustStore.from_directory(folder))
