"""What a module is made of, told without running it and without a manifest.

A module that hotswap would reject can be looked at too, above all one with imports, as long as it compiles on the
engine that plugins run on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import wasmtime

from hotswap._errors import ModuleRejected
from hotswap._runtime._code import INIT, PROBE, signature_of
from hotswap._runtime._engine import engine
from hotswap._runtime._instance import ALLOC, FREE, MEMORY
from hotswap._runtime._source import read_wasm
from hotswap._signature import Signature

OUR_EXPORTS = (INIT, PROBE, ALLOC, FREE)
"""The functions that hotswap calls by itself."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The size of a memory, in pages of 64 KiB."""

    min: int
    max: int | None
    """None: as much as the host grants."""

    def __str__(self) -> str:
        return f"{self.min} to {'any number of' if self.max is None else self.max} pages"


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
    """Look at a module: bytes, a path or WAT text. Raises `ModuleRejected` if it is unreadable or does not compile."""
    code = read_wasm(wasm)
    try:
        module = wasmtime.Module(engine(metered=False), code)
    except wasmtime.WasmtimeError as error:
        raise ModuleRejected(f"the module does not compile: {error}") from error
    exports = [(item.name, item.type) for item in module.exports]
    memory = dict(exports).get(MEMORY)
    return ModuleReport(
        size=len(code),
        digest=hashlib.sha256(code).hexdigest(),
        functions={name: signature_of(kind) for name, kind in exports if isinstance(kind, wasmtime.FuncType)},
        other_exports=tuple(_item(name, kind) for name, kind in exports if not isinstance(kind, wasmtime.FuncType)),
        imports=tuple(_item(f"{item.module}.{item.name}", item.type) for item in module.imports),
        memory=_pages(memory.limits) if isinstance(memory, wasmtime.MemoryType) else None,
    )


def _item(name: str, kind: object) -> Item:
    match kind:
        case wasmtime.FuncType():
            return Item(name, "function", str(signature_of(kind)))
        case wasmtime.MemoryType():
            return Item(name, "memory", str(_pages(kind.limits)))
        case wasmtime.TableType():
            return Item(name, "table", str(kind.element))
        case wasmtime.GlobalType():
            return Item(name, "global", f"{'mutable ' if kind.mutable else ''}{kind.content}")
        case _:
            return Item(name, "other", type(kind).__name__)


def _pages(limits: wasmtime.Limits) -> Pages:
    return Pages(limits.min, limits.max)
