"""The stack of the thread: room on it, for what must not be left half done; and who is on it."""

from __future__ import annotations

import sys
from collections.abc import Set as AbstractSet
from types import CodeType

ROOM = 16
"""Frames. More than any finalizer or clean-up of this package takes."""


def demand_frames(frames: int = ROOM) -> None:
    """Raise `RecursionError`, now, unless so many more calls fit below the recursion limit of this thread."""
    if frames:
        demand_frames(frames - 1)


def method_around(this: object, among: AbstractSet[CodeType]) -> str | None:
    """The name of that one of these methods of `this` which the method that asks was called from inside of."""
    frame = sys._getframe(2)  # noqa: SLF001  its callers follow
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code in among and frame.f_locals.get("self") is this:
            return frame.f_code.co_name
    return None
