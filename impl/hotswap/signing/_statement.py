"""What is signed, and the file that holds it: a text of which every byte follows from what it says.

    hotswap-signature 1
    module-sha256 ...
    manifest-sha256 ...
    key-sha256 ...
    ed25519 ...

The first four lines, line ends included, are the message that the fifth signs. So one signature binds a module to a
manifest: neither can be exchanged for another that was signed too. The first line is said by no other protocol, and
changes when the format does; the fields have fixed lengths, so no two statements are the same bytes; the key is named,
so that a signature is by one key only. A file that is not exactly of this form is damaged: there is no second way to
write the same statement, in which something could be hidden or lost.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from hotswap._errors import DamagedSignature

SIZE_MAX = 4096
"""Bytes of a signature file that are read; a whole one has 393."""

_TITLE = "hotswap-signature 1"
_FORM = re.compile(
    rb"hotswap-signature 1\n"
    rb"module-sha256 ([0-9a-f]{64})\nmanifest-sha256 ([0-9a-f]{64})\nkey-sha256 ([0-9a-f]{64})\n"
    rb"ed25519 ([0-9a-f]{128})\n"
)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Statement(NamedTuple):
    """Who says which module and which manifest belong together; each a SHA-256 in hexadecimal."""

    module: str
    manifest: str
    key: str

    def message(self) -> bytes:
        """The bytes that are signed."""
        lines = _TITLE, f"module-sha256 {self.module}", f"manifest-sha256 {self.manifest}", f"key-sha256 {self.key}"
        return "".join(f"{line}\n" for line in lines).encode("ascii")


def written(statement: Statement, signature: bytes) -> bytes:
    """The content of a signature file."""
    return statement.message() + f"ed25519 {signature.hex()}\n".encode("ascii")


def read(file: bytes, origin: str) -> tuple[Statement, bytes]:
    """A statement and its signature, of which nothing is verified yet. Raises `DamagedSignature`."""
    form = _FORM.fullmatch(file)
    if form is None:
        found = file.partition(b"\n")[0][:40].decode("ascii", "backslashreplace")
        raise DamagedSignature(
            f"{origin}: expected the five lines of a signature, from {_TITLE!r} to 'ed25519 ...', found {len(file)} "
            f"bytes that begin with {found!r}; copy the file anew, byte by byte, or sign again with hotswap sign"
        )
    module, manifest, key, signature = (field.decode("ascii") for field in form.groups())
    return Statement(module, manifest, key), bytes.fromhex(signature)
