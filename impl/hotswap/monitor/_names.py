"""Follows a manager's names on the specification's manager level (S9): each name that is taken has a state of its own.

*Recording.* A manager that is watched has two maps that tell of every change, which is made under the manager's lock.
When a name is given up, they say how much of its plugin is left: it must be closed, and its versions reclaimed.

*Gaps.* When an exception (Ctrl-C) strikes inside a change, what is known of that name is forgotten: it counts as free,
and whoever then gives it up has nothing to give up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from hotswap._protocol import HotReloadProtocol
from hotswap.monitor._follower import Divergence
from hotswap.monitor._recorder import STRUCK, Event
from hotswap_spec import LEVELS
from hotswap_spec.manager import NONE, State

LEVEL: Final = LEVELS["manager"]
START: Final[State] = LEVEL.initial(registrars=1, users=0, upgraders=0, unregisterers=1)


class ToldMap(dict[str, Any]):
    """Tells `note` what was put in, and what was taken out."""

    def __init__(
        self, note: Callable[[Event], None], put: str, out: str, plugins: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        self._note, self._put, self._out = note, put, out
        self._plugins = self if plugins is None else plugins

    def __setitem__(self, name: str, value: object) -> None:
        try:
            super().__setitem__(name, value)
            self._note(Event(self._put, word=name))
        except BaseException:
            self._note(Event(self._put, STRUCK, word=name))
            raise

    def __delitem__(self, name: str) -> None:
        try:
            plugin = self._plugins.get(name)
            left = 0 if plugin is None else left_of(plugin._protocol)  # noqa: SLF001  as who watches it
            super().__delitem__(name)
            self._note(Event(self._out, word=name, inside=left))
        except BaseException:
            self._note(Event(self._out, STRUCK, word=name))
            raise

    def pop(self, name: str, default: Any = None, /) -> Any:
        value = self.get(name, default)
        if name in self:
            del self[name]
        return value


def told_maps(note: Callable[[Event], None]) -> tuple[ToldMap, ToldMap]:
    """The plugins that are listed, and who has taken which name."""
    plugins = ToldMap(note, "list", "unlist")
    return plugins, ToldMap(note, "take", "free", plugins)


def left_of(protocol: HotReloadProtocol) -> int:
    """Whether a plugin is open, and how many of its versions are not reclaimed."""
    return (not protocol.closed.value) + len(protocol.retired()) + protocol.current.value.live.value


class NamesFollower:
    """As `Follower`, for all names of one manager."""

    def __init__(self, taken: Counter[str]) -> None:
        self.plugin, self.taken, self.steps = "", taken, 0
        self.over = self.lost = False
        self._states: dict[str, State] = {}  # of names that are taken

    def follow(self, event: Event) -> None:
        name = self.plugin = event.word
        s = self._states.pop(name, START)
        if event.came == STRUCK:
            return
        for who, step in steps_of(s, event):
            ends = [after for row, _, after in LEVEL.next(s) if (row.who, row.name) == (who, step)]
            if not ends:
                allowed = sorted({row.name for row, _, _ in LEVEL.next(s)})
                raise Divergence(name, event, f"S9: {event.what}: {step} is not possible", allowed, [])
            (s,) = ends
            for what, holds in LEVEL.always.items():
                if not holds(s):
                    raise Divergence(name, event, f"{what}: does not hold after {step}", [], [])
            self.taken[f"manager: {step}"] += 1
        self.steps += 1
        if s.taken != NONE:
            self._states[name] = s

    def settle(self) -> None:
        """Every event says all there is to know."""


def steps_of(s: State, event: Event) -> list[tuple[str, str]]:
    """Who does what. Both maps tell when a plugin is unregistered; whichever comes first stands for both."""
    if event.what in ("take", "list"):
        return [("registrar", event.what)]
    if s.taken == NONE:
        return []
    if s.listed == NONE:
        return [("registrar", "fail")]
    emptied = [("plugin", "empty")] if event.inside == 0 else []
    return [("remover", "find"), ("remover", "close"), *emptied, ("remover", "delete")]
