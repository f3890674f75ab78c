"""From files, or bytes, to a module and a manifest that somebody who is trusted has signed together.

Nothing is parsed before it is authenticated, but for the signature's own five lines: first the signature, then the
manifest's digest, then the manifest, whose limit bounds how much of the module is read, then the module's digest. Each
file is read once, and the bytes that were verified are the bytes that are returned.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Self

from hotswap._compat import refuse_other_bytes
from hotswap._errors import BadSignature, ManifestError, MissingSignature, ModuleRejected
from hotswap._manifest import PluginManifest
from hotswap._manifest_text import TEXT_MAX
from hotswap._wasm import too_large
from hotswap.signing._files import TooLarge, Unusable, read_file
from hotswap.signing._keys import SigningKey
from hotswap.signing._statement import SIZE_MAX, Statement, read, sha256, written
from hotswap.signing._trust import TrustStore


class SignedModule(bytes):
    """The bytes of a module, and what proves whose they are. What is cut out of it is plain bytes again."""

    manifest_toml: bytes
    signature: bytes
    signer: str
    """The name of the key in the trust store."""

    def __new__(cls, wasm: bytes, manifest_toml: bytes, signature: bytes, signer: str) -> Self:
        made = super().__new__(cls, wasm)
        made.manifest_toml, made.signature, made.signer = manifest_toml, signature, signer
        return made


class Verified(NamedTuple):
    """What register and upgrade take: `plugin.upgrade(*verified(...))`."""

    wasm: SignedModule
    manifest: PluginManifest


class _Authentic(NamedTuple):
    """A signature and a manifest that are genuine; the module is still to come."""

    statement: Statement
    signature: bytes
    signer: str
    toml: bytes
    manifest: PluginManifest

    def with_module(self, wasm: bytes, origin: str) -> Verified:
        _require_digest(origin, wasm, self.statement.module)
        refuse_other_bytes(origin, self.statement.module, self.manifest)
        return Verified(SignedModule(wasm, self.toml, self.signature, self.signer), self.manifest)


def verified(
    module: str | os.PathLike[str],
    trust: TrustStore,
    *,
    manifest: str | os.PathLike[str] | None = None,
    signature: str | os.PathLike[str] | None = None,
) -> Verified:
    """Read a plugin's three files, each once, and verify them.

    The manifest is by default the one beside the module with its stem and `.toml`, the signature is the module's file
    name with `.sig` added. Raises `MissingSignature`, `DamagedSignature`, `UnknownKey`, `BadSignature`,
    `ManifestError`, `ModuleRejected`.
    """
    paths = PluginFiles.of(module, manifest, signature)
    signed = paths.read_signature()
    toml = paths.read_manifest()
    authentic = _authentic(signed, toml, trust, f"signature {str(paths.signature)!r}", str(paths.manifest))
    wasm = paths.read_module(authentic.manifest.resources.max_module_kb)
    return authentic.with_module(wasm, f"file {str(paths.module)!r}")


def verify(module: bytes, manifest: bytes, signature: bytes, trust: TrustStore) -> Verified:
    """Likewise, of the contents of the three files. Raises as `verified` does."""
    authentic = _authentic(signature, manifest, trust, "the signature given", "the manifest given")
    return authentic.with_module(module, "the module given")


def sign(module: bytes, manifest: bytes, key: SigningKey) -> bytes:
    """The content of the signature file of a module in binary form and a manifest in TOML.

    What nobody could load is not signed. Raises `ManifestError`, `ModuleRejected`.
    """
    parsed = _parsed(manifest, "the manifest given")
    if module[:4] != b"\0asm":
        raise ModuleRejected(
            f"the module given: expected a WebAssembly binary, found {module[:4]!r} at its start; "
            "what is signed is the binary, so turn WAT into one first (wat2wasm)"
        )
    statement = Statement(module=sha256(module), manifest=sha256(manifest), key=key.fingerprint)
    refuse_other_bytes("the module given", statement.module, parsed)
    return written(statement, key.sign(statement.message()))


def _authentic(signature: bytes, toml: bytes, trust: TrustStore, origin: str, manifest: str) -> _Authentic:
    statement, raw = read(signature, origin)
    signer = trust.signer(statement, raw, origin)
    _require_digest(manifest, toml, statement.manifest)
    return _Authentic(statement, signature, signer, toml, _parsed(toml, manifest))


def _require_digest(origin: str, data: bytes, signed: str) -> None:
    if (found := sha256(data)) != signed:
        raise BadSignature(
            f"{origin}: expected the bytes with SHA-256 {signed}, which were signed, found {found}; "
            "load the file that was signed, or have this one signed"
        )


def _parsed(toml: bytes, origin: str) -> PluginManifest:
    try:
        return PluginManifest.from_toml(toml.decode())
    except UnicodeDecodeError as error:
        raise ManifestError(f"{origin}: expected TOML in UTF-8, found a fault: {error}") from error
    except ManifestError as error:
        raise ManifestError(f"{origin}: {error}") from error.__cause__


class PluginFiles(NamedTuple):
    """Where a plugin's three files are."""

    module: Path
    manifest: Path
    signature: Path

    @classmethod
    def of(
        cls,
        module: str | os.PathLike[str],
        manifest: str | os.PathLike[str] | None = None,
        signature: str | os.PathLike[str] | None = None,
    ) -> PluginFiles:
        path = Path(module)
        return cls(
            path,
            path.parent / f"{path.stem}.toml" if manifest is None else Path(manifest),
            path.parent / f"{path.name}.sig" if signature is None else Path(signature),
        )

    def read_signature(self) -> bytes:
        try:
            return read_file(self.signature, SIZE_MAX)
        except Unusable as error:
            raise MissingSignature(
                f"{self.module}: expected its signature in {str(self.signature)!r}, found a fault: {error}; "
                "get the file from who signed the plugin, or sign it with hotswap sign"
            ) from error.__cause__

    def read_manifest(self) -> bytes:
        try:
            return read_file(self.manifest, TEXT_MAX)
        except Unusable as error:
            raise ManifestError(
                f"{self.manifest}: expected the manifest that was signed, found a fault: {error}"
            ) from error.__cause__

    def read_module(self, max_module_kb: int) -> bytes:
        try:
            return read_file(self.module, max_module_kb << 10)
        except TooLarge as error:
            raise too_large(f"file {str(self.module)!r}", max_module_kb, "more") from error
        except Unusable as error:
            what = f"file {str(self.module)!r}: expected a .wasm file, found a fault: {error}"
            raise ModuleRejected(what) from error.__cause__
