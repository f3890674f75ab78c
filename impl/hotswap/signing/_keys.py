"""Ed25519 keys in the files that every tool knows: PKCS #8 for private ones, SubjectPublicKeyInfo for public ones, PEM.

The arithmetic is the library `cryptography`'s. A public key is called by its fingerprint, the SHA-256 of its 32 bytes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from hotswap._errors import KeyRejected
from hotswap.signing._files import OTHERS_MAY_READ, Unusable, create_file, read_file
from hotswap.signing._statement import sha256

KEY_BYTES_MAX = 4096
"""Of a file with one key; a whole one has some 120, encrypted some 300."""

_LIBRARY_REFUSES = (ValueError, TypeError, UnsupportedAlgorithm, InternalError)
"""Of these, the last is what a key of another kind with a wrong length ends in."""


def fingerprint(key: Ed25519PublicKey) -> str:
    return sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def public_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_key(pem: bytes, origin: str) -> Ed25519PublicKey:
    """Raises `KeyRejected` for whatever is not exactly one Ed25519 public key as the library writes it."""
    if b"PRIVATE KEY" in pem:
        raise KeyRejected(f"{origin}: expected a public key, found a private one; keep that elsewhere, and secret")
    try:
        key = load_pem_public_key(pem)
    except _LIBRARY_REFUSES as error:
        raise KeyRejected(
            f"{origin}: expected an Ed25519 public key in PEM, found a fault: {error}; copy it anew from who made it"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyRejected(
            f"{origin}: expected an Ed25519 public key, found {type(key).__name__}; make one with hotswap keygen"
        )
    if public_pem(key) != pem:
        raise KeyRejected(
            f"{origin}: expected the PEM of one key and nothing else, found other bytes around it or in it; "
            f"write it anew: openssl pkey -pubin -in FILE -pubout"
        )
    return key


class SigningKey:
    """A private key. Its representation does not show it."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key()

    @classmethod
    def generate(cls) -> Self:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None = None, *, origin: str = "the key given") -> Self:
        """Read a private key; an encrypted one needs its passphrase. Raises `KeyRejected`."""
        try:
            key = load_pem_private_key(pem, passphrase)
        except _LIBRARY_REFUSES as error:
            raise KeyRejected(
                f"{origin}: expected an Ed25519 private key in PEM, and its passphrase if it has one, "
                f"found a fault: {error}"
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyRejected(
                f"{origin}: expected an Ed25519 private key, found {type(key).__name__}; make one with hotswap keygen"
            )
        return cls(key)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], passphrase: bytes | None = None) -> Self:
        """Read a private key that only its owner can read. Raises `KeyRejected`."""
        return cls.from_pem(private_pem_of(Path(path)), passphrase, origin=f"key file {os.fspath(path)!r}")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key's 32 bytes, in hexadecimal."""
        return fingerprint(self._public)

    def public_pem(self) -> bytes:
        """What goes into a trust store."""
        return public_pem(self._public)

    def private_pem(self, passphrase: bytes | None = None) -> bytes:
        """What has to stay secret; encrypted if there is a passphrase."""
        how = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)

    def save(self, private: Path, public: Path, passphrase: bytes | None = None) -> None:
        """Write both files, the private one for its owner only; neither is ever overwritten. Raises `KeyRejected`."""
        try:
            create_file(private, self.private_pem(passphrase), 0o600)
            try:
                create_file(public, self.public_pem(), 0o644)
            except BaseException:
                private.unlink(missing_ok=True)
                raise
        except FileExistsError as error:
            raise KeyRejected(
                f"{error.filename}: expected no such file, since keys are never overwritten, found one; "
                "choose another name or another folder"
            ) from error
        except OSError as error:
            raise KeyRejected(f"{error.filename or private}: the key cannot be written: {error}") from error

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"<SigningKey {self.fingerprint}>"


def is_encrypted(pem: bytes) -> bool:
    """Whether a private key asks for a passphrase."""
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in pem


def private_pem_of(path: Path) -> bytes:
    """The text of a private key's file, which may be encrypted. Raises `KeyRejected`."""
    try:
        return read_file(path, KEY_BYTES_MAX, forbidden=OTHERS_MAY_READ)
    except Unusable as error:
        raise KeyRejected(
            f"key file {str(path)!r}: expected a file for its owner only, found a fault: {error}"
        ) from error.__cause__
