"""Keys and signed plugins for the tests of signing; the keys are made from fixed seeds, so that runs repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import wasmtime
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hotswap import ManifestBuilder
from hotswap.signing import SigningKey, TrustStore, sign


def key(seed: int) -> SigningKey:
    return SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def binary(number: int) -> bytes:
    return bytes(wasmtime.wat2wasm(f'(module (func (export "version") (result i32) i32.const {number}))'))


def toml(version: str, **limits: int) -> bytes:
    builder = ManifestBuilder("p", version).export("version").limit("fuel_limit", 0).limit("timeout_ms", 60_000)
    for limit, value in limits.items():
        builder.limit(limit, value)
    return builder.build().to_toml().encode()


ALICE, BOB, EVE = key(1), key(2), key(3)
TRUST: Final = TrustStore({"alice": ALICE.public_pem(), "bob": BOB.public_pem()})
MODULE, MANIFEST = binary(1), toml("1.0.0")
SIGNATURE: Final = sign(MODULE, MANIFEST, ALICE)


def put(folder: Path, stem: str, number: int, version: str, signer: SigningKey = ALICE, **limits: int) -> Path:
    """A signed plugin's three files; the module's path."""
    path = folder / f"{stem}.wasm"
    module, manifest = binary(number), toml(version, **limits)
    path.write_bytes(module)
    path.with_suffix(".toml").write_bytes(manifest)
    (folder / f"{stem}.wasm.sig").write_bytes(sign(module, manifest, signer))
    return path


def put_trust(folder: Path, **keys: SigningKey) -> Path:
    """A trust store's directory."""
    folder.mkdir(mode=0o755)
    for name, one in keys.items():
        file = folder / f"{name}.pem"
        file.write_bytes(one.public_pem())
        file.chmod(0o644)
    folder.chmod(0o755)
    return folder
