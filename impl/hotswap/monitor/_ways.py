"""Which steps of the specification an event can be, and whether a refusal was right. `_follower.py` takes the steps."""

from __future__ import annotations

from typing import Final

from hotswap._errors import Busy, DrainTimeout, PluginClosed, UpgradeCancelled, WrongState
from hotswap.monitor._recorder import DONE, NOTHING, Event
from hotswap_spec import LEVELS
from hotswap_spec.upgrade import State

LEVEL: Final = LEVELS["upgrade"]

Step = tuple[str, int, frozenset[str]]
"""A group of threads, one of them, and what it can have done."""
Way = list[Step]
PREPARES: Final = ("preparing", "prepared")
WAITS: Final = ("draining", "grace")
TIMED: Final = frozenset(row.name for row in LEVEL.rows if "drain timeout" in row.says)
"""Steps that a drain timeout must have come before; the specification says so of each in these words."""
LATE: Final = {row.says.split()[-1]: row.name for row in LEVEL.rows if row.says.startswith("drain timeout: ")}
"""Which of them it is, by the name of the `OnDrainTimeout`."""


def wrong_refusal(s: State, event: Event, i: int) -> str:
    """What is wrong if who was refused had a right to what it asked for; empty if nothing. `i` is its upgrader."""
    owned = s.owner() >= 0
    if event.came == PluginClosed.__name__ and not s.closed:
        return f"{event.what} was refused since the plugin were closed"
    if event.came == UpgradeCancelled.__name__ and i >= 0 and s.upgraders[i].owns:
        return f"{event.what} was refused as cancelled, and its attempt owns the upgrade"
    if event.came == WrongState.__name__ and owned:
        return f"{event.what} was refused since nothing were prepared, and something is owned"
    if event.what == "begin" and event.came == Busy.__name__ and (not owned or s.may_begin(s.owner())):
        return "begin was refused as Busy, and nobody is in its way"
    if event.what == "abort" and event.came == NOTHING and i >= 0 and s.upgraders[i].owns and s.undecided():
        return "abort has undone nothing, and its attempt owns an upgrade that is not decided"
    return ""


def ways(s: State, event: Event, i: int, slot: int, on_drain_timeout: str) -> list[Way]:
    """For each way in which the event can be made: who does what, in that order.

    `i` is the upgrader of the event's attempt, `slot` the number of its version; -1: the state has none.
    """
    j, late = s.owner(), LATE[on_drain_timeout]
    at = s.upgraders[i].at if i >= 0 else ""
    match event.what, event.came:
        case "claim", "done":
            return [[upgrader(i, "claim")]]
        case "claim", "Busy":
            return [[upgrader(i, "be_busy")]]
        case "offer", "done":
            return [[upgrader(i, "offer")]]
        case ("offer", _) | ("abort", "nothing to do") if at in PREPARES and not s.upgraders[i].owns:
            return [[upgrader(i, "find_lost")]]
        case "cancel", _:
            return _cancel(s, event.came)
        case "begin", "done":
            step = "exclude" if event.word.startswith("EXCLUSIVE") else "overlap"
            return [[upgrader(j, "go_away"), upgrader(i, step)]]
        case "enter", "done":
            return [[upgrader(j, "see_drained" if event.word == "SWAPPING" else "drain")]]
        case "publish", "done":
            return [[upgrader(j, "publish")]]
        case "interrupt", "done" if s.upgraders[j].exclusive:
            return [[upgrader(j, late)]]
        case "_drained", _ if event.inside:
            return []
        case "_drained", _ if not event.word and not s.upgraders[j].exclusive and s.upgraders[j].at in WAITS:
            return [[upgrader(j, "see_drained")]]
        case "commit", "done" if at == "draining":
            return [[upgrader(i, late), *([upgrader(i, "commit")] if late == "detach" else [])]]
        case "commit", "done":
            return [[upgrader(i, "commit")]]
        case "abort", "done" if at in PREPARES:
            return [[upgrader(i, "fail")]]
        case "abort", "done" if event.word == DrainTimeout.__name__:
            given_up = "interrupt" if late == "interrupt" else "time_out"  # DETACH may not detach any number
            return [[upgrader(i, "let_be" if at == "grace" else given_up)]]
        case "abort", "done":
            return [[upgrader(i, "strike")]]
        case "finish", _ if i >= 0 and i == j and not s.undecided():
            return [[upgrader(i, "finish")], [upgrader(i, "let_be"), upgrader(i, "finish")]]
        case "finish", _ if i >= 0 and s.closed and at != "idle":
            return [[upgrader(i, "find_closed")]]
        case "revive", _ if slot < 0 or s.versions[slot].at != "live":  # what is retired serves nobody any more
            return []
        case "overdue", _ if event.word and s.closers[0].at == "emptying":
            return [[thread("closer", "interrupt_all")]]
        case "turn_away", _:
            return [[thread("caller", "turn_away")]]
        case "return_closed", _:
            return [[thread("closer", "return_closed")]]
        case "close", "done" if not s.closed:
            return [[thread("closer", "close"), *_learns(s, j)]]
        case "reclaim", _ if slot >= 0 and s.versions[slot].at != "reclaimed":
            return [[("version", slot, frozenset({"reclaim"}))]]
    return [[]]


def _cancel(s: State, came: str) -> list[Way]:
    if came == DONE:
        return [[thread("canceller", "cancel"), *_learns(s, s.owner())]]
    if came == NOTHING:
        return [[]] if s.closed else [[thread("canceller", "cancel_nothing")]]
    return [[thread("canceller", "cancel_late")]]


def _learns(s: State, j: int) -> Way:
    """What was prepared and is lost now has nobody at it who would tell that he has learnt it."""
    return [upgrader(j, "find_lost")] if j >= 0 and s.upgraders[j].at == "prepared" else []


def upgrader(i: int, *steps: str) -> Step:
    return "upgrader", i, frozenset(steps)


def thread(who: str, step: str) -> Step:
    """Cancellers and closers do their one step at once, so one of each is enough; and of the calls one is looked at."""
    return who, 0, frozenset({step})
