"""Room on the stack: what must not be left half done asks for it before it begins."""

from __future__ import annotations

ROOM = 16
"""Frames. More than any finalizer or clean-up of this package takes."""


def demand_frames(frames: int = ROOM) -> None:
    """Raise `RecursionError`, now, unless so many more calls fit below the recursion limit of this thread."""
    if frames:
        demand_frames(frames - 1)
