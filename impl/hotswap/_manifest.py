"""What a plugin says about itself: its name and version, what it needs, what it exports.

A manifest is immutable, hashable and valid, however it was made; `_manifest_toml` says how, and holds the
sections. Whether a module keeps what its manifest promises is the question of `_compat`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
import tomli_w

from hotswap._errors import ManifestError
from hotswap._manifest_text import TEXT_MAX, document
from hotswap._manifest_toml import (
    LARGEST,
    Capabilities,
    ConfigField,
    ConfigSchema,
    ConfigType,
    Exports,
    Hooks,
    PluginMetadata,
    ResourceLimits,
    Scalar,
    Table,
)

__all__ = [
    "LARGEST",
    "Capabilities",
    "ConfigField",
    "ConfigSchema",
    "Exports",
    "Hooks",
    "ManifestBuilder",
    "PluginManifest",
    "PluginMetadata",
    "ResourceLimits",
    "load_manifest",
]


class PluginManifest(Table, frozen=True, kw_only=True):
    """A plugin's manifest, one attribute a section; every section but `plugin` may be left out."""

    place: ClassVar[str] = "[{}]"

    plugin: PluginMetadata
    capabilities: Capabilities = Capabilities()
    resources: ResourceLimits = ResourceLimits()
    exports: Exports = Exports()
    hooks: Hooks = Hooks()
    config_schema: ConfigSchema = ConfigSchema()

    def __post_init__(self) -> None:
        super().__post_init__()
        exported = self.functions_named()
        for when in Hooks.__struct_fields__:
            for function in getattr(self.hooks, when):
                if function not in exported:
                    what = f"expected an exported function, found {function!r}; add it to [exports] functions"
                    raise Hooks.problem(when, what)

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read a manifest from TOML text.

        Raises `ManifestError`; if the text is no TOML, the cause is the parser's error, with line and column.
        """
        return cls.from_table(document(text))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read a manifest from a UTF-8 TOML file. Raises `ManifestError`, which names the path."""
        try:
            with Path(path).open("rb") as file:
                data = file.read(TEXT_MAX + 1)  # a file that has no end is not read to its end
            if len(data) > TEXT_MAX:
                raise ManifestError(f"{path}: expected at most {TEXT_MAX} bytes of TOML, found more; is it a manifest?")
            text = data.decode()
        except (OSError, ValueError) as error:
            what = f"expected the path of a UTF-8 TOML file, found a fault: {error}"
            raise ManifestError(f"{path}: {what}; TOML text is for PluginManifest.from_toml") from error
        try:
            return cls.from_toml(text)
        except ManifestError as error:
            raise ManifestError(f"{path}: {error}") from error.__cause__

    def to_toml(self) -> str:
        """Write it as TOML that reads back equal, up to a megabyte; with its defaults, which may change."""
        tables = msgspec.to_builtins(self, enc_hook=dict)
        if self.plugin.module_sha256 is None:  # TOML has no word for it
            del tables["plugin"]["module_sha256"]
        return tomli_w.dumps(tables)

    def functions_named(self) -> frozenset[str]:
        """Every function that the exports or the hooks name; a hook names none that the exports do not."""
        return frozenset(self.exports.functions)


class ManifestBuilder:
    """Builds a manifest step by step; a wrong key is refused at its step, a wrong value by `build`."""

    def __init__(self, name: str, version: str) -> None:
        self._plugin = {"name": name, "version": version}
        self._capabilities: dict[str, bool | Sequence[str]] = {}
        self._limits: dict[str, int] = {}
        self._functions: list[str] = []
        self._signatures: dict[str, str] = {}
        self._hooks: dict[str, list[str]] = {}
        self._fields: list[dict[str, Any]] = []

    def describe(
        self,
        *,
        description: str | None = None,
        author: str | None = None,
        license: str | None = None,  # noqa: A002, the manifest's word
    ) -> Self:
        """Set the texts that are given."""
        texts = {"description": description, "author": author, "license": license}
        self._plugin.update({key: text for key, text in texts.items() if text is not None})
        return self

    def pin(self, module_sha256: str) -> Self:
        """Accept the module of this SHA-256 only, in 64 lowercase hexadecimal digits."""
        self._plugin["module_sha256"] = module_sha256
        return self

    def export(self, name: str, signature: str | None = None) -> Self:
        """Add an exported function; `signature` is a text such as `(i32) -> i32`."""
        self._functions.append(name)
        if signature is not None:
            self._signatures[name] = signature
        return self

    def hook(self, when: str, function: str) -> Self:
        """Add a function to a hook such as `before_insert`; it has to be exported too."""
        Hooks.require_known(when)
        self._hooks.setdefault(when, []).append(function)
        return self

    def capability(self, name: str, value: bool | Sequence[str]) -> Self:
        """Set a capability such as `can_read_table`."""
        Capabilities.require_known(name)
        self._capabilities[name] = value
        return self

    def limit(self, name: str, value: int) -> Self:
        """Set a resource limit such as `timeout_ms`, in the unit that its name says."""
        ResourceLimits.require_known(name)
        self._limits[name] = value
        return self

    def config(
        self,
        name: str,
        type: ConfigType,  # noqa: A002, the manifest's word
        *,
        required: bool = False,
        default: Scalar | Sequence[Scalar] | None = None,
        description: str = "",
    ) -> Self:
        """Add a setting to the config schema."""
        field = {
            "name": name,
            "type": type,
            "required": required,
            "default": default,
            "description": description,
        }
        self._fields.append(field)
        return self

    def build(self) -> PluginManifest:
        """Return the manifest of all steps so far. Raises `ManifestError`."""
        return PluginManifest.from_table(
            {
                "plugin": self._plugin,
                "capabilities": self._capabilities,
                "resources": self._limits,
                "exports": {"functions": self._functions, "signatures": self._signatures},
                "hooks": self._hooks,
                "config_schema": {"fields": self._fields},
            }
        )


def load_manifest(manifest: PluginManifest | str | os.PathLike[str]) -> PluginManifest:
    """Return a manifest as it is, or read it from the path of a TOML file. Raises `ManifestError`."""
    if isinstance(manifest, PluginManifest):
        return manifest
    if isinstance(manifest, str | os.PathLike):
        return PluginManifest.from_file(manifest)
    raise ManifestError(
        f"expected a PluginManifest or the path of a TOML file (str or os.PathLike), found {type(manifest).__name__}"
    )
