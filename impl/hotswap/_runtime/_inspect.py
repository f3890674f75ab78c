"""What a module is made of, told without running it and without a manifest.

A module that hotswap would reject can be looked at too, above all one with imports, as long as it compiles on the
engine that plugins run on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hotswap._manifest import LARGEST
from hotswap._runtime._admit import admit
from hotswap._runtime._code import INIT, PROBE
from hotswap._runtime._compiled import compiled
from hotswap._runtime._instance import ALLOC, FREE, MEMORY
from hotswap._runtime._source import read_wasm
from hotswap._signature import Signature
from hotswap._wasm import Export, Import, Pages

OUR_EXPORTS = (INIT, PROBE, ALLOC, FREE)
"""The functions that hotswap calls by itself."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something that a module exports or imports. An import's name is `module.name`."""

    name: str
    kind: str
    """function, memory, table or global."""
    type: str


@dataclass(frozen=True, slots=True)
class ModuleReport:
    """A compiled module, seen from outside."""

    size: int
    """Bytes of the module's binary form."""
    digest: str
    """SHA-256 of those bytes, in hexadecimal."""
    functions: Mapping[str, Signature]
    """Its exported functions."""
    other_exports: tuple[Item, ...]
    imports: tuple[Item, ...]
    memory: Pages | None
    """Of the memory exported as `memory`, which bytes calls go through; None if there is none."""


def inspect_module(wasm: object) -> ModuleReport:
    """Look at a module: bytes, a path or WAT text. Raises `ModuleRejected` if it is unreadable or does not compile.

    It may have all that any manifest could allow. What it exports is told by our own reader: wasmtime-py aborts the
    process over some types.
    """
    admitted = admit(read_wasm(wasm, LARGEST.max_module_kb), LARGEST)
    compiled(admitted, metered=False)
    code, shape = admitted.wasm, admitted.shape
    memory = {item.name: item.type for item in shape.exports}.get(MEMORY)
    return ModuleReport(
        size=len(code),
        digest=admitted.digest,
        functions=shape.functions,
        other_exports=tuple(_item(item.name, item) for item in shape.exports if not isinstance(item.type, Signature)),
        imports=tuple(_item(item.full_name, item) for item in shape.imports),
        memory=memory if isinstance(memory, Pages) else None,
    )


def _item(name: str, item: Export | Import) -> Item:
    return Item(name, item.kind, str(item.type))
