"""Levels of the specification with one thing changed on purpose, which the checks must notice."""

from __future__ import annotations

from dataclasses import replace

from hotswap_spec._model import Effect, Level


def edited(level: Level, old: str, new: str) -> Level:
    """The level with another text at one place of its table."""
    assert level.table.count(old) == 1, f"expected one {old!r} in the table of {level.name}"
    return replace(level, table=level.table.replace(old, new))


def with_effects(level: Level, **effects: Effect) -> Level:
    """The level with other effects of some steps; the threads go where the table says."""
    assert effects.keys() <= {row.does for row in level.rows}
    return replace(level, effects=level.effects | effects)


def with_guard(level: Level, step: str, when: str) -> Level:
    """The level with another guard of one step: names of guards as in the table, or `-` for none."""
    (row,) = (row for row in level.rows if row.name == step)
    (line,) = (line for line in level.table.splitlines() if f" {step} " in line)
    name = step if row.does == step else f"{step} ({row.does})"
    return edited(level, line, "  " + "  ".join([row.at, name, row.to, when, row.fair, row.says]))
