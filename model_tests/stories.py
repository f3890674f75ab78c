"""Whether a story is a run of its level."""

from __future__ import annotations

from typing import Any

from hotswap_spec._explore import Failure
from hotswap_spec._model import Level


def replayed(level: Level, failure: Failure) -> Any:
    """The state where a story ends, each step of which must be one that the level has there."""
    state = failure.start
    for row, i, to in [*failure.steps, *(failure.loop or [])]:
        assert (row, i, to) in list(level.next(state))
        state = to
    return state
