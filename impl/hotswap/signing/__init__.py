"""Plugins that somebody you trust has signed. Opt-in, with the extra `signing`:

    trust = hotswap.signing.TrustStore.from_directory("/etc/tax/trusted")
    manager = hotswap.HotReloadManager(ports=hotswap.signing.signed_only(trust))
    plugin = manager.register("tax", *hotswap.signing.verified("tax-1.0.0.wasm", trust))
    plugin.upgrade(*hotswap.signing.verified("tax-1.1.0.wasm", trust))

An Ed25519 signature in a file of its own covers the exact bytes of a module and of its manifest (`_statement.py`).
`verified` reads each file once, and what it returns is what was verified. `signed_only` refuses everything else at the
one door that register and upgrade go through. See docs/signing.md and docs/adr/0010.
"""

from __future__ import annotations

try:
    import cryptography as _  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "signing needs cryptography: pip install 'hotswap[signing]'", name="cryptography"
    ) from error

from hotswap.signing._gate import signed_only
from hotswap.signing._keys import SigningKey
from hotswap.signing._trust import TrustStore
from hotswap.signing._verify import SignedModule, Verified, sign, verified, verify

__all__ = ["SignedModule", "SigningKey", "TrustStore", "Verified", "sign", "signed_only", "verified", "verify"]
