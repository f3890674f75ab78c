"""A plugin as the command line is given it: a file, perhaps with a manifest beside it, and arguments as text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hotswap._errors import BadArgument, HotswapError
from hotswap._manifest import ManifestBuilder, PluginManifest
from hotswap._plugin import REAL_PORTS
from hotswap._ports import Code, Number, Value
from hotswap._runtime._inspect import OUR_EXPORTS, Item, ModuleReport, inspect_module
from hotswap._signature import Signature
from hotswap._upgrade import load

UNKNOWN_VERSION = "0.0.0"


# The manifest ---------------------------------------------------------------------------------------------


def find_manifest(wasm: Path, given: Path | None) -> PluginManifest | None:
    """The manifest given, or the one beside the plugin, of the same stem; None if there is neither."""
    beside = wasm.parent / f"{wasm.stem}.toml"
    if given is None and not beside.exists():
        return None
    return PluginManifest.from_file(given or beside)


def made_manifest(wasm: Path, like: PluginManifest | None = None) -> PluginManifest:
    """A manifest for a plugin that has none: it promises what the module exports, under the default limits.

    Name and version are those of `like`; without one, the file's stem and 0.0.0. Raises `ModuleRejected`.
    """
    if like is None:
        builder = ManifestBuilder(re.sub(r"[^A-Za-z0-9_-]", "-", wasm.stem)[:128] or "plugin", UNKNOWN_VERSION)
    else:
        builder = ManifestBuilder(like.plugin.name, like.plugin.version)
    for function in inspect_module(wasm).functions:
        if function and function not in OUR_EXPORTS:  # ours are optional in each version anew
            builder.export(function)
    return builder.build()


def load_plugin(wasm: Path, manifest: PluginManifest) -> Code:
    """Compile and check, as register does. Raises `ModuleRejected`."""
    return load(REAL_PORTS, manifest.plugin.name, wasm, manifest)


def try_out(wasm: Path, manifest: Path | None) -> None:
    """Do once what register does. Raises the `HotswapError` that register would raise."""
    load_plugin(wasm, find_manifest(wasm, manifest) or made_manifest(wasm)).instantiate(probe=True).close()


# Numbers --------------------------------------------------------------------------------------------------


def parse_arguments(func: str, signature: Signature, texts: Sequence[str]) -> tuple[Number, ...]:
    """Texts as the function's parameters. Raises `BadArgument`."""
    if len(texts) != len(signature.params):
        raise BadArgument(f"{func}{signature}: expected {len(signature.params)} arguments, found {len(texts)}")
    numbers: list[Number] = []
    for kind, text in zip(signature.params, texts, strict=True):
        whole = kind.startswith("i")
        try:
            numbers.append(int(text, 0) if whole else float(text))
        except ValueError:
            expected = "an integer such as 7, -7 or 0x1f" if whole else "a number such as 7, -0.5 or 1e-3"
            raise BadArgument(
                f"{func}{signature}: argument {len(numbers) + 1} ({kind}): expected {expected}, found {text!r}"
            ) from None
    return tuple(numbers)


def value_text(value: Value) -> str:
    """A result as a line: several values with blanks between them."""
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    return " ".join(map(repr, values))


def value_json(value: Value) -> Any:
    """A result as JSON has it. JSON has no infinity and no NaN: these become texts."""
    if isinstance(value, tuple):
        return [value_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value


# What a module is made of ---------------------------------------------------------------------------------


def facts_json(report: ModuleReport, refusal: HotswapError | None) -> dict[str, Any]:
    return {
        "size": report.size,
        "digest": report.digest,
        "functions": {name: str(signature) for name, signature in report.functions.items()},
        "other_exports": [asdict(item) for item in report.other_exports],
        "imports": [asdict(item) for item in report.imports],
        "memory": None if report.memory is None else asdict(report.memory),
        "hotswap_exports": {name: name in report.functions for name in OUR_EXPORTS},
        "accepted": refusal is None,
        "refusal": None if refusal is None else error_json(refusal),
    }


def facts_text(report: ModuleReport, refusal: HotswapError | None) -> str:
    own = [name for name in report.functions if name not in OUR_EXPORTS]
    ours = [f"{name} {'yes' if name in report.functions else 'no'}" for name in OUR_EXPORTS]
    return "\n".join(
        [
            f"size       {report.size:,} bytes",
            f"SHA-256    {report.digest}",
            f"memory     {report.memory or 'none exported'}",
            f"hotswap    {', '.join(ours)}",
            *_section("functions", [f"{name}{report.functions[name]}" for name in own]),
            *_section("other exports", _told(report.other_exports)),
            *_section("imports", _told(report.imports)),
            "accepted   yes" if refusal is None else f"accepted   no: {error_text(refusal)}",
        ]
    )


def _told(items: Sequence[Item]) -> list[str]:
    return [f"{item.name}: {item.kind}, {item.type}" for item in items]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"{title}: none"] if not lines else [f"{title}:", *(f"  {line}" for line in lines)]


def error_json(error: HotswapError) -> dict[str, str]:
    return {"error": type(error).__name__, "message": str(error)}


def error_text(error: HotswapError) -> str:
    return f"{type(error).__name__}: {error}"
