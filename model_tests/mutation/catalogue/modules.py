"""The reader of modules, and its place before wasmtime."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import CODE, WASM_CONTENTS, WASM_CURSOR, WASM_DECLARATIONS, WASM_TYPES

MODULES: Final = (
    mutant(
        "vectors-are-admitted",
        "A v128 counts as a type that hotswap has",
        swap(WASM_TYPES, 'VALUE_TYPES: Final = {0x7F: "i32"', 'VALUE_TYPES: Final = {0x7B: "v128", 0x7F: "i32"'),
        tries="wasm off",
    ),
    mutant(
        "locals-are-limited-in-each-group",
        "The limit of a function's locals is held by each group of them, and not by all",
        swap(WASM_CONTENTS, 'sum_ += cursor.u32("a number of locals")', 'sum_ = cursor.u32("a number of locals")'),
        tries="wasm limits: locals | wasm reader",
    ),
    mutant(
        "an-export-may-be-there-twice",
        "Of two exports of one name, the later is taken",
        swap(WASM_DECLARATIONS, "if name in self._exports:", "if name in self._exports and not name:"),
        tries="wasm malformed",
    ),
    mutant(
        "sizes-are-numbers-of-32-bits",
        "A size that is written as those of 64-bit memories is called damaged, and not switched off",
        swap(WASM_CURSOR, "return self._u32(what, 64), self.at", "return self._u32(what, 32), self.at"),
        tries="wasm off: padded | wasm fuzz",
    ),
    mutant(
        "a-count-is-not-held-against-the-bytes",
        "A function may say that it has more groups of locals than it has bytes for",
        diff(
            WASM_CONTENTS,
            """
                     for _ in range(groups):
            +            if cursor.at >= cursor.end:
            +                continue
                         sum_ += cursor.u32("a number of locals")
            """,
        ),
        tries="wasm malformed | wasm limits: huge",
    ),
    mutant(
        "compiled-and-then-admitted",
        "The module is compiled before its sections are read",
        diff(
            CODE,
            """
        -        admitted = admit(read_wasm(wasm, limits.max_module_kb), limits)
        +        source = read_wasm(wasm, limits.max_module_kb)
        +        wasmtime.Module(engine(metered=True), source.wasm)
        +        admitted = admit(source, limits)
            """,
        ),
        tries="wasm limits: reaches_wasmtime",
    ),
)
