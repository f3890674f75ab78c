"""Levels of the specification with one thing changed on purpose, which the checks must notice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from hotswap_spec import LEVELS
from hotswap_spec._model import Effect, Level

ADMISSION, UPGRADE = LEVELS["admission"], LEVELS["upgrade"]


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


def forgets_the_old_version(s: Any, i: int) -> Any:
    return s.roll_back(i)._replace(current=s.current)


def lets_be_and_forgets(s: Any, i: int) -> Any:
    return forgets_the_old_version(s, i) if s.upgraders[i].exclusive else UPGRADE.effects["let_be"](s, i)


BROKEN: Final[dict[str, Level]] = {
    "S3": with_guard(UPGRADE, "reclaim", "not kept"),
    "S4": with_effects(UPGRADE, roll_back=forgets_the_old_version, let_be=lets_be_and_forgets),
    "S5": with_guard(UPGRADE, "claim", "not closed"),
    "S7": with_effects(UPGRADE, cancel=lambda s, i: s.cancel(i)._replace(cancelled=s.cancelled)),
    "S8": with_effects(UPGRADE, fail=lambda s, i: s.part(i).tally("failures")._replace(phase="ACTIVE")),
}
"""The upgrade level with one error each, by the id of the property that must find it."""
CANDIDATE_KEPT: Final = with_effects(ADMISSION, drop_candidate=lambda s, _: s._replace(kept=-1).open_gate().settle())
"""A rollback that does not retire the new version; S8 must find it."""
