"""Explore a level of the specification at small bounds, in a process of its own: `python -m mutation.explorer LEVEL`.

First what holds in every state and of every step, then what leads to what, and only then whether there are as many
states as are pinned: a defect that shows in nothing but a count is told as such.
"""

from __future__ import annotations

import gc
import sys
from typing import Any, Final

from hotswap_spec import LEVELS
from hotswap_spec._explore import Exploration
from hotswap_spec._fairness import leads_to
from mutation._answer import Answer, say

LIVE: Final[dict[str, dict[str, Any]]] = {  # enough for leads-to, and faster than the live bounds
    "admission": {"callers": 1, "versions": 2, "size": 1, "closers": 1, "calls": 1},
    "upgrade": {"callers": 1, "upgraders": 1, "versions": 3, "closers": 1, "endless": True},
    "manager": {"registrars": 2, "users": 1, "upgraders": 1, "unregisterers": 1, "closers": 1},
}


def explored(name: str) -> Answer | None:
    level = LEVELS[name]
    size, pinned = level.bounds["small"]
    small, live = (Exploration(level, level.initial(**bounds)) for bounds in (size, LIVE[name]))
    for failure in (small.failure, live.failure):
        if failure is not None:
            return Answer(
                "always", failure.what, f"{len(failure.steps)} steps", story=tuple(failure.story().split("\n"))
            )
    for lasso in leads_to(level, level.initial(**LIVE[name]), level.leads_to):
        steps = f"{len(lasso.steps)} steps and a loop of {len(lasso.loop or ())}"
        return Answer("leads-to", lasso.what, steps, story=tuple(lasso.story().split("\n")))
    states = len(small.states)
    return Answer("count of states", f"expected {pinned:,}, found {states:,}") if states != pinned else None


if __name__ == "__main__":
    gc.disable()
    sys.exit(say(explored(sys.argv[1])))
