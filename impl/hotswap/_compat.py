"""Whether a module keeps its manifest's promises, and whether a candidate may follow the version that serves.

Pure rules over facts: no I/O, and no wasm engine. They return their problems as texts that say what was
expected, what was found and what to do; all of them, so that an author mends a candidate once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from hotswap._errors import DigestMismatch, HotswapError
from hotswap._manifest import Capabilities, PluginManifest, ResourceLimits
from hotswap._signature import Signature

_OURS = {
    "hotswap_init": Signature((), ("i32",)),
    "hotswap_probe": Signature((), ("i32",)),
    "hotswap_alloc": Signature(("i32",), ("i32",)),
    "hotswap_free": Signature(("i32", "i32"), ()),
}
"""Exports that this package calls by name, all optional."""


@dataclass(frozen=True, slots=True)
class ModuleFacts:
    """What a compiled module really is."""

    digest: str
    """SHA-256 of its bytes, in hexadecimal."""
    functions: Mapping[str, Signature]
    """Its exported functions."""
    imports: frozenset[str] = frozenset()
    """The host functions that it calls, as `module.name`."""


class Permissions(TypedDict, total=False):
    """What the one who upgrades may allow, each by name; nothing is allowed unless asked for."""

    allow_downgrade: bool
    """An older version."""
    allow_rebuild: bool
    """The same version with other bytes."""
    allow_escalation: bool
    """More capabilities, host functions or larger limits than the version that serves has."""


def module_problems(manifest: PluginManifest, facts: ModuleFacts) -> list[str]:
    """What the module of a manifest lacks: exports that are named, signatures that are declared or ours."""
    exported = facts.functions
    found = ", ".join(sorted(exported)) or "none"
    problems = [
        f"function {name!r}: expected it among the module's exports, found {found}; "
        "export it, or take it out of the manifest"
        for name in sorted(manifest.functions_named() - exported.keys())
    ]
    declared = {name: Signature.parse(text) for name, text in manifest.exports.signatures.items()}
    for signatures, source, remedy in (
        (declared, "as the manifest declares", "change the declaration or the module"),
        (_OURS, "as hotswap calls it", "change the module, or export it under another name"),
    ):
        problems += [
            f"function {name!r}: expected {signature}, {source}, found {exported[name]}; {remedy}"
            for name, signature in sorted(signatures.items())
            if name in exported and exported[name] != signature
        ]
    return problems


def upgrade_problems(
    old: tuple[PluginManifest, ModuleFacts],
    new: tuple[PluginManifest, ModuleFacts],
    *,
    allow_downgrade: bool,
    allow_rebuild: bool,
    allow_escalation: bool,
) -> list[str]:
    """Why `new` may not follow `old`. Each of the two must be without `module_problems`.

    A function counts once a manifest has named it: what else a module exports may come and go. Versions are
    compared by SemVer precedence, which ignores build metadata.
    """
    old_manifest, old_facts = old
    new_manifest, new_facts = new
    was, now = old_manifest.plugin, new_manifest.plugin
    problems = []
    if now.name != was.name:
        problems.append(
            f"plugin name: expected {was.name!r}, found {now.name!r}; "
            "an upgrade keeps the name, another plugin is registered under its own"
        )
    for name in sorted(old_manifest.functions_named()):
        before, after = old_facts.functions[name], new_facts.functions.get(name)
        if after != before:
            found = "no such export" if after is None else after
            problems.append(
                f"function {name!r}: expected {before}, as in version {was.version}, found {found}; "
                "keep it for those who call it, and export what is new under a new name"
            )
    order = now.semver.compare(was.semver)
    if order < 0 and not allow_downgrade:
        problems.append(
            f"version: expected {was.version} or newer, found {now.version}; "
            "raise the version, or allow the older one with allow_downgrade=True"
        )
    if order == 0 and new_facts.digest != old_facts.digest and not allow_rebuild:
        problems.append(
            f"version: expected the bytes of {was.version} (SHA-256 {old_facts.digest}), found others "
            f"({new_facts.digest}); raise the version, or allow the rebuild with allow_rebuild=True"
        )
    if not allow_escalation:
        problems += escalations(old_manifest, new_manifest)
        if more := sorted(new_facts.imports - old_facts.imports):
            had = ", ".join(sorted(old_facts.imports)) or "nothing"
            problems.append(
                f"imports: expected no more than {had}, as in version {was.version}, found also {', '.join(more)}; "
                "do without, or grant it with allow_escalation=True"
            )
    return problems


def escalations(old: PluginManifest, new: PluginManifest) -> list[str]:
    """What `new` asks for and `old` has not: more of a capability, a larger limit. One problem for each key.

    Every key counts, also those that cost only the host's memory: a larger plugin is a decision of the host's.
    """
    version, remedy = old.plugin.version, "ask for less, or grant it with allow_escalation=True"
    problems = []
    for key in Capabilities.__struct_fields__:
        before, after = getattr(old.capabilities, key), getattr(new.capabilities, key)
        if isinstance(after, bool):
            if after and not before:
                problems.append(f"[capabilities] {key}: expected false, as in version {version}, found true; {remedy}")
        elif more := [repr(name) for name in after if name not in before]:
            had = ", ".join(map(repr, before)) or "nothing"
            problems.append(
                f"[capabilities] {key}: expected no more than {had}, as in version {version}, "
                f"found also {', '.join(more)}; {remedy}"
            )
    for key in ResourceLimits.__struct_fields__:
        before, after = getattr(old.resources, key), getattr(new.resources, key)
        if _larger(key, before, after):
            found = "0, which is unmetered" if after == 0 else f"{after}"
            problems.append(
                f"[resources] {key}: expected at most {before}, as in version {version}, found {found}; {remedy}"
            )
    return problems


def _larger(limit: str, before: int, after: int) -> bool:
    if limit == "fuel_limit":  # 0 is unmetered, the most there is
        return before != 0 and (after == 0 or after > before)
    return after > before


def require(problems: Sequence[str], error: type[HotswapError], headline: str) -> None:
    """Raise one `error` that lists all problems under the headline, one a line, if there are any."""
    if problems:
        raise error("\n  - ".join([f"{headline}:", *problems]))


def refuse_other_bytes(origin: str, digest: str, manifest: PluginManifest) -> None:
    """Raise `DigestMismatch` if the manifest pins a module, and it is not the one with this SHA-256."""
    pinned = manifest.plugin.module_sha256
    if pinned not in (None, digest):
        raise DigestMismatch(
            f"{origin}: expected the module with SHA-256 {pinned}, which [plugin] module_sha256 pins, found {digest}; "
            "load the module that the manifest was written for, or pin this one"
        )
