"""The header of a module, and its sections in their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from hotswap._errors import LimitExceeded, MalformedModule, UnsupportedModule
from hotswap._wasm import _fixed
from hotswap._wasm._contents import Contents
from hotswap._wasm._cursor import Cursor, ModuleLimits
from hotswap._wasm._declarations import Declarations
from hotswap._wasm._shape import ModuleShape

_MAGIC: Final = b"\0asm"
_MODULE: Final = b"\1\0\0\0"
_COMPONENT_LAYER: Final = b"\1\0"
_CUSTOM: Final = 0


class _Section(NamedTuple):
    """A section that a module has once at most."""

    number: int
    name: str
    read: Callable[[], None]


def read_module(wasm: bytes, limits: ModuleLimits, origin: str = "the module") -> ModuleShape:
    """What a module imports and exports; `origin` is what messages call it.

    Raises the kinds of `ModuleRejected` and nothing else: `MalformedModule`, `LimitExceeded`, `UnsupportedModule`.
    """
    if len(wasm) > limits.max_module_kb << 10:
        raise too_large(origin, limits.max_module_kb, f"{len(wasm)} bytes")
    if wasm[:4] != _MAGIC:
        found = f"{len(wasm)} bytes that start with {wasm[:4]!r}" if wasm else "nothing"
        raise MalformedModule(f"{origin}: expected a wasm module, which starts with {_MAGIC!r}, found {found}")
    if wasm[6:8] == _COMPONENT_LAYER:
        raise UnsupportedModule(f"{origin}: expected a core wasm module, found a component; build it as a module")
    if wasm[4:8] != _MODULE:
        raise MalformedModule(f"{origin}: expected wasm version 1, found the version bytes {wasm[4:8]!r}")
    cursor = Cursor(wasm, origin)
    cursor.at = len(_MAGIC) + len(_MODULE)
    declared = Declarations(cursor, limits.max_functions)
    contents = Contents(cursor, declared, limits.memory_limit_mb)
    _read_sections(cursor, _in_order(declared, contents))
    cursor.where = "end of the module"
    contents.finish()
    return declared.shape()


def too_large(origin: str, max_module_kb: int, found: str) -> LimitExceeded:
    return LimitExceeded(
        f"{origin}: expected at most {max_module_kb} KiB, found {found}; "
        "raise resources.max_module_kb, or make the module smaller"
    )


def _in_order(declared: Declarations, contents: Contents) -> list[_Section]:
    return [
        _Section(1, "type", declared.types),
        _Section(2, "import", declared.imports),
        _Section(3, "function", declared.functions),
        _Section(4, "table", declared.tables),
        _Section(5, "memory", declared.memories),
        _Section(13, "tag", declared.tags),
        _Section(6, "global", declared.globals),
        _Section(7, "export", declared.exports),
        _Section(8, "start", declared.start),
        _Section(9, "element", contents.elements),
        _Section(12, "data count", contents.data_count),
        _Section(10, "code", contents.code),
        _Section(11, "data", contents.data),
    ]


def _read_sections(cursor: Cursor, to_come: list[_Section]) -> None:
    """Custom sections stand anywhere; of one of those, the name is read."""
    known = {section.number: section.name for section in to_come}
    whole, count = cursor.end, 0
    while cursor.at < whole:
        cursor.where, start = "header of a section", cursor.at
        count += 1
        if count > _fixed.SECTIONS:
            raise cursor.exceeded("sections", _fixed.SECTIONS, count, "strip the custom ones", start)
        number = cursor.byte("a section")
        size = cursor.u32("the size of a section")
        if size > whole - cursor.at:
            raise cursor.malformed(f"a section of {size} bytes", f"{whole - cursor.at} until the end", start)
        cursor.end = cursor.at + size
        if number == _CUSTOM:
            cursor.where = "custom section"
            cursor.name("the name of a section")
            cursor.at = cursor.end
        else:
            if number not in known:
                raise cursor.malformed("a section that there is", f"number {number}", start)
            while to_come and to_come[0].number != number:
                to_come.pop(0)
            if not to_come:
                raise cursor.malformed("each section once, in order", f"the {known[number]} section here", start)
            section = to_come.pop(0)
            cursor.where = f"{section.name} section"
            section.read()
        if cursor.at != cursor.end:
            raise cursor.malformed("the end of the section", f"{cursor.end - cursor.at} bytes more")
        cursor.end = whole
