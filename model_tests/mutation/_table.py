"""The results, as a table for a terminal, as JSON, and as a table of a page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from mutation._run import CONTROL, Result
from mutation.catalogue import TOPICS

HEAD: Final = ("mutant", "seed", "found by", "s", "the error", "shortest schedule")
ERROR_MAX: Final = 70
BEGIN: Final = "<!-- mutants: what `make mutants ARGS=--write` found -->"
END: Final = "<!-- end of mutants -->"


def found_by(result: Result) -> str:
    if result.answer is None:
        return "nothing, as it must be" if result.mutant is CONTROL else "SURVIVED"
    check, what = result.check, result.answer.what
    return f"{check}: {what}" if what not in ("", "-") else check


def schedule(result: Result) -> str:
    """With the number of preemptions before it; `-` if a test found the mutant without a scheduler."""
    answer = result.answer
    if answer is None or not answer.schedule:
        return "-"
    preemptions = f"({answer.preemptions}) " if answer.preemptions is not None else ""
    return preemptions + answer.schedule


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def cells(result: Result) -> tuple[str, ...]:
    seed = "" if result.mutant.seed is None else str(result.mutant.seed)
    error = shortened(result.answer.error, ERROR_MAX) if result.answer is not None else ""
    return result.mutant.id, seed, found_by(result), f"{result.seconds:.1f}", error, schedule(result)


def plain(results: Iterable[Result]) -> str:
    rows = [HEAD, *map(cells, results)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEAD))]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def as_json(results: Iterable[Result]) -> str:
    def one(result: Result) -> dict[str, object]:
        answer = result.answer
        return {
            "mutant": result.mutant.id,
            "says": result.mutant.says,
            "files": result.mutant.files if result.mutant.patches else [],
            "seed": result.mutant.seed,
            "killed": result.killed,
            "check": result.check,
            "seconds": round(result.seconds, 2),
            **(answer._asdict() if answer is not None else {}),
        }

    return json.dumps([one(result) for result in results], indent=2)


def markdown(results: Sequence[Result]) -> str:
    """A section for each topic, one line a mutant."""
    by_id = {result.mutant.id: result for result in results}
    lines = [BEGIN, ""]
    for topic, mutants in TOPICS.items():
        lines += [f"### {topic}", "", "| mutant | what it is | seed | found by | s | schedule |", "|---" * 6 + "|"]
        for mutant in mutants:
            result = by_id[mutant.id]
            row = (
                f"`{mutant.id}`",
                mutant.says,
                str(mutant.seed or ""),
                escaped(found_by(result)),
                f"{result.seconds:.0f}",
                escaped(schedule(result)),
            )
            lines.append(f"| {' | '.join(row)} |")
        lines.append("")
    return "\n".join([*lines, END])


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


def rewritten(page: str, block: str) -> str:
    """The page with another table."""
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"expected a page with the lines {BEGIN} and {END}")
    return before + block + after
