"""What must hold for whatever is given as a signed plugin, as a trust store or as a key.

- `verify` says that a plugin is genuine exactly if its module, manifest and signature are the bytes that somebody in
  the trust store has signed together; otherwise it raises a kind of `SignatureError`, and nothing else.
- A trust store takes exactly what is the PEM of one Ed25519 public key; its form is written down here a second time.
- A private key is one or is refused; what a damaged one signs is the same key's or an unknown one's.
- Files on disk likewise: whatever stands in their place, nothing is waited for, and no descriptor stays open.
"""

from __future__ import annotations

import base64
import os
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from cache_fuzz import descriptors
from damage import damaged
from fuzzing import examine
from hotswap import HotswapError, KeyRejected, SignatureError
from hotswap.signing import SigningKey, TrustStore, sign, verified, verify
from signed_plugins import ALICE, BOB, EVE, TRUST, binary, toml

MODULES: Final = tuple(binary(number) for number in (1, 2))
MANIFESTS: Final = (toml("1.0.0"), toml("1.1.0", max_instances=2), toml("1.0.0").replace(b"60000", b"60_000"))
KEYS: Final = {"alice": ALICE, "bob": BOB, "eve": EVE}
GENUINE: Final = {
    sign(module, manifest, key): (name, module, manifest)
    for name, key in KEYS.items()
    for module in MODULES
    for manifest in MANIFESTS
}
"""Ed25519 gives one signature for one key and message."""
SIGNATURES: Final = tuple(GENUINE)
ALICE_PRIVATE: Final = ALICE.private_pem()
ENCRYPTED: Final = ALICE.private_pem(b"phrase")
PIECES: Final = (
    *(b"\n", b"\r\n", b" ", b"\0", b"=", b"0", b"f", b"F", b"-", b"hotswap-signature 1\n", b"hotswap-signature 2\n"),
    *(
        b"-----BEGIN PUBLIC KEY-----\n",
        b"-----END PUBLIC KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\n",
        b"MCowBQYDK2VwAyEA",
    ),
    *(b"A" * 4_100, bytes(64), b"ed25519 " + b"0" * 128 + b"\n", *SIGNATURES[0].splitlines(keepends=True)),
)
ON_DISK: Final = 10
"""Every so manieth example is one of files."""

_PEM: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/]{59}=)\n-----END PUBLIC KEY-----\n")
_HEAD: Final = bytes.fromhex("302a300506032b6570032100")


class Plugin(NamedTuple):
    module: bytes
    manifest: bytes
    signature: bytes

    def signer(self) -> str | None:
        """Whose name is on exactly this."""
        name, module, manifest = GENUINE.get(self.signature, ("", b"", b""))
        return name if (module, manifest) == (self.module, self.manifest) else None


def is_key(pem: bytes) -> bool:
    form = _PEM.fullmatch(pem)
    if form is None:
        return False
    key = base64.b64decode(form[1])
    return key.startswith(_HEAD) and base64.b64encode(key) == form[1]


def is_trust(pems: dict[str, bytes]) -> bool:
    named = all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}", name) for name in pems)
    return named and bool(pems) and all(map(is_key, pems.values())) and len({*pems.values()}) == len(pems)


def made(chance: random.Random) -> Plugin:
    """Genuine, put together from what is, or damaged."""
    signature = chance.choice(SIGNATURES)
    _, module, manifest = GENUINE[signature]
    kind = chance.random()
    if kind < 0.15:
        return Plugin(module, manifest, signature)
    if kind < 0.3:
        return Plugin(chance.choice(MODULES), chance.choice(MANIFESTS), signature)
    if kind < 0.45:
        return Plugin(module, manifest, mixed(signature, chance))
    parts = [module, manifest, signature]
    for which in {*chance.choices((0, 1, 2, 2, 2), k=chance.choice((1, 1, 2)))}:
        parts[which] = damaged(parts[which], chance, PIECES)
    return Plugin(*parts)


def mixed(signature: bytes, chance: random.Random) -> bytes:
    """Each line from one that is genuine; or the line of the signature for another text."""
    lines = [chance.choice((signature, chance.choice(SIGNATURES))).splitlines(keepends=True)[at] for at in range(5)]
    if chance.random() < 0.5:
        key = chance.choice((ALICE, BOB, EVE))
        text = b"".join(lines[:4])
        signed = chance.choice((text, text[:-1], text.replace(b" 1\n", b" 2\n"), b"".join(lines[1:4]), b""))
        lines[4] = b"ed25519 " + key.sign(signed).hex().encode() + b"\n"
    return b"".join(lines)


def is_genuine(plugin: Plugin, trusted: dict[str, bytes]) -> bool:
    """Also what `mixed` has signed anew: for one key and statement there is one signature."""
    signer = plugin.signer()
    return signer is not None and KEYS[signer].public_pem() in trusted.values()


def refusal(action: Callable[[], object], kind: type[HotswapError]) -> HotswapError | None:
    try:
        action()
    except kind as error:
        return error
    return None


# In memory -------------------------------------------------------------------------------------------------


def pems(chance: random.Random) -> dict[str, bytes]:
    """A trust store, half of the time a whole one."""
    whole = {name: KEYS[name].public_pem() for name in ("alice", "bob")}
    match chance.randint(0, 9):
        case 0:
            whole[chance.choice(("alice", "bob"))] = damaged(ALICE.public_pem(), chance, PIECES)
        case 1:
            whole[chance.choice(("", "a b", "größe", "x" * 129, "alice\n", "../alice", "c"))] = EVE.public_pem()
        case 2:
            whole["bob"] = chance.choice((ALICE.public_pem(), ALICE_PRIVATE, ENCRYPTED, b"", SIGNATURES[0]))
        case 3:
            del whole[chance.choice(("alice", "bob"))]
        case 4:
            whole = {}
    return whole


def check_plugin(chance: random.Random) -> str:
    plugin, trusted = made(chance), pems(chance)
    rejected = refusal(lambda: TrustStore(trusted), KeyRejected)
    assert (rejected is None) == is_trust(trusted), f"trust store: {trusted}, {rejected}"
    trust = TRUST if rejected else TrustStore(trusted)
    signers = {name: KEYS[name].public_pem() for name in ("alice", "bob")} if rejected else trusted
    error = refusal(lambda: verify(*plugin, trust), SignatureError)
    assert (error is None) == is_genuine(plugin, signers), f"{plugin}, under {signers}: {error!r}"
    if error is None:
        return "genuine"
    return f"{type(error).__name__}{', and no trust store' if rejected else ''}"


def check_key(chance: random.Random) -> str:
    """A private key; one that is encrypted is given without its passphrase, or whole with a wrong one."""
    if chance.random() < 0.3:
        pem, phrase = damaged(ENCRYPTED, chance, PIECES), None
    else:
        pem, phrase = damaged(ALICE_PRIVATE, chance, PIECES), chance.choice((None, None, None, b"", b"phrase"))
    if refusal(lambda: SigningKey.from_pem(pem, phrase), KeyRejected):
        return "no private key"
    key = SigningKey.from_pem(pem, phrase)
    signature = sign(MODULES[0], MANIFESTS[0], key)
    if key.fingerprint == ALICE.fingerprint:
        assert signature in GENUINE, "the same key signs otherwise"
        return "the same private key"
    assert refusal(lambda: verify(MODULES[0], MANIFESTS[0], signature, TRUST), SignatureError)
    return "another private key"


# On disk ---------------------------------------------------------------------------------------------------


class Files:
    """A signed plugin and a trust store in a folder."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="hotswap-fuzz-"))
        self.trust = self.root / "trust"
        self.all = [self.root / name for name in ("p.wasm", "p.toml", "p.wasm.sig", "trust/alice.pem", "trust/bob.pem")]
        self.descriptors = 0

    def write(self, plugin: Plugin) -> None:
        if self.trust.exists():
            self.trust.chmod(0o755)
            shutil.rmtree(self.root)
        self.trust.mkdir(parents=True, mode=0o755)
        pair = ALICE.public_pem(), BOB.public_pem()
        for path, content in zip(self.all, (*plugin, *pair), strict=True):
            path.write_bytes(content)
            path.chmod(0o644)

    def put_instead(self, path: Path, what: int) -> None:
        match what:
            case 0:
                path.chmod(0o666)
            case 1:
                path.parent.chmod(0o777)
            case 2:
                os.truncate(path, 1 << 40)
            case _:
                path.unlink()
        match what:
            case 3:
                path.mkdir()
            case 4:
                os.mkfifo(path, 0o600)
            case 5:
                path.symlink_to("/dev/zero")
            case 6:
                path.symlink_to(path)


@cache
def files() -> Files:
    return Files()


def check_files(chance: random.Random) -> str:
    there, plugin = files(), made(chance)
    there.write(plugin)
    before = descriptors()
    path, what = chance.choice(there.all), chance.randint(0, 14)
    there.put_instead(path, what) if what < 8 else None
    is_pem = path.parent == there.trust
    spoiled = what in range(2, 8) or (what in (0, 1) and is_pem)
    if what == 7 and is_pem:  # a key fewer
        spoiled = False
    error = refusal(lambda: verified(there.all[0], TrustStore.from_directory(there.trust)), HotswapError)
    assert descriptors() == before, "a descriptor stays open"
    trusted = {pem.stem: pem.read_bytes() for pem in there.all[3:] if pem.is_file()} if not spoiled else {}
    assert (error is None) == (not spoiled and is_genuine(plugin, trusted)), f"{path}, {what}: {error!r}"
    return "genuine on disk" if error is None else "refused on disk"


def fates(number: int) -> Iterator[str]:
    chance = random.Random(number)
    if number % ON_DISK == 0:
        yield check_files(chance)
    elif number % ON_DISK == 1:
        yield check_key(chance)
    else:
        yield check_plugin(chance)


def told(number: int) -> str:
    return f"{('files', 'a private key')[number % ON_DISK] if number % ON_DISK < 2 else 'a plugin'}"


def fuzz(first: str, count: str, current: str) -> str:
    try:
        return examine(fates, told, first, count, current)
    finally:
        shutil.rmtree(files().root, ignore_errors=True)
        files.cache_clear()
