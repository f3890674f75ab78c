"""A runtime that loads nothing unsigned: the one door that register and every upgrade go through, however asked for."""

from __future__ import annotations

from dataclasses import replace

from hotswap._errors import BadSignature, MissingSignature
from hotswap._host import NO_IMPORTS, Imports
from hotswap._manifest import PluginManifest
from hotswap._plugin import REAL_PORTS
from hotswap._ports import Code, Ports, Runtime
from hotswap.signing._trust import TrustStore
from hotswap.signing._verify import SignedModule, verify


class SignedRuntime:
    """Implements the port `Runtime`. Believes no type and no earlier check: each load verifies the signature again."""

    def __init__(self, runtime: Runtime, trust: TrustStore) -> None:
        self._runtime, self._trust = runtime, trust

    def load(self, wasm: object, manifest: PluginManifest, imports: Imports = NO_IMPORTS) -> Code:
        """Raises `MissingSignature`, `UnknownKey`, `BadSignature`, and what loading raises."""
        if not isinstance(wasm, SignedModule):
            raise MissingSignature(
                f"plugin {manifest.plugin.name!r}: expected a signed module, as hotswap.signing.verified returns it, "
                f"found {type(wasm).__name__}; pass on what it returns"
            )
        code = bytes(wasm)
        found = verify(code, wasm.manifest_toml, wasm.signature, self._trust)
        if found.manifest != manifest:
            raise BadSignature(
                f"plugin {manifest.plugin.name!r}: expected the manifest that was signed with the module, found "
                "another; pass on both that hotswap.signing.verified returns"
            )
        return self._runtime.load(code, manifest, imports)


def signed_only(trust: TrustStore, ports: Ports = REAL_PORTS) -> Ports:
    """Ports with which a manager, or a plugin, takes signed modules only."""
    return replace(ports, runtime=SignedRuntime(ports.runtime, trust))
