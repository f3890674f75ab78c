"""A schedule as one line, and a run as a story: who did what on which object, at which line of source."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

HOWS: Final = "", "t", "s"
_TARGET: Final = re.compile(r"^\s*(?:self\.)?(\w+)\s*(?::[^=]+)?=[^=]")


def spelled(choices: Iterable[int]) -> str:
    """`0x3,1,2t`: task 0 three times, task 1, then task 2's timeout passes; `s` is a wake-up for no reason."""
    parts = []
    for choice, group in groupby(choices):
        count = sum(1 for _ in group)
        parts.append(f"{choice // 3}{HOWS[choice % 3]}" + (f"x{count}" if count > 1 else ""))
    return ",".join(parts)


def parsed(line: str) -> list[int]:
    """The choices that `spelled` wrote down. Raises `ValueError`."""
    found: list[int] = []
    for part in filter(None, line.replace(" ", "").split(",")):
        match = re.fullmatch(r"(\d+)([ts]?)(?:x(\d+))?", part)
        if match is None:
            raise ValueError(f"a schedule: expected parts like 0, 0x3, 2t or 1s, found {part!r}")
        task, how, count = match.groups()
        found += [3 * int(task) + HOWS.index(how)] * int(count or 1)
    return found


class Line(NamedTuple):
    """A line of source."""

    file: str
    number: int
    function: str

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.number} {self.function}" if self.number else ""

    @property
    def text(self) -> str:
        return linecache.getline(self.file, self.number).strip()

    def target(self, otherwise: str) -> str:
        """The name that this line assigns to."""
        match = _TARGET.match(linecache.getline(self.file, self.number))
        return match[1] if match else otherwise


PORTS: Final[set[str]] = set()
"""Files of other ports, whose lines say as little as the scheduler's own."""


def where(skip: tuple[str, ...]) -> Line:
    """The innermost line that is neither in a folder of these names nor in one of `PORTS`."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        if Path(file).parent.name not in skip and file not in PORTS:
            break
        frame = frame.f_back
    return Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


class Story:
    """The steps of one run, told."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, str, Line]] = []

    def tell(self, task: str, what: str, label: str, line: Line, how: int) -> None:
        how_told = ("", " [its timeout passes]", " [it wakes for no reason]")[how]
        self._steps.append((task, f"{what} {label}{how_told}".rstrip(), line))

    def lines(self) -> Iterator[str]:
        before = ""
        for number, (task, what, line) in enumerate(self._steps, 1):
            if task != before:
                yield f"{task}:"
            before = task
            source = f"{line}: {line.text}" if line.number else ""
            yield f"  {number:3} {what:<44} {source}".rstrip()
