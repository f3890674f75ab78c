"""Manifests, cache entries and signatures made by chance: what must hold for each is said in `*_fuzz.py`.

They run in a child, which nothing may kill or hang; `fuzzing.py` has the driver, and shows one example again.
"""

from __future__ import annotations

import hmac
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cache_fuzz
import fuzzing
import manifest_fuzz
import manifest_generated
import signature_fuzz
from fuzzing import examine, hold
from hotswap import BadSignature, CompileCache, ManifestError, PluginManifest
from hotswap._manifest_toml import Table
from hotswap.signing import _trust, _verify
from signed_plugins import ALICE

CHUNK = 50_000
FATES: dict[object, tuple[str, ...]] = {
    manifest_fuzz.fuzz: ("as it was meant", "refused", "no TOML", "keys too long", "damaged and right", "counted"),
    cache_fuzz.fuzz: ("hits", "misses", "rejected", "loaded from the cache", "compiled anew"),
    signature_fuzz.fuzz: (
        *("genuine", "DamagedSignature", "BadSignature", "UnknownKey", "BadSignature, and no trust store"),
        *("no private key", "the same private key", "another private key", "genuine on disk", "refused on disk"),
    ),
}


@pytest.mark.parametrize(
    ("fuzz", "count"),
    [(manifest_fuzz.fuzz, 4_000), (cache_fuzz.fuzz, 2_000), (signature_fuzz.fuzz, 2_000)],
    ids=["manifests", "cache entries", "signatures"],
)
def test_examples_made_by_chance_hold(fuzz: Callable[[str, str, str], str], count: int, tmp_path: Path) -> None:
    became = hold(fuzz, 0, count, tmp_path / "note")
    assert {fate for fate in FATES[fuzz] if became[fate]} == {*FATES[fuzz]}, became
    assert became.total() >= count


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(1, 11))
def test_many_manifests_made_by_chance_hold(tmp_path: Path, chunk: int) -> None:
    hold(manifest_fuzz.fuzz, chunk * CHUNK, CHUNK, tmp_path / "note")


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(1, 5))
def test_many_cache_entries_made_by_chance_hold(tmp_path: Path, chunk: int) -> None:
    hold(cache_fuzz.fuzz, chunk * CHUNK, CHUNK, tmp_path / "note")


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(1, 11))
def test_many_signatures_made_by_chance_hold(tmp_path: Path, chunk: int) -> None:
    hold(signature_fuzz.fuzz, chunk * CHUNK, CHUNK, tmp_path / "note")


def test_the_same_number_is_the_same_example() -> None:
    assert [manifest_generated.example(number) for number in range(50)] == [
        manifest_generated.example(n) for n in range(50)
    ]
    assert len({manifest_generated.example(number).text for number in range(500)}) > 490
    once, again = (json.loads(signature_fuzz.fuzz("0", "300", os.devnull)) for _ in range(2))
    assert once == again
    once, again = (json.loads(cache_fuzz.fuzz("0", "100", os.devnull)) for _ in range(2))
    assert once == again


# The checks can fail ---------------------------------------------------------------------------------------


def without(method: str) -> Callable[[pytest.MonkeyPatch], None]:
    """A rule of manifests is forgotten."""
    return lambda patch: patch.setattr(Table, method, lambda *_: None)


def key_errors(patch: pytest.MonkeyPatch) -> None:
    read = PluginManifest.from_table

    def from_table(table: dict[str, Any]) -> PluginManifest:
        assert table["plugin"]["version"] != 0
        return read(table)

    patch.setattr(PluginManifest, "from_table", from_table)


def nameless_errors(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Table, "problem", staticmethod(lambda key, what: ManifestError(what)))


def wrong_defaults(patch: pytest.MonkeyPatch) -> None:
    written = PluginManifest.to_toml
    patch.setattr(
        PluginManifest, "to_toml", lambda self: written(self).replace("timeout_ms = 100\n", "timeout_ms = 1\n")
    )


def unauthenticated(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hmac, "compare_digest", lambda *_: True)


def entries_of_any_name(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CompileCache, "_mac", lambda self, name, data: hmac.digest(self._key, data, "sha256"))


def any_manifest(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_verify, "_require_digest", lambda *_: None)


def any_signature(patch: pytest.MonkeyPatch) -> None:
    signer = _trust.TrustStore.signer

    def believing(self: _trust.TrustStore, statement: Any, signature: bytes, origin: str) -> str:
        try:
            return signer(self, statement, signature, origin)
        except BadSignature:
            return "alice"

    patch.setattr(_trust.TrustStore, "signer", believing)


def any_pem(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_trust, "public_key", lambda pem, origin: ALICE._key.public_key())


@pytest.mark.parametrize(
    ("fuzz", "broken", "says"),
    [
        (manifest_fuzz.fuzz, key_errors, "KeyError"),
        (manifest_fuzz.fuzz, nameless_errors, "names no place"),
        (manifest_fuzz.fuzz, without("require_distinct"), "accepted, and has a mistake"),
        (manifest_fuzz.fuzz, wrong_defaults, "written and read again"),
        (cache_fuzz.fuzz, unauthenticated, "expected None, found|wasmtime is given what nobody has put"),
        (cache_fuzz.fuzz, entries_of_any_name, "expected None, found|found None"),
        (signature_fuzz.fuzz, any_manifest, "ManifestError|Plugin.*: None"),
        (signature_fuzz.fuzz, any_signature, "Plugin.*: None"),
        (signature_fuzz.fuzz, any_pem, "trust store: "),
    ],
)
def test_what_is_broken_is_noticed(
    fuzz: Callable[[str, str, str], str],
    broken: Callable[[pytest.MonkeyPatch], None],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken(monkeypatch)
    with pytest.raises(AssertionError, match=rf"(?s)example \d+: .*({says})"):
        fuzz("0", "2000", os.devnull)


# The driver ------------------------------------------------------------------------------------------------


def dying(first: str, count: str, current: str) -> str:
    def fates(number: int) -> Iterator[str]:
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield "lived"

    return examine(fates, str, first, count, current)


def hanging(first: str, count: str, current: str) -> str:
    fuzzing.hangs_after_s = 0.2

    def fates(number: int) -> Iterator[str]:
        if number == 105:
            threading.Event().wait()
        yield "ended"

    return examine(fates, str, first, count, current)


def test_an_example_that_kills_is_named(tmp_path: Path) -> None:
    again = "again: PYTHONPATH=model_tests python -m fuzzing test_fuzz 3"
    with pytest.raises(AssertionError, match=rf"(?s)^exit -9 at example 3: .*{again}$"):
        hold(dying, 0, 10, tmp_path / "note")
    assert hold(dying, 4, 10, tmp_path / "note") == {"lived": 10}


def test_an_example_that_hangs_is_named_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"(?s)^exit 1 at example 105: Timeout .*in fates"):
        hold(hanging, 100, 10, tmp_path / "note")


def test_one_example_is_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    fuzzing.main("manifest_fuzz", "7", "8")
    assert [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()] == ["7", "8"]
