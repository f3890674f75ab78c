"""What a check says of a mutant, and how a check that runs in a process of its own says it: one line of JSON."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

MARK: Final = "answer: "


class Answer(NamedTuple):
    """That a mutant was found."""

    what: str
    """The test, the case or the property."""
    error: str
    """The first line of what it said."""
    schedule: str = ""
    """With the fewest preemptions; or how many steps the specification's counterexample has."""
    preemptions: int | None = None
    story: tuple[str, ...] = ()


def say(answer: Answer | None) -> int:
    """Print the answer; the status that the process ends with."""
    print(MARK + json.dumps(answer and answer._asdict()))  # noqa: T201
    return int(answer is not None)


def heard(output: str) -> Answer | None:
    """The answer in what was printed. Raises `ValueError` if there is none."""
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    if len(lines) != 1:
        raise ValueError("no answer")
    fields: Any = json.loads(lines[0].removeprefix(MARK))
    return None if fields is None else Answer(**{**fields, "story": tuple(fields["story"])})
