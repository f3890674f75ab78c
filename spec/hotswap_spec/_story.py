"""Counterexamples as stories: who did what, and what changed in the state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hotswap_spec._explore import Failure, Step


def label(step: Step) -> str:
    """Who does what: `caller 0 take`. Threads and versions are numbered from 0, as in the state."""
    (row, *_), i, _ = step
    return f"{row.who} {i} {row.name}"


def changes(before: Any, after: Any, name: str = "") -> Iterator[str]:
    """What is different in a state, field by field."""
    if isinstance(before, tuple) and before != after:
        for key, old, new in zip(getattr(before, "_fields", range(len(before))), before, after, strict=True):
            yield from changes(old, new, f"{name} {key}".strip())
    elif before != after:
        yield f"{name}: {before} -> {after}"


def story(failure: Failure) -> str:
    """All of it, from the first state on."""
    lines, state, number = [failure.what], failure.start, 0

    def tell(steps: list[Step]) -> None:
        nonlocal state, number
        for step in steps:
            number += 1
            lines.append(f"{number:4}. {label(step)}: {step[0].row.says}")
            lines.extend(f"        {change}" for change in changes(state, step[2]))
            state = step[2]

    tell(failure.steps)
    if failure.loop is not None:
        lines.append("      and for ever:" if failure.loop else "      and nobody need do anything more")
        tell(failure.loop)
    return "\n".join(lines)
