"""The specification's admission level, with the few steps more that the production code takes; none of them is visible
to a call but as something that it may see anyway.

- `settle_again`: whoever holds the lock settles, also when the specification has no settling there. An abort and a
  close settle twice, and so do those who only wait for a drain, reclaim a version or begin an upgrade.
- `stir`: a thread that is parked looks again, though nobody woke it. A parker's permit may be left over, be given for
  another reason, or the wait end by a timeout or for no reason.
- `see_lease`: a caller that was served before it could park sees its lease, and does not look again under the lock.
- `pass_by_reclaimed`: a caller finds no mark on the version that was current when the plugin was closed. To settle
  again after it was reclaimed takes the mark away. There is no lease in it, so the caller misses.
- `time_out_late`: the drain timeout passes although the operator has just been woken. Who waits looks at the clock
  last.
- `commit_marking`: an OVERLAP commit marks the version that serves, for as long as the critical section lasts.

That all properties hold with them as well is explored in `test_refinement.py`.

History (`floor`, `ended`) is left out of the states that are followed: no guard looks at it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Final

from hotswap_spec import LEVELS
from hotswap_spec._model import Level, Row
from hotswap_spec.admission import State

MORE: Final = """
caller
  seen  pass_by_reclaimed (wake_one)  cleared  gone  may  finds no mark on a version that is reclaimed
  parked  stir (wake_one)  woken  -  may  wakes for no reason
  woken  see_lease (wake_one)  served  leased  may  sees, before it has parked, that it was served
operator
  parked  stir (wake_one)  drain  -  may  wakes for no reason
  drain  time_out_late (wake_one)  decide  not closed  may  has waited for the drain timeout, and is woken as well
  decide  commit_marking  finishing  unlocked, not closed, not exclusive  may  commits, and marks the new version
lock
  free  settle_again (wake_one)  mark  -  may  is taken for no reason by somebody who settles
"""


def commit_marking(s: State, i: int) -> State:
    return s.commit(i).go("versions", s.current, attention=True)


ADMISSION: Final = LEVELS["admission"]
LEVEL: Final[Level] = replace(
    ADMISSION,
    table=ADMISSION.table.rstrip() + "\n" + MORE.strip("\n"),
    guards=ADMISSION.guards
    | {
        "exclusive": lambda s, i: s.operators[i].exclusive,
        "gone": lambda s, i: s.versions[s.callers[i].seen].at == "reclaimed",
    },
    effects=ADMISSION.effects | {"wake_one": lambda s, _: s, "commit_marking": commit_marking},
)
ADDED: Final = frozenset(row.name for row in LEVEL.rows) - {row.name for row in ADMISSION.rows}


def forgotten(s: State) -> State:
    """The state without its history."""
    if s.ended or any(one.floor for one in s.callers):
        s = s._replace(ended=0, callers=tuple(one._replace(floor=0) for one in s.callers))
    return s


@cache
def following(s: State) -> tuple[tuple[Row, int, State], ...]:
    """Every step that is possible; states come again in many schedules."""
    return tuple((row, i, forgotten(t)) for row, i, t in LEVEL.next(s))


@cache
def at_rest(s: State) -> bool:
    return all(one.at in LEVEL.rest.split() for group in s if isinstance(group, tuple) for one in group)
