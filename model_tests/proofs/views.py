"""The two levels and their abstractions, and where those are on purpose less than exact."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from hotswap_spec import admission_properties, upgrade_properties
from proofs import (
    admission,
    admission_claims,
    admission_operator,
    admission_steps,
    admission_view,
    upgrade,
    upgrade_claims,
    upgrade_ends,
    upgrade_steps,
    upgrade_view,
)
from proofs._contracts import Way, functions, ways
from proofs._tie import View


def all_ways(*modules: ModuleType) -> tuple[Way, ...]:
    steps = (one for module in modules for name, one in functions(module).items() if name != "start")
    return tuple(way for step in steps for way in ways(step))


def claims(module: ModuleType) -> dict[str, Callable[[Any], bool]]:
    """By id, as the specification's properties begin: S3, S4, ..."""
    return {name.upper(): claim for name, claim in functions(module).items()}


ONE = frozenset({"pass_by", "heed", "take", "miss", "release", "leave", "notice", "reclaim"})
STEPS = functions(admission_steps)
OTHERS = "of those who have nothing to do with the watched version, only the number of who waits is seen"
ORDER = "who is first in the queue, and whether the gate lets it pass, is not seen"
FIRST = "which of the retired versions comes first is not seen"

UPGRADE = View(
    level=upgrade_properties.LEVEL,
    alpha=upgrade_view.alpha,
    invariant=upgrade.invariant,
    claims=claims(upgrade_claims),
    ways=all_ways(upgrade_steps, upgrade_ends),
    every=frozenset({"see_drained", "return_closed"}),
    here=frozenset({"offer", "trap", "reclaim", "recycle"}),
    unseen=frozenset({"reclaim", "recycle"}),
    wider={
        "offer(here=False)": "whether another version is fresh is not seen",
        "offer(here=True)": "whether another fresh version is offered instead is not seen",
        "trap(here=False)": "whether another version is interrupted is not seen",
    },
)
ADMISSION = View(
    level=admission_properties.LEVEL,
    alpha=admission_view.alpha,
    invariant=admission.invariant,
    claims=claims(admission_claims),
    ways=all_ways(admission_steps, admission_operator),
    every=frozenset({"commit", "restore", "reinstate", "return_closed"}),
    here=ONE,
    unseen=ONE | {"lose_patience", "find_closed"},
    wider={
        **dict.fromkeys(["look_up()", "report()", "enqueue()", "look_again(here=False)"], OTHERS),
        **{
            str(way): OTHERS
            for way in (*ways(STEPS["enter"]), *ways(STEPS["quit_queue"]))
            if not way.chosen.get("here")
        },
        **{str(way): ORDER for way in ways(STEPS["serve"])},
        **{str(way): ORDER for way in ways(STEPS["serve_no_more"])},
        **{str(way): ORDER for way in ways(STEPS["gather"])},
        **{str(way): FIRST for way in ways(STEPS["gather_no_more"])},
        **{f"unmark(drained={drained})": "whether another version is drained is not seen" for drained in (False, True)},
    },
)
