"""The production protocol answers as the specification does, in every state: `_` is what it answers otherwise."""

from __future__ import annotations

from proofs.impl_asks import ANYBODY, LOST, OWNER, TIMEOUTS, differences
from proofs.impl_cases import case_of, sound
from proofs.upgrade import Counted, Place


def anybody_asks(s: Counted) -> list[str]:
    """
    pre: sound(s)
    pre: (s.outside > 0) & (s.idle > 0) & (s.cancellers > 0) & (s.closers > 0)
    post: _ == []
    """
    return differences(case_of(s), ANYBODY)


def who_has_lost_it_asks(s: Counted) -> list[str]:
    """
    pre: sound(s)
    post: _ == []
    """
    return differences(case_of(s), LOST)


def the_owner_asks(s: Counted) -> list[str]:
    """
    pre: s.place > Place.NOWHERE
    pre: sound(s)
    post: _ == []
    """
    return differences(case_of(s), OWNER)


def the_drain_timeout_passes(s: Counted) -> list[str]:
    """
    pre: s.place == Place.DRAINING
    pre: sound(s)
    post: _ == []
    """
    return differences(case_of(s), TIMEOUTS)
