"""Limits of a module that no manifest changes: far above what compilers make of a plugin.

wasmtime has limits of its own, none of them lower. Together with those of the manifest, ours bound how often the reader
does anything at all.
"""

from __future__ import annotations

from typing import Final

SECTIONS: Final = 1_000  # custom ones: three bytes each are enough
TYPES: Final = 10_000
VALUES: Final = 1_000  # parameters, or results, of one function
IMPORTS: Final = 1_000
EXPORTS: Final = 1_000  # wasmtime-py lists an instance's exports in quadratic time: seconds for 16,000 of them
TABLES: Final = 4  # what an instance may have
MEMORIES: Final = 100  # to be counted; the second one is refused
GLOBALS: Final = 10_000
ELEMENT_SEGMENTS: Final = 10_000
ELEMENTS: Final = 100_000  # in all segments together; no table may be larger
DATA_SEGMENTS: Final = 10_000
LOCALS: Final = 10_000  # of one function; no bound on the compiler, whose time grows with locals times loops
GROUPS: Final = 1_000_000  # of locals, in all functions together; they may be as small as two bytes
NAME_BYTES: Final = 1_024
INSTRUCTIONS: Final = 1_000_000  # of constant expressions, in all of them together
