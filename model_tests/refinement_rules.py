"""Which steps of the specification an access of the production code may be.

*A rule* says who makes an access, whether within the core's lock, what it is, and what that does in the specification:

- `must a b`: one of these steps.
- `if a b`: one of these if it is possible, otherwise nothing.
- `may a b`: one of these, or nothing.
- `- place`: nothing (it *stutters*), and the thread is at that place; without a place, anywhere.

Who holds the lock may in addition make steps of the specification's `lock` that need no access of their own
(`SILENT`): nobody waits, so there is no mark to set and nobody to serve; or a bag was found to be empty, and it is told
by another access than the look into it.

There is no rule that is not needed, and an access without one is a failure. What an access does to a version that has
no number in the specification is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

from hotswap_spec.admission import NONE, State
from refinement_view import Persona

RULES: Final = """
caller, without
  starts nothing                        -  outside
  begins: end                           -  outside
  reads current                         may look_up
  reads attention                       must pass_by pass_by_reclaimed heed leave notice
  pops from free                        must take miss
  appends to free                       must release
  enters instance                       -  inside
  leaves instance                       -  inside
  parks on parker                       if stir
  reads lease                           if see_lease
  appends to parked                     -
  reads at_it, reads last_failure       -
  ends: end                             -  outside
caller, within
  acquires lock                         if report look_again enter
  reads closed                          may enqueue find_closed
  reads time                            may enqueue lose_patience
  removes from parked                   if quit_queue
operator, without
  starts nothing                        -
  begins: end, ends: end                -
  reads time                            may time_out time_out_late
  parks on parker                       if stir
  appends to parked, removes from parked  -
  compiles on runtime, instantiates on runtime  -
  looks at all older instances of runtime  -
  reads retired                         -
  acquires reclaiming, releases reclaiming  -
  reads current, reads closed           -
  closes instance                       -
  spawns on threads                     -
  counts free, counts tombs, reads at_it  -
operator, within
  acquires lock                         -
  reads current                         may check_drain settle_again
  reads closed                          if yield_to_close
  reads time                            -
  stores to attention                   may retire shut_gate drop_candidate commit_marking mark unmark
  stores to current                     may publish commit reinstate
  lets run by stop                      if roll_back
  appends to free                       must restore
closer, without
  starts nothing                        -
  begins: end                           -
  reads time, reads retired, reads current  -
  parks on parker                       -
  appends to parked, removes from parked  -
  interrupts by stop                    -
  acquires mending, releases mending    -
  acquires reclaiming, releases reclaiming  -
  closes instance                       -
  ends: end                             must return_closed
closer, within
  acquires lock                         -
  stores to closed                      -
  stores to attention                   may close mark unmark
somebody, without
  starts nothing                        -
  begins: end, ends: end                -
  acquires reclaiming, releases reclaiming  -
  reads retired                         -
  parks on parker                       -
  appends to parked, removes from parked  -
  closes instance                       -
somebody, within
  acquires lock                         -
anybody, within
  reads current                         may settle_again
  stores to attention                   may mark unmark
  pops from free                        if serve gather serve_no_more gather_no_more
  stores to live                        may reclaim
  changes lease                         -
  unparks parker                        -
  reads closed, reads live              -
  counts tombs, copies tombs            -
  copies parked                         -
  changes retired                       -
  reads phase, stores to phase          -
  reads book, stores to book            -
  releases lock                         -
"""
SILENT: Final = frozenset({"mark", "serve_no_more", "gather_no_more"})
LATE: Final = frozenset({"time_out", "time_out_late", "lose_patience"})
"""Only when some timeout has passed."""
ABOUT: Final[dict[str, Callable[[State, int], int]]] = {
    **dict.fromkeys(
        ("pass_by", "pass_by_reclaimed", "heed", "take", "miss", "leave", "notice"), lambda s, i: s.callers[i].seen
    ),
    "release": lambda s, i: s.callers[i].lease,
    **dict.fromkeys(("serve_no_more", "mark", "unmark", "shut_gate", "commit_marking"), lambda s, _: s.current),
    "serve": lambda s, _: s.current,
    **dict.fromkeys(("gather", "gather_no_more"), lambda s, _: s.locks[0].version),
    **dict.fromkeys(("retire", "restore"), lambda s, i: s.operators[i].version),
    "drop_candidate": lambda s, _: s.newest,
    "reclaim": lambda _, i: i,
}
"""The version that a step is about: the one whose object is accessed, if it is of a version."""


class Rule(NamedTuple):
    how: str
    rows: frozenset[str]
    """Steps of the specification, or the places where the thread must be."""


class Access(NamedTuple):
    """What kind of step a run has made."""

    who: tuple[tuple[str, int], ...]
    within: bool
    what: str
    thing: str
    version: int
    late: bool
    """Whether a timeout has passed in this run."""
    may_leave: bool
    """Whether an upgrade may commit that has not waited for the end of the drain: INTERRUPT or DETACH."""


Key = tuple[str, bool, str]


def _read(text: str) -> dict[Key, Rule]:
    found: dict[Key, Rule] = {}
    for who, block in re.findall(r"^(\S.*)\n((?: .*\n)+)", text, re.MULTILINE):
        name, where = who.split(", ")
        for line in block.splitlines():
            accesses, told = re.split(" {2,}", line.strip(), maxsplit=1)
            how, *rows = told.split()
            for access in accesses.split(", "):
                assert (name, where == "within", access) not in found, access
                found[name, where == "within", access] = Rule(how, frozenset(rows))
    return found


ALL: Final = _read(RULES)


NO_EFFECT: Final = Rule("-", frozenset())


@cache
def rules_for(access: Access) -> list[tuple[Key, Rule, Persona | None]]:
    """The rules of an access, each with the thread that it is about; None: any of the lock's and the versions'."""
    told = f"{access.what} {access.thing}"
    keys = [((group, access.within, told), (group, i)) for group, i in access.who or (("somebody", 0),)]
    found = [(key, ALL[key], persona if access.who else None) for key, persona in keys if key in ALL]
    if not found and (key := ("anybody", access.within, told)) in ALL:
        found = [(key, ALL[key], None)]
    return [(key, rule if access.version != NONE else NO_EFFECT, who) for key, rule, who in found]
