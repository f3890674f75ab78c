"""The admission level as the code takes it: which access of the code a step of it may be, and six steps more.

The six are what the code does and the level leaves out. They are additions only: no step of the level is taken away or
loosened, and a test explores the level with them, to see that what it promises of safety still holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from hotswap_spec import LEVELS
from hotswap_spec._model import Level, Row

ADMISSION: Final = LEVELS["admission"]

MORE: Final = {
    "caller": (
        "parked  stir  woken  -  may  wakes for no reason: a permit was left from a wake that came before it parked",
        "woken   enter_at_once (enter)  entering  unlocked, leased  must  sees its lease, so it need not look again",
    ),
    "operator": (
        "parked  stir  drain  -  may  wakes for no reason, and looks again",
        "decide  mark_and_commit  finishing  unlocked, not closed, may commit  must  commits; newcomers wait meanwhile",
    ),
    "lock": (
        "free    look_too (settle)  mark  -  may  settles for a thread that is not of this level, or once more",
        "unmark  unmark_gone  free  gone  must  takes the mark from the last version of a closed plugin",
    ),
}
"""What the code does besides. `mark_and_commit` and `unmark_gone` differ from `commit` and `unmark` in one mark:
a commit sets it until it has settled, though the version is current already; and a version that is reclaimed stays
marked in the level, but not in the code, where a call that comes late finds its bag empty instead."""


def mark_and_commit(s: Any, i: int) -> Any:
    return s.commit(i).go("versions", s.newest, attention=True)


def unmark_gone(s: Any, i: int) -> Any:
    return s.unmark(i).go("versions", s.current, attention=False)


def extended() -> Level:
    table = ADMISSION.table
    for who, lines in MORE.items():
        assert table.count(f"\n{who}\n") == 1
        table = table.replace(f"\n{who}\n", "\n".join(["", who, *(f"  {line}" for line in lines), ""]))
    level: Level = replace(
        ADMISSION,
        table=table,
        guards={**ADMISSION.guards, "gone": lambda s, _: s.versions[s.current].at == "reclaimed"},
        effects={**ADMISSION.effects, "mark_and_commit": mark_and_commit, "unmark_gone": unmark_gone},
    )
    return level


LEVEL: Final = extended()


def label(row: Row) -> str:
    """A row by its name; two rows of one thread have the same."""
    return f"{row.who} {row.name}" + (" at gather" if (row.at, row.name) == ("gather", "serve") else "")


ADDED: Final = {label(row) for row in LEVEL.rows} - {label(row) for row in ADMISSION.rows}

_NO_ACCESS: Final = "mark serve_no_more gather_no_more lose_patience time_out yield_to_close return_closed"
SILENT: Final = frozenset(_NO_ACCESS.split())
"""Steps without an access of their own, or with one that is not always made: `mark` stores only if somebody waits, and
a bag is looked into only if somebody could be served. To lose patience, to find the time over and to find the plugin
closed are decisions, taken on what was read before under the lock."""

LATE: Final = frozenset({"lose_patience", "time_out"})
"""Not before a timeout has passed."""
COMMITS: Final = frozenset({"commit", "mark_and_commit"})

_ACCESSES: Final = {
    "reads current": "look_up look_too",
    "reads attention": "pass_by heed leave notice",
    "pops from free": "take miss serve gather",
    "appends to free": "release restore",
    "acquires lock": "report enqueue find_closed look_again quit_queue enter enter_at_once check_drain commit",
    "parks on another parker": "stir",
    "stores to current": "publish reinstate commit",
    "stores to attention": "close retire shut_gate drop_candidate mark_and_commit unmark unmark_gone",
    "changes _retired": "roll_back",
    "stores to live": "reclaim",
}
STEPS_OF: Final = {access: frozenset(names.split()) for access, names in _ACCESSES.items()}
"""By access: the steps that it may be."""

_SEEN: Final = ("pass_by", "heed", "take", "miss", "leave", "notice")
_OLD: Final = ("restore", "retire")
_CURRENT: Final = ("serve", "unmark", "unmark_gone", "shut_gate")
OF_VERSION: Final[dict[str, Callable[[Any, int], int]]] = {
    **dict.fromkeys(_SEEN, lambda s, i: int(s.callers[i].seen)),
    **dict.fromkeys(_OLD, lambda s, _: int(s.operators[0].version)),
    **dict.fromkeys(_CURRENT, lambda s, _: int(s.current)),
    **dict.fromkeys(("drop_candidate", "mark_and_commit"), lambda s, _: int(s.newest)),
    "release": lambda s, i: int(s.callers[i].lease),
    "gather": lambda s, _: int(s.locks[0].version),
    "reclaim": lambda _, v: v,
}
"""The version whose field such a step touches; the access must be to that one's."""

MUST: Final = frozenset({"attention", "free"})
"""What a caller reads or changes of these without the lock is a step of the level, and never stuttering."""

REST: Final = {"callers": "outside", "operators": "rest", "closers": "closed"}
"""Where a thread is when its party has ended."""
