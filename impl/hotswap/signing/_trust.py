"""Whom to believe: public keys with names."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hotswap._errors import BadSignature, KeyRejected, UnknownKey
from hotswap.signing._files import OTHERS_MAY_WRITE, Unusable, read_file, require_owned
from hotswap.signing._keys import KEY_BYTES_MAX, fingerprint, public_key
from hotswap.signing._statement import Statement

SUFFIX = ".pem"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")


class TrustStore:
    """Public keys by name, each under one name; immutable. `keys` are PEM texts. Raises `KeyRejected`.

    A store without keys is refused: it is a wrong path more often than a wish to accept nothing.
    """

    def __init__(self, keys: Mapping[str, bytes], *, origin: str = "the trust store") -> None:
        self._origin = origin
        self._keys: dict[str, Ed25519PublicKey] = {}
        names: dict[str, str] = {}
        for name, pem in keys.items():
            if NAME.fullmatch(name) is None:
                raise KeyRejected(
                    f"{origin}: expected a key's name of letters, digits and ._@-, found {name!r}; rename the key"
                )
            key = public_key(pem, f"{origin}, key {name!r}")
            print_ = fingerprint(key)
            if print_ in self._keys:
                raise KeyRejected(
                    f"{origin}: expected each key under one name, found one as {names[print_]!r} and {name!r}; "
                    "take one of them out"
                )
            self._keys[print_], names[print_] = key, name
        if not names:
            raise KeyRejected(f"{origin}: expected at least one key, found none; put NAME{SUFFIX} files there")
        self.names: Mapping[str, str] = MappingProxyType(names)
        """Names by fingerprint."""

    @classmethod
    def from_directory(cls, path: str | os.PathLike[str]) -> Self:
        """Read each `NAME.pem` in a directory; other files are left alone. Raises `KeyRejected`.

        Directory and files must belong to root or to the user of this process, and nobody else may write to them:
        who could add a key there would be believed.
        """
        folder, origin = Path(path), f"trust store {os.fspath(path)!r}"
        keys = {}
        try:
            require_owned(folder.stat(), OTHERS_MAY_WRITE)
            for file in sorted(folder.iterdir()):
                if file.suffix == SUFFIX:
                    try:
                        keys[file.stem] = read_file(file, KEY_BYTES_MAX, forbidden=OTHERS_MAY_WRITE)
                    except Unusable as error:
                        raise KeyRejected(
                            f"{origin}: {file.name}: expected a public key, found a fault: {error}"
                        ) from error.__cause__
        except Unusable as error:
            raise KeyRejected(
                f"{origin}: expected a directory that only its owner writes to, found a fault: {error}"
            ) from error.__cause__
        except (OSError, ValueError) as error:
            raise KeyRejected(f"{origin}: expected a directory of NAME{SUFFIX} files: {error}") from error
        return cls(keys, origin=origin)

    def signer(self, statement: Statement, signature: bytes, origin: str) -> str:
        """The name of the key that signed this statement. Raises `UnknownKey`, `BadSignature`."""
        key = self._keys.get(statement.key)
        if key is None:
            there = ", ".join(f"{name} {print_}" for print_, name in list(self.names.items())[:5])
            there += f" and {len(self.names) - 5} more" if len(self.names) > 5 else ""
            raise UnknownKey(
                f"{origin}: expected a signature by a key of {self._origin} ({there}), found one by {statement.key}; "
                "if you believe who signed, add that public key"
            )
        try:
            key.verify(signature, statement.message())
        except InvalidSignature as error:
            raise BadSignature(
                f"{origin}: expected a signature by {self.names[statement.key]!r} of the digests in the file, found "
                "that it is none; do not load this plugin, and get its files anew from who signed them"
            ) from error
        return self.names[statement.key]

    def __repr__(self) -> str:
        return f"<TrustStore {', '.join(sorted(self.names.values()))}>"
