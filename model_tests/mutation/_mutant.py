"""What a mutant is: a few lines of the production code, or of the specification, that read differently.

A patch is text and knows no line numbers, so it survives changes elsewhere. What it looks for must be there exactly
once: if that code has changed, a test says so, and somebody decides what the mutant is now.
"""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


class DoesNotApply(Exception):
    """A patch that looks for something that is not there, or is there twice."""


@dataclass(frozen=True, slots=True)
class Patch:
    file: str
    """From the root of the tree."""
    old: str
    new: str

    def applied(self, text: str) -> str:
        """The text of the file with the patch in it. Raises `DoesNotApply`."""
        if (found := text.count(self.old)) != 1:
            raise DoesNotApply(f"{self.file}: expected once, found {found} times:\n{self.old}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Mutant:
    id: str
    says: str
    """What somebody did, in a maintainer's words."""
    patches: tuple[Patch, ...]
    tries: tuple[str, ...]
    """The checks that are tried first (see `_checks.py`). When all of them pass, the others follow."""
    seed: int | None = None
    """The number of the seed's defect that it puts into our code."""

    @property
    def files(self) -> list[str]:
        return sorted({patch.file for patch in self.patches})

    @property
    def of_the_specification(self) -> bool:
        return self.files[0].startswith("spec/")

    def applied(self, root: Path) -> dict[str, str]:
        """The new texts of the files it changes. Raises `DoesNotApply`; `SyntaxError` if one is no Python any more."""
        texts = {file: (root / file).read_text() for file in self.files}
        for patch in self.patches:
            texts[patch.file] = patch.applied(texts[patch.file])
        for file, text in texts.items():
            compile(text, file, "exec", ast.PyCF_ONLY_AST)
        return texts


def swap(file: str, old: str, new: str) -> Patch:
    """A piece of one line reads differently."""
    return Patch(file, old, new)


def diff(file: str, text: str) -> Patch:
    """Whole lines read differently: `-` and `+` before those that go and come, a blank before those that stay.

    The lines are written with the indentation they have in the file, after that mark.
    """
    lines = textwrap.dedent(text).strip("\n").splitlines()
    marks = {line[:1] for line in lines}
    if not marks <= {"", " ", "-", "+"} or not marks & {"-", "+"}:
        raise ValueError(f"a diff: expected lines that begin with a blank, - or +, found\n{text}")
    old = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "+")
    new = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "-")
    return Patch(file, old, new)


def mutant(id: str, says: str, *patches: Patch, tries: str, seed: int | None = None) -> Mutant:  # noqa: A002
    """`tries` are names of checks, parted by `|`."""
    return Mutant(id, says, patches, tuple(one.strip() for one in tries.split("|")), seed)
