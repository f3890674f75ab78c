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
