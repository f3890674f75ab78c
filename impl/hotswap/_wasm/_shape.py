"""What the reader found: a module's imports and exports, and their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hotswap._signature import Signature


@dataclass(frozen=True, slots=True)
class Pages:
    """The size of a memory, in pages of 64 KiB."""

    min: int
    max: int | None
    """None: as much as the host grants."""

    def __str__(self) -> str:
        return f"{self.min} to {'any number of' if self.max is None else self.max} pages"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of references."""

    element: str
    min: int
    max: int | None

    def __str__(self) -> str:
        return self.element


@dataclass(frozen=True, slots=True)
class Global:
    """A global variable or constant."""

    type: str
    mutable: bool

    def __str__(self) -> str:
        return f"{'mutable ' if self.mutable else ''}{self.type}"


Type = Signature | Table | Pages | Global
KINDS: Mapping[type[Type], str] = {Signature: "function", Table: "table", Pages: "memory", Global: "global"}


@dataclass(frozen=True, slots=True)
class Export:
    """What a module gives."""

    name: str
    type: Type

    @property
    def kind(self) -> str:
        return KINDS[type(self.type)]


@dataclass(frozen=True, slots=True)
class Import:
    """What a module wants."""

    module: str
    name: str
    type: Type

    @property
    def full_name(self) -> str:
        """As grants and messages have it."""
        return f"{self.module}.{self.name}"

    @property
    def kind(self) -> str:
        return KINDS[type(self.type)]


@dataclass(frozen=True, slots=True)
class ModuleShape:
    """A module, seen from outside, in the order of its bytes."""

    imports: tuple[Import, ...]
    exports: tuple[Export, ...]

    @property
    def functions(self) -> dict[str, Signature]:
        """The exported functions."""
        return {item.name: item.type for item in self.exports if isinstance(item.type, Signature)}
