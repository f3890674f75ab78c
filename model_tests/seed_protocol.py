"""The seed: the protocol that this project started from, as a second, small model; and what is wrong with it.

It stands here and not with the specification, because it is a bad example: the explorer must find its defects. Their
numbers are those of the list of the seed's 22 defects; the other 13 are not defects of the protocol.

A thread runs one of call, prepare_upgrade, execute_upgrade and cancel_upgrade. Each lock of the seed covers one access
to one variable, and so does a step; where it is more (`take`, say), runs are left out and none added: whatever is found
here, the seed does. What the seed refuses changes nothing, and is not shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from hotswap_spec._explore import Exploration, Failure
from hotswap_spec._model import Level, go, put

TABLE = """
caller
  ready   load_epoch  loaded  -  may   begins a call: reads the epoch
  loaded  count_in    inside  -  must  counts itself into that epoch, then reads what is current
  inside  count_out   left    -  must  ends its call, and counts itself out
preparer
  ready     check         checked   active  may   reads ACTIVE: nobody upgrades
  checked   claim         building  -       must  writes PREPARING_UPGRADE
  building  fail          failed    -       must  finds manifest, code or init bad, and returns an error
  building  offer         offered   -       must  makes its code pending
  offered   set_manifest  prepared  -       must  replaces the manifest, and returns
executor
  ready     check_prepared  begun      preparing  may   reads PREPARING_UPGRADE
  begun     drain           draining   -          must  writes DRAINING
  draining  advance         waiting    -          must  advances the epoch
  waiting   see_drained     swapping   drained    must  finds the old epoch empty, writes SWAPPING
  waiting   time_out        timed_out  not drained  may   writes ROLLED_BACK, drops what is pending
  swapping  take            returned   -          must  makes the pending code current, writes ACTIVE; or fails
canceller
  ready  check_cancel  seen       preparing  may   reads PREPARING_UPGRADE
  seen   cancel        cancelled  -          must  drops what is pending, writes ACTIVE, and returns
"""


class Thread(NamedTuple):
    at: str
    epoch: int = 0  # that a caller has read, or an executor drains
    code: int = 0  # that a caller runs; 0: none


class State(NamedTuple):
    phase: str
    code: int
    manifest: int
    pending: int  # 0: none
    epoch: int
    refs: tuple[int, ...]  # a ring of counts; the seed's has 8 slots, with fewer it takes fewer upgrades to go round
    callers: tuple[Thread, ...]
    preparers: tuple[Thread, ...]  # number i brings version i + 2
    executors: tuple[Thread, ...]
    cancellers: tuple[Thread, ...]

    def counted(self, i: int, n: int, code: int) -> State:
        slot = self.callers[i].epoch % len(self.refs)
        return go(self, "callers", i, code=code)._replace(refs=put(self.refs, slot, self.refs[slot] + n))

    def places(self) -> set[str]:
        return {one.at for group in self[-4:] for one in group}


EFFECTS: dict[str, Any] = {
    "load_epoch": lambda s, i: go(s, "callers", i, epoch=s.epoch),
    "count_in": lambda s, i: s.counted(i, 1, s.code),
    "count_out": lambda s, i: s.counted(i, -1, 0),
    "claim": lambda s, _: s._replace(phase="PREPARING_UPGRADE"),
    "offer": lambda s, i: s._replace(pending=i + 2),
    "set_manifest": lambda s, i: s._replace(manifest=i + 2),
    "drain": lambda s, _: s._replace(phase="DRAINING"),
    "advance": lambda s, i: go(s, "executors", i, epoch=s.epoch)._replace(epoch=s.epoch + 1),
    "see_drained": lambda s, _: s._replace(phase="SWAPPING"),
    "time_out": lambda s, _: s._replace(phase="ROLLED_BACK", pending=0),
    "take": lambda s, _: s._replace(phase="ACTIVE", code=s.pending, pending=0) if s.pending else s,
    "cancel": lambda s, _: s._replace(phase="ACTIVE", pending=0),
}
GUARDS: dict[str, Any] = {
    "active": lambda s, _: s.phase == "ACTIVE",
    "preparing": lambda s, _: s.phase == "PREPARING_UPGRADE",
    "drained": lambda s, i: s.refs[s.executors[i].epoch % len(s.refs)] == 0,
}


def initial(callers: int, preparers: int, executors: int, cancellers: int, ring: int = 2) -> State:
    groups = ((Thread("ready"),) * n for n in (callers, preparers, executors, cancellers))
    return State("ACTIVE", 1, 1, 0, 0, (0,) * ring, *groups)


SMALL = {"callers": 1, "preparers": 2, "executors": 1, "cancellers": 1}
LEVEL = Level(
    *("seed", State, TABLE, GUARDS, EFFECTS, initial),
    bounds={"small": (SMALL, 10_146)},
    rest="ready left failed prepared timed_out returned cancelled",
    always={},
    sometimes={},
    steps={},
)
DEFECTS: dict[int, tuple[str, str]] = {  # what one would expect, and how our protocol keeps it
    1: ("L1 after a failed prepare an upgrade can begin", "whatever fails gives the attempt up, back to ACTIVE"),
    2: ("L1 after a drain timeout an upgrade can begin", "ROLLED_BACK gives the attempt up, back to ACTIVE"),
    3: ("S4 a cancelled upgrade leaves the manifest alone", "code and manifest are published in one reference"),
    4: ("S2 when upgrade has returned, calls run new", "OVERLAP publishes before it drains; EXCLUSIVE holds new calls"),
    7: ("S3 nobody enters an epoch that was found empty", "one step admits and counts: to take a lease of a version"),
    8: ("S5 of a cancel and an execute one wins", "execute takes the attempt over in one step; then cancel is Busy"),
    9: ("S8 of a cancel and a prepare one wins", "a prepare finds that it was cancelled, and closes its candidate"),
    10: ("S6 of two prepares one wins", "one step checks and claims, the other prepare is told Busy"),
    14: ("S7 calls of two epochs are counted apart", "each version has its own leases, and its number never repeats"),
}
CLAIMS: dict[int, tuple[Callable[[Any], bool], tuple[int, int, int, int]]] = {
    # Predicates, false within these bounds: callers, preparers, executors, cancellers. After 1, 2 and 8 nobody is at
    # work, and SWAPPING and ROLLED_BACK pass no check of who comes: it stays so for ever.
    1: (lambda s: s.places() != {"failed", "returned"} or s.phase == "ACTIVE", (0, 1, 1, 0)),
    2: (lambda s: s.places() != {"left", "prepared", "timed_out"} or s.phase == "ACTIVE", (1, 1, 1, 0)),
    3: (lambda s: s.places() != {"prepared", "cancelled"} or s.pending > 0 or s.manifest == s.code, (0, 1, 0, 1)),
    4: (lambda s: "prepared" not in s.places() or s.callers[0] != ("inside", s.epoch, s.code - 1), (1, 1, 1, 0)),
    7: (lambda s: not {"prepared", "swapping", "inside"} <= s.places() or s.callers[0].epoch == s.epoch, (1, 1, 1, 0)),
    8: (lambda s: s.places() != {"prepared", "returned", "cancelled"} or s.phase == "ACTIVE", (0, 1, 1, 1)),
    9: (lambda s: s.places() != {"prepared", "cancelled"} or s.pending == 0 or s.phase != "ACTIVE", (0, 1, 0, 1)),
    10: (lambda s: s.places() != {"prepared"} or s.pending == s.manifest, (0, 2, 0, 0)),
    14: (lambda s: sum(n > 0 for n in s.refs) == len({c.epoch for c in s.callers if c.code}), (2, 1, 2, 0)),
}


def counterexample(number: int, level: Level = LEVEL) -> Failure | None:
    """A shortest way to a state where a defect shows; None if there is none."""
    holds, size = CLAIMS[number]
    what = f"{number}. Expected: {DEFECTS[number][0]}"
    return Exploration(replace(level, always={what: holds}), level.initial(*size)).failure
