"""What must hold for every text, whatever it is, when it is read as a manifest.

- It is a manifest, or a `ManifestError` and nothing else; the message names a section or key if the text is TOML.
- A text that was written right is read as what was meant, and one with a mistake is refused.
- What is read keeps the rules, which are written down here a second time; it survives being written and read again,
  and equals its copy.
- The work is linear in the text: calls are counted for some, and a hang ends the child.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import msgspec

from fuzzing import examine
from hotswap import ManifestError, PluginManifest
from hotswap._signature import Signature
from manifest_generated import LIMITS, WHEN, Example, example
from toml_written import Tables
from wasm_reading import calls_made

SECTIONS: Final = ("plugin", "capabilities", "resources", "exports", "hooks", "config_schema")
COUNTED: Final = 50
"""Of every so manieth text the work is counted."""
LONG: Final = 6_000
"""And of every text of more characters."""
TYPES: Final = {"string": str, "integer": int, "float": float, "boolean": bool, "list": tuple}

_NUMBER = "(0|[1-9][0-9]*)"
_WORD = "(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
VERSION: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_WORD}(\.{_WORD})*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)


def keeps_the_rules(manifest: PluginManifest) -> None:
    plugin, exports, hooks = manifest.plugin, manifest.exports, manifest.hooks
    assert re.fullmatch("[A-Za-z0-9_-]{1,128}", plugin.name)
    assert VERSION.fullmatch(plugin.version)
    assert plugin.module_sha256 is None or re.fullmatch("[0-9a-f]{64}", plugin.module_sha256)
    assert all(type(text) is str for text in (plugin.description, plugin.author, plugin.license))
    for key, (least, most) in LIMITS.items():
        assert type(getattr(manifest.resources, key)) is int
        assert least <= getattr(manifest.resources, key) <= most
    lists = [exports.functions, *(getattr(hooks, when) for when in WHEN)]
    lists += [getattr(manifest.capabilities, f"can_{what}") for what in ("read_table", "write_table", "call_plugin")]
    for names in lists:
        assert type(names) is tuple
        assert all(type(name) is str and name for name in names)
        assert len(set(names)) == len(names)
    assert type(manifest.capabilities.can_vector_search) is type(manifest.capabilities.can_index_search) is bool
    assert {*exports.signatures, *(name for when in WHEN for name in getattr(hooks, when))} <= {*exports.functions}
    for text in exports.signatures.values():
        assert Signature.parse(str(Signature.parse(text))) == Signature.parse(text)
    fields = manifest.config_schema.fields
    assert len({field.name for field in fields}) == len(fields)
    for field in fields:
        assert field.default is None or type(field.default) is TYPES[field.type]


def plain(value: Any) -> Any:
    """With lists for tuples, as TOML has them."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [*map(plain, value)] if isinstance(value, tuple) else value


@cache
def usual() -> Any:
    """What a manifest says that says nothing."""
    manifest = PluginManifest.from_toml('[plugin]\nname = "p"\nversion = "1.0.0"')
    return plain(msgspec.to_builtins(manifest, enc_hook=dict))


def says(manifest: PluginManifest, tables: Tables) -> None:
    """Exactly what the tables say, and no more than defaults beside."""
    read = plain(msgspec.to_builtins(manifest, enc_hook=dict))
    for section in SECTIONS:
        expected = {**usual()[section], **tables.get(section, {})}
        assert read[section] == expected, f"[{section}]: expected {expected}, read {read[section]}"


def survives(manifest: PluginManifest) -> None:
    text = manifest.to_toml()
    again = PluginManifest.from_toml(text)
    assert again == manifest, f"written and read again: {again}"
    assert (hash(again), repr(again), again.to_toml()) == (hash(manifest), repr(manifest), text)


def read_or_refused(text: str) -> PluginManifest | ManifestError:
    try:
        return PluginManifest.from_toml(text)
    except ManifestError as error:
        return error


def is_toml(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def refusal(error: ManifestError, text: str) -> str:
    """What kind it is of. One that is about TOML says where by its cause, any other begins with a section."""
    said, document = str(error), is_toml(text) if error.__cause__ or not str(error).startswith("expected keys") else {}
    if document is None:
        assert isinstance(error.__cause__, ValueError | RecursionError), f"not the parser's: {error!r}"
        return "no TOML"
    if said.startswith("expected keys of at most"):
        return "keys too long"
    assert said.startswith(tuple(f"[{name}" for name in {*SECTIONS, *document})), f"names no place: {said}"
    assert len(said) < 1_000 + 2 * len(text)
    return "refused"


def check(made: Example) -> str:
    """What became of a text. Raises AssertionError if something does not hold."""
    found = read_or_refused(made.text)
    if isinstance(found, ManifestError):
        assert made.tables is None, f"refused, and right: {found}"
        return refusal(found, made.text)
    assert made.damaged or made.tables is not None, "accepted, and has a mistake"
    keeps_the_rules(found)
    survives(found)
    if made.tables is None:
        return "damaged and right"
    says(found, made.tables)
    return "as it was meant"


def fates(number: int) -> Iterator[str]:
    made = example(number)
    yield check(made)
    if number % COUNTED == 0 or len(made.text) > LONG:
        work = calls_made(lambda: check(made))
        assert work < 100 * len(made.text) + 20_000, f"{work} calls for {len(made.text)} characters"
        yield "counted"


def told(number: int) -> str:
    made = example(number)
    return f"meant: {made.tables}\n{made.text[:2_000]}"


def fuzz(first: str, count: str, current: str) -> str:
    return examine(fates, told, first, count, current)
