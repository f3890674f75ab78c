"""What a module declares: its types, imports and exports, and the spaces in which these are numbered."""

from __future__ import annotations

from typing import Final

from hotswap._signature import Signature
from hotswap._wasm import _fixed, _types
from hotswap._wasm._cursor import Cursor
from hotswap._wasm._shape import Export, Global, Import, ModuleShape, Pages, Table, Type

_TAGS: Final = {4: _types.EXCEPTIONS}
_EXPORTS: Final = {**_TAGS}
_IMPORTS: Final = {**_TAGS, **dict.fromkeys((0x7E, 0x7F), "compact imports"), 0x20: "exact function types"}
_LAST_KIND: Final = 3


class Declarations:
    """Reads the sections before the code, each by the method of its name."""

    def __init__(self, cursor: Cursor, max_functions: int) -> None:
        self._cursor, self._max_functions = cursor, max_functions
        self.defined = 0
        """How many functions have their bodies here."""
        self._signatures: list[Signature | tuple[bytes, bytes]] = []  # those nobody asked for yet stay bytes
        self._functions: list[int] = []
        self._tables: list[Table] = []
        self._memories: list[Pages] = []
        self._globals: list[Global] = []
        self._imports: list[Import] = []
        self._exports: dict[str, Export] = {}

    def shape(self) -> ModuleShape:
        return ModuleShape(tuple(self._imports), tuple(self._exports.values()))

    # -- sections -----------------------------------------------------------------------------------------------

    def types(self) -> None:
        cursor = self._cursor
        for _ in range(cursor.count("types", _fixed.TYPES)):
            form = cursor.byte("a function type")
            if form != _types.FUNCTION:
                raise cursor.unknown(form, _types.NEW_FORMS, f"a function type, {_types.FUNCTION:#04x}")
            params = _types.value_types(cursor, "parameters")
            self._signatures.append((params, _types.value_types(cursor, "results")))

    def imports(self) -> None:
        cursor = self._cursor
        for _ in range(cursor.count("imports", _fixed.IMPORTS)):
            module, name = cursor.name("the module of an import"), cursor.name("the name of an import")
            self._imports.append(Import(module, name, self._imported()))

    def functions(self) -> None:
        cursor = self._cursor
        remedy = "raise resources.max_functions, or make the module smaller"
        self.defined = cursor.count("functions", self._max_functions, remedy)
        self._functions += [cursor.u32("the type of a function") for _ in range(self.defined)]

    def tables(self) -> None:
        for _ in range(self._cursor.count("tables", _fixed.TABLES)):
            self._add_table()

    def memories(self) -> None:
        for _ in range(self._cursor.count("memories", _fixed.MEMORIES)):
            self._add_memory()

    def tags(self) -> None:
        raise self._cursor.switched_off(_types.EXCEPTIONS, "a section of exception tags")

    def globals(self) -> None:
        cursor = self._cursor
        for _ in range(cursor.count("globals", _fixed.GLOBALS)):
            self._globals.append(_types.global_(cursor))
            _types.skip_constant(cursor)

    def exports(self) -> None:
        cursor = self._cursor
        for _ in range(cursor.count("exports", _fixed.EXPORTS)):
            start = cursor.at
            name = cursor.name("the name of an export")
            if name in self._exports:
                raise cursor.malformed("each name exported once", f"{name!r} again", start)
            kind = cursor.byte("the kind of an export")
            if kind > _LAST_KIND:
                raise cursor.unknown(kind, _EXPORTS, "the kind of an export, 0 to 3")
            self._exports[name] = Export(name, self._exported(kind))

    def start(self) -> None:
        at = self._cursor.at
        self._function(self._cursor.u32("the start function"), at)

    # -- their entries ------------------------------------------------------------------------------------------

    def _imported(self) -> Type:
        cursor = self._cursor
        match kind := cursor.byte("the kind of an import"):
            case 0:
                at = cursor.at
                self._functions.append(cursor.u32("the type of a function"))
                return self._function(len(self._functions) - 1, at)
            case 1:
                return self._add_table()
            case 2:
                return self._add_memory()
            case 3:
                self._globals.append(_types.global_(cursor))
                return self._globals[-1]
        raise cursor.unknown(kind, _IMPORTS, "the kind of an import, 0 to 3")

    def _add_table(self) -> Table:
        start = self._cursor.at
        self._tables.append(_types.table(self._cursor))
        if len(self._tables) > _fixed.TABLES:
            raise self._cursor.exceeded("tables", _fixed.TABLES, len(self._tables), "make do with fewer", start)
        return self._tables[-1]

    def _add_memory(self) -> Pages:
        start = self._cursor.at
        self._memories.append(_types.memory(self._cursor))
        if len(self._memories) > 1:
            raise self._cursor.switched_off(_types.MULTI_MEMORY, "a second memory", start)
        return self._memories[-1]

    def _exported(self, kind: int) -> Type:
        at = self._cursor.at
        index = self._cursor.u32("the number of what is exported")
        if kind == 0:
            return self._function(index, at)
        spaces: tuple[list[Table] | list[Pages] | list[Global], ...] = (self._tables, self._memories, self._globals)
        space = spaces[kind - 1]
        if index >= len(space):
            raise self._cursor.malformed(f"one of {len(space)} to export", f"number {index}", at)
        return space[index]

    def _function(self, index: int, at: int) -> Signature:
        if index >= len(self._functions):
            raise self._cursor.malformed(f"one of {len(self._functions)} functions", f"number {index}", at)
        number = self._functions[index]
        if number >= len(self._signatures):
            raise self._cursor.malformed(f"one of {len(self._signatures)} types", f"number {number}", at)
        signature = self._signatures[number]
        if not isinstance(signature, Signature):
            params, results = signature
            signature = self._signatures[number] = Signature(_types.names_of(params), _types.names_of(results))
        return signature
