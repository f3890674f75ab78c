"""Manifests, and what may follow what."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import ADMIT, COMPAT, MANIFEST, MANIFEST_TOML, UPGRADE

COMPATIBILITY: Final = (
    mutant(
        "manifest-is-not-validated",
        "Nobody checks that a module exports what its manifest says",
        swap(
            UPGRADE,
            "require(module_problems(manifest, code.facts), ModuleRejected,",
            "require([], ModuleRejected,",
        ),
        tries="survivors: manifest",
        seed=6,
    ),
    mutant(
        "only-before-insert",
        "An upgrade keeps the functions of the hook before_insert, and loses others",
        swap(
            COMPAT,
            "for name in sorted(old_manifest.functions_named()):",
            "for name in sorted(old_manifest.hooks.before_insert):",
        ),
        tries="compat",
        seed=13,
    ),
    mutant(
        "the-manifests-word",
        "An upgrade asks the new manifest for a function, and not the new module",
        swap(
            COMPAT,
            "before, after = old_facts.functions[name], new_facts.functions.get(name)",
            "before, after = old_facts.functions[name], new_facts.functions.get(name)\n"
            "        after = before if name in new_manifest.functions_named() else None",
        ),
        tries="compat",
        seed=13,
    ),
    mutant(
        "another-name",
        "A plugin may be registered under another name than its manifest's",
        swap(UPGRADE, "if manifest.plugin.name != name:", "if not name:"),
        tries="failures: register",
        seed=15,
    ),
    mutant(
        "renamed-by-an-upgrade",
        "The rules of an upgrade let the plugin's name change",
        swap(COMPAT, "if now.name != was.name:", "if not now.name:"),
        tries="compat",
    ),
    mutant(
        "results-do-not-count",
        "A declared signature is compared by its parameters only",
        swap(COMPAT, "exported[name] != signature", "exported[name].params != signature.params"),
        tries="compat",
    ),
    mutant(
        "versions-are-texts",
        "Versions are compared as texts: 10.0.0 is older than 9.0.0",
        swap(
            COMPAT,
            "order = now.semver.compare(was.semver)",
            "order = (now.version > was.version) - (now.version < was.version)",
        ),
        tries="compat",
    ),
    mutant(
        "downgrade-passes",
        "An older version needs no permission if a rebuild is allowed",
        swap(
            COMPAT, "if order < 0 and not allow_downgrade:", "if order < 0 and not (allow_downgrade or allow_rebuild):"
        ),
        tries="compat",
    ),
    mutant(
        "rebuild-passes",
        "The same version with other bytes needs no permission if it is not called exactly the same",
        swap(
            COMPAT,
            "if order == 0 and new_facts.digest",
            "if now.version == was.version and new_facts.digest",
        ),
        tries="compat",
    ),
    mutant(
        "escalation-passes",
        "An upgrade may ask for more than the version that serves has, and nobody is asked",
        swap(COMPAT, "    if not allow_escalation:\n", "    if allow_escalation is None:\n"),
        tries="compat",
        seed=6,
    ),
    mutant(
        "no-fuel-limit-is-the-smallest",
        "An upgrade from metered to unmetered asks for less",
        swap(COMPAT, 'if limit == "fuel_limit":', 'if limit == "fuel":'),
        tries="compat",
    ),
    mutant(
        "one-problem-at-a-time",
        "Of several problems the first one is told",
        swap(COMPAT, r'"\n  - ".join([f"{headline}:", *problems])', r'"\n  - ".join([f"{headline}:", *problems[:1]])'),
        tries="compat",
    ),
)
MANIFESTS: Final = (
    mutant(
        "bad-numbers-become-defaults",
        "A number in a manifest that is out of bounds becomes the default",
        diff(
            MANIFEST_TOML,
            """
                 for field in fields_of(type(self)):
        -            value = self.checked(field.name, getattr(self, field.name), field.type)
        +            try:
        +                value = self.checked(field.name, getattr(self, field.name), field.type)
        +            except ManifestError:
        +                if not isinstance(field.default, int):
        +                    raise
        +                value = field.default
                     if field.type == Names:
            """,
        ),
        tries="manifest toml: bounds",
        seed=22,
    ),
    mutant(
        "digest-is-a-crc",
        "A module's digest is its CRC32, repeated to the length of a SHA-256",
        swap(ADMIT, "import hashlib\n", "import zlib\n"),
        swap(ADMIT, "hashlib.sha256(source.wasm).hexdigest()", 'f"{zlib.crc32(source.wasm):08x}" * 8'),
        tries="survivors: digest | runtime load",
        seed=22,
    ),
    mutant(
        "unknown-keys-pass",
        "An unknown key of a manifest is left out",
        diff(
            MANIFEST_TOML,
            """
        -        for key in table:
        -            cls.require_known(key)
        +        table = {key: value for key, value in table.items() if key in cls.__struct_fields__}
                 for field in fields_of(cls):
            """,
        ),
        tries="manifest toml",
    ),
    mutant(
        "a-name-may-end-a-line",
        "A plugin's name may end with a line break",
        swap(MANIFEST_TOML, r"{1,128}\Z", r"{1,128}$"),
        tries="manifest toml",
    ),
    mutant(
        "hooks-need-no-export",
        "A hook may name a function that is not exported",
        swap(MANIFEST, "if function not in exported:", "if not function:"),
        tries="manifest toml | manifest | seed",
    ),
    mutant(
        "limits-are-off-by-one",
        "The longest deadline that is documented is refused",
        swap(MANIFEST_TOML, "msgspec.Meta(ge=1, le=60_000)", "msgspec.Meta(ge=1, lt=60_000)"),
        tries="manifest toml",
    ),
    mutant(
        "defaults-are-not-written",
        "A manifest is written without its defaults, and changes with them",
        swap(
            MANIFEST_TOML,
            "class ResourceLimits(Table, frozen=True, kw_only=True):",
            "class ResourceLimits(Table, frozen=True, kw_only=True, omit_defaults=True):",
        ),
        tries="manifest: written",
    ),
)
