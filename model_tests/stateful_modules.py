"""Modules, good and bad, each with what becomes of who prepares it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import hotswap
from hotswap import ManifestBuilder, PluginManifest
from worlds import wat


@dataclass(frozen=True)
class Module:
    kind: str
    number: int
    version: str
    wasm: Any
    manifest: PluginManifest
    fault: type[hotswap.HotswapError] | None = None
    allow: dict[str, bool] = field(default_factory=dict)

    @property
    def loads(self) -> bool:
        """Whether it comes so far; the name is looked at before."""
        return self.manifest.plugin.name == "p"


@cache
def _manifest(version: str, size: int, *exports: str, name: str = "p", memory_mb: int = 1) -> PluginManifest:
    builder = ManifestBuilder(name, version)
    for export in exports:
        builder = builder.export(export)
    builder = builder.limit("max_instances", size).limit("timeout_ms", 60_000)
    return builder.limit("fuel_limit", 0).limit("memory_limit_mb", memory_mb).build()


NAMED = "version", "hold"
WITHOUT_HOLD = '(module (func (export "version") (result i32) i32.const 0))'


def make(kind: str, number: int, size: int, serves: str = "") -> Module:
    """The module of that number, newer than all before it. `serves` is the version that a rebuild follows."""
    newer, older, good = f"{number}.0.0", f"0.0.0-{1_000_000 - number}", wat(number)

    def module(
        wasm: Any,
        version: str,
        fault: type[hotswap.HotswapError] | None = None,
        *exports: str,
        name: str = "p",
        memory_mb: int = 1,
        **allow: bool,
    ) -> Module:
        manifest = _manifest(version, size, *exports or NAMED, name=name, memory_mb=memory_mb)
        return Module(kind, number, version, wasm, manifest, fault, allow)

    more = number + 1  # than any before it
    bad, refused = hotswap.ModuleRejected, hotswap.IncompatibleUpgrade
    kinds: dict[str, Callable[[], Module]] = {
        "good": lambda: module(good, newer),
        "garbage": lambda: module(b"garbage", newer, hotswap.MalformedModule),
        "import": lambda: module('(module (import "env" "f" (func)))', newer, bad),
        "lacks an export": lambda: module(good, newer, bad, *NAMED, "more"),
        "start": lambda: module(wat(number, extra="(func $s unreachable) (start $s)"), newer, hotswap.InitFailed),
        "init": lambda: module(wat(number, init="i32.const 1"), newer, hotswap.InitFailed),
        "init_trap": lambda: module(wat(number, init="unreachable"), newer, hotswap.InitFailed),
        "probe": lambda: module(wat(number, probe="i32.const 1"), newer, hotswap.ProbeFailed),
        "incompatible": lambda: module(WITHOUT_HOLD, newer, refused, "version"),
        "older": lambda: module(good, older, refused),
        "older, allowed": lambda: module(good, older, allow_downgrade=True),
        "rebuilt": lambda: module(good, serves, refused),
        "rebuilt, allowed": lambda: module(good, serves, allow_rebuild=True),
        "asks for more": lambda: module(good, newer, refused, memory_mb=more),
        "asks for more, allowed": lambda: module(good, newer, memory_mb=more, allow_escalation=True),
        "another's name": lambda: module(good, newer, refused, name="q"),
    }
    return kinds[kind]()


GOOD = "good", "older, allowed", "rebuilt, allowed", "asks for more, allowed"
BAD = (
    *("garbage", "import", "lacks an export", "start", "init", "init_trap", "probe", "incompatible", "older"),
    *("rebuilt", "asks for more", "another's name"),
)
BAD_FIRST = "garbage", "lacks an export", "init", "probe", "another's name"
"""What may not even be the first version."""
