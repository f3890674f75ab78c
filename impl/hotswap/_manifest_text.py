"""From a manifest's text to its tables, in work that grows with the text's length; and how values are shown.

Somebody else wrote the text. The standard library's parser takes time with the square of the parts of a dotted key
(32 KB of them took 6 s), so a text with a key that long is refused before. And it makes a number of any size of
hexadecimal digits, which Python then refuses to print.
"""

from __future__ import annotations

import re
import reprlib
import tomllib
from typing import Any, Final

from hotswap._errors import ManifestError

TEXT_MAX: Final = 1 << 20
"""Characters of a text, and bytes of a file."""

_PARTS_MAX: Final = 64
"""Of a dotted key; those of a manifest have four at most."""
_BARE: Final = "[A-Za-z0-9_-]"
_LONG_KEY: Final = re.compile(rf"(?<!{_BARE}){_BARE}++(?:[ \t]*+\.[ \t]*+{_BARE}++){{{_PARTS_MAX}}}")
_QUOTED: Final = re.compile(
    "|".join(
        (
            r'"""(?:[^\\"]++|\\.?|"(?!""))*+(?:"{3,5}|\Z)',
            r"'''(?:[^']++|'(?!''))*+(?:'{3,5}|\Z)",
            r'"(?:[^"\\\n]++|\\[^\n])*+"?',
            r"'[^'\n]*+'?",
            r"#[^\n]*+",
        )
    ),
    re.DOTALL,
)
"""Texts, quoted keys and comments, up to where the parser would stop. Never steps back, so that it is linear."""


def document(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises `ManifestError`; its cause is the parser's error, with line and column."""
    if len(text) > TEXT_MAX:
        raise ManifestError(f"expected at most {TEXT_MAX} characters of TOML, found {len(text)}; write a shorter text")
    long_key = _LONG_KEY.search(_QUOTED.sub("q", text))
    if long_key is not None:
        raise ManifestError(
            f"expected keys of at most {_PARTS_MAX} parts, found one that begins with {long_key[0][:20]!r}; "
            "no key of a manifest has more than four"
        )
    try:
        return tomllib.loads(text)
    # tomllib lets two errors escape that are not its own: for an overlong number and for deep nesting.
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"expected a TOML document, found a fault: {error}") from error


class _Shown(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # Python prints no number of so many digits
            return f"<a number of {x.bit_length()} bits>"


shown: Final = _Shown().repr
"""Any value as a short text."""
