"""Counterexamples as stories: who did what, and what changed in the state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hotswap_spec._explore import Failure, Step


def label(step: Step) -> str:
    """Who does what: `caller 0 take`. Threads and versions are numbered from 0, as in the state."""
    return f"{step[0].row.who} {step[1]} {step[0].row.name}"


def changes(before: Any, after: Any, name: str = "") -> Iterator[str]:
    """What is different in a state, field by field."""
    if isinstance(before, tuple) and before != after:
        for key, old, new in zip(getattr(before, "_fields", range(len(before))), before, after, strict=True):
            yield from changes(old, new, f"{name} {key}".strip())
    elif before != after:
        yield f"        {name}: {before} -> {after}"


def story(failure: Failure) -> str:
    """All of it, from the first state on."""
    lines, state = [failure.what], failure.start
    for n, step in enumerate([*failure.steps, *(failure.loop or ())]):
        if failure.loop and n == len(failure.steps):
            lines.append("      and then, for ever:")
        lines += [f"{n + 1:4}. {label(step)}: {step[0].row.says}", *changes(state, step[2])]
        state = step[2]
    return "\n".join([*lines, *(["      and nobody need do anything more"] if failure.loop == [] else [])])
