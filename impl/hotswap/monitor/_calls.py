"""What calls may tell: each takes no lock, so it says when it began, and is right if it was so at some moment since.

A call must have been admitted to what the specification admits to: newcomers while the gate is open, and calls that
waited at an earlier gate also while it is shut. What a version let in is forgotten when it is seen empty: who comes
later with it is wrong. A call that is told it is interrupted must be inside a version that the specification stops.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hotswap.monitor._recorder import Event
from hotswap_spec import LEVELS
from hotswap_spec.upgrade import Caller, State


class Moment(NamedTuple):
    """From one step on: whom the specification admits, and to what."""

    step: int
    newcomer: int
    """A version's id; 0: nobody is admitted."""
    held: int
    """The same for calls that waited at a gate which has opened since."""
    opened: int
    """The latest step before this one at which a gate opened."""


class Calls:
    """One plugin's, from step `since` on, when `first` serves. Versions are named by their ids."""

    def __init__(self, first: int, since: int = 0) -> None:
        self._since = since  # calls that began before are right whatever they say
        self._moments = [Moment(since, first, first, -1)]
        self._stopped: dict[int, int] = {}  # the latest step after which calls inside that version were interrupted

    def remember(self, s: State, step: int, names: Mapping[int, int]) -> None:
        """Whom the specification admits and interrupts from that step on. `names` are the ids of its versions."""
        asks = s._replace(callers=(Caller("outside"), Caller("held", passes=True)))
        rows = LEVELS["upgrade"].next(asks)
        admitted = {i: after.callers[i].on.code for row, i, after in rows if row.name in ("admit", "let_in")}
        newcomer, held = (names.get(admitted.get(i, -1), 0) for i in (0, 1))
        last = self._moments[-1]
        opened = step if newcomer and not last.newcomer else last.opened
        if (newcomer, held, opened) != last[1:]:
            self._moments = [one for one in self._moments if one.newcomer or one.held]
            self._moments.append(Moment(step, newcomer, held, opened))
        self._stopped |= {names[slot]: step for slot, one in enumerate(s.versions) if one.interrupted}

    def forget(self, version: int, *, inside: bool = True) -> None:
        """It was seen empty: whoever comes with it is wrong; not `inside`: nor can a call be stopped in it any more."""
        self._moments = [
            one._replace(newcomer=one.newcomer * (one.newcomer != version), held=one.held * (one.held != version))
            for one in self._moments
        ]
        if not inside:
            self._stopped.pop(version, None)

    def may_admit(self, call: Event, step: int) -> bool:
        """Whether the version that admitted the call did so at some moment since it began, up to that step."""
        ends = [*(one.step for one in self._moments[1:]), step + 1]
        return call.began < self._since or any(
            call.began < end
            and (one.newcomer == call.version or (one.held == call.version and call.began < one.opened))
            for one, end in zip(self._moments, ends, strict=True)
        )

    def may_trap(self, call: Event) -> bool:
        """Whether the calls inside its version were interrupted at some moment since it began."""
        return call.began < self._since or self._stopped.get(call.version, -1) >= call.began
