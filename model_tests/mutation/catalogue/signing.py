"""What is believed, and why."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import (
    CODE,
    SIGNING_FILES,
    SIGNING_GATE,
    SIGNING_STATEMENT,
    SIGNING_TRUST,
    SIGNING_VERIFY,
)

SIGNATURES: Final = (
    mutant(
        "a-pin-is-a-remark",
        "The digest that a manifest pins is read, and compared with nothing",
        swap(CODE, "        refuse_other_bytes(admitted.origin, admitted.digest, manifest)\n", ""),
        tries="runtime load: pin",
    ),
    mutant(
        "the-key-is-known-and-that-is-enough",
        "A signature that names a trusted key is taken for one by it",
        swap(
            SIGNING_TRUST,
            "            key.verify(signature, statement.message())\n",
            "            key.public_bytes_raw()\n",
        ),
        tries="signing",
    ),
    mutant(
        "module-and-manifest-are-signed-apart",
        "The message has the digest of the module alone, so any manifest goes with it",
        swap(SIGNING_STATEMENT, 'f"manifest-sha256 {self.manifest}"', '"manifest-sha256"'),
        swap(SIGNING_STATEMENT, "return statement.message() +", "return _shown(statement) +"),
        diff(
            SIGNING_STATEMENT,
            """
        +def _shown(statement: Statement) -> bytes:
        +    return statement.message().replace(b"manifest-sha256", f"manifest-sha256 {statement.manifest}".encode())
        +
        +
         def written(statement: Statement, signature: bytes) -> bytes:
            """,
        ),
        tries="signing",
    ),
    mutant(
        "parsed-and-then-believed",
        "The manifest is parsed before its signature is verified",
        diff(
            SIGNING_VERIFY,
            """
        -    signer = trust.signer(statement, raw, origin)
        +    parsed, signer = _parsed(toml, manifest), trust.signer(statement, raw, origin)
             _require_digest(manifest, toml, statement.manifest)
        -    return _Authentic(statement, signature, signer, toml, _parsed(toml, manifest))
        +    return _Authentic(statement, signature, signer, toml, parsed)
            """,
        ),
        tries="signing: parsed",
    ),
    mutant(
        "verified-and-then-read-again",
        "The module that was verified is read once more for those who load it",
        diff(
            SIGNING_VERIFY,
            """
        -    return authentic.with_module(wasm, f"file {str(paths.module)!r}")
        +    found = authentic.with_module(wasm, f"file {str(paths.module)!r}")
        +    again = paths.read_module(found.manifest.resources.max_module_kb)
        +    return found._replace(wasm=SignedModule(again, toml, signed, authentic.signer))
            """,
        ),
        tries="signing: exchanged",
    ),
    mutant(
        "the-door-believes-the-manifest",
        "Where signatures are demanded, a signed module goes with any manifest",
        swap(SIGNING_GATE, "        if found.manifest != manifest:\n", "        if not found.manifest:\n"),
        tries="signing",
    ),
    mutant(
        "a-signature-may-go-on",
        "What stands behind the signature in its file is left out of account",
        swap(SIGNING_STATEMENT, "_FORM.fullmatch(file)", "_FORM.match(file)"),
        tries="signing",
    ),
    mutant(
        "a-new-key-takes-the-place-of-the-old",
        "A private key is written over one that is there",
        swap(SIGNING_FILES, "os.O_CREAT | os.O_EXCL", "os.O_CREAT | os.O_TRUNC"),
        tries="signing",
    ),
)
