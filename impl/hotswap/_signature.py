"""The signature of a function that a plugin exports, as data and as text.

The text is what manifests hold: `(i32, i64) -> f64`, `() -> ()`, `(i64) -> (i32, i64)`. One result is written
bare, none or several in parentheses: `str(signature)` is the one canonical text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_VALUE_TYPES = ("i32", "i64", "f32", "f64")
# No two parts can take the same blanks: where they could, a wrong text took time with the cube of its blanks.
_SHAPE = re.compile(r"\s*\(([^()]*)\)\s*->\s*(?:\(([^()]*)\)\s*|([^()\s][^()]*))")


@dataclass(frozen=True, slots=True)
class Signature:
    """Types of the parameters and of the results.

    A real module may also hold reference types (`funcref`, `externref`): they can be constructed and shown,
    but not parsed, because no manifest can ask for them.
    """

    params: tuple[str, ...]
    results: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a signature; blanks do not count. Raises `ValueError`."""
        shape = _SHAPE.fullmatch(text)
        if shape is None:
            raise ValueError(f"expected a signature such as '(i32, i32) -> i32' or '() -> ()', found {text!r}")
        params, results, result = shape.groups()
        return cls(_types(params, text), _types(results, text) if result is None else (_type(result, text),))

    def __str__(self) -> str:
        results = self.results[0] if len(self.results) == 1 else f"({', '.join(self.results)})"
        return f"({', '.join(self.params)}) -> {results}"


def _types(words: str, text: str) -> tuple[str, ...]:
    return tuple(_type(word, text) for word in words.split(",")) if words.strip() else ()


def _type(word: str, text: str) -> str:
    name = word.strip()
    if name not in _VALUE_TYPES:
        raise ValueError(f"expected the types {', '.join(_VALUE_TYPES)}, found {name!r} in {text!r}")
    return name
