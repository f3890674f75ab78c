"""Whether an abstraction is the specification's own: state by state, in both directions.

For every state that a level can reach, and every version watched in it: what the specification's steps lead to, seen
from that version, is what the abstract steps lead to. Every step of the specification must be there (or the proofs
would be about less than it does), and no other (or they would be about something else).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hotswap_spec._model import Level
from proofs._contracts import Way


class View(NamedTuple):
    """A level, its abstraction, and where the two differ on purpose."""

    level: Level
    alpha: Callable[[Any, int], Any]
    invariant: Callable[[Any], bool]
    claims: Mapping[str, Callable[[Any], bool]]
    """What the invariant implies, by the id of the specification's properties that say the same."""
    ways: tuple[Way, ...]
    every: frozenset[str]
    """Steps that need something of each version: possible exactly if every version's view says so."""
    here: frozenset[str]
    """Steps that happen to one version: possible exactly if they are, in the view of some version, `here`."""
    unseen: frozenset[str]
    """Steps that may change nothing in a view: they happen to another version, or to nobody it knows of."""
    wider: Mapping[str, str]
    """Ways of steps that the abstraction has more often than the specification, with the reason. That is safe: what
    is proved is proved of more than there is."""


class Edge(NamedTuple):
    name: str
    to: Any


def reachable(level: Level, start: Any) -> Iterator[tuple[Any, list[Edge]]]:
    """Every reachable state with its steps; of states that differ in who of equals is which, one."""
    start = level.canonical(start)
    seen, waiting = {start}, [start]
    for state in waiting:
        edges = [Edge(row.name, level.canonical(to)) for row, _, to in level.next(state)]
        yield state, edges
        for edge in edges:
            if edge.to not in seen:
                seen.add(edge.to)
                waiting.append(edge.to)


class Possible(NamedTuple):
    """What the abstraction can do in one of its states."""

    leads: dict[str, dict[Any, list[str]]]
    """By step and by where it leads, the ways."""
    needed: dict[str, set[Any]]
    """By step, where the specification must lead as well."""
    here: frozenset[str]


def possible(view: View, a: Any) -> Possible:
    leads: dict[str, dict[Any, list[str]]] = {}
    needed: dict[str, set[Any]] = {}
    able = [way for way in view.ways if way.can(a)]
    for way in able:
        b = way.does(a)
        leads.setdefault(way.name, {}).setdefault(b, []).append(str(way))
        if str(way) not in view.wider:
            needed.setdefault(way.name, set()).add(b)
    return Possible(leads, needed, frozenset(way.name for way in able if way.chosen.get("here", True)))


class Different(Exception):
    """The abstraction and the specification are not the same."""


@dataclass
class Comparison:
    view: View
    views: dict[Any, tuple[Any, ...]] = field(default_factory=dict)
    """By state, as each of its versions sees it."""
    known: dict[Any, Possible] = field(default_factory=dict)
    """By every view that was met."""
    agreed: set[tuple[Any, str, Any]] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    """The ways that a step of the specification was."""

    def run(self, start: Any) -> None:
        """Raises `Different` at the first difference."""
        for state, edges in reachable(self.view.level, start):
            names = {edge.name for edge in edges}
            seen = [self.look(state, v, edges, names) for v in range(len(state.versions))]
            for name in self.view.every:
                if (name in names) != all(name in one.leads for one in seen):
                    raise Different(f"{name}: not possible exactly if all versions allow it, in {state}")
            for name in self.view.here:
                if (name in names) != any(name in one.here for one in seen):
                    raise Different(f"{name}: not possible exactly if it is for some version, in {state}")

    def alpha(self, state: Any, v: int) -> Any:
        if state not in self.views:
            self.views[state] = tuple(self.view.alpha(state, v) for v in range(len(state.versions)))
        return self.views[state][v]

    def look(self, state: Any, v: int, edges: list[Edge], names: set[str]) -> Possible:
        """Compare a state's steps as version `v` sees them."""
        a = self.alpha(state, v)
        if a not in self.known:
            self.known[a] = possible(self.view, a)
            if not self.view.invariant(a):
                raise Different(f"the invariant does not hold, seen from version {v} in {state}")
        can, reached = self.known[a], defaultdict(set)
        for edge in edges:
            b = self.alpha(edge.to, v)
            reached[edge.name].add(b)
            if (a, edge.name, b) not in self.agreed:
                self.agreed.add((a, edge.name, b))
                ways = can.leads.get(edge.name, {}).get(b, [])
                self.done.update(ways)
                if not ways and not (a == b and edge.name in self.view.unseen):
                    raise Different(f"{edge.name}: done by the specification only, seen from version {v} in {state}")
        for name, targets in can.needed.items():
            if (name in names or name not in self.view.every) and not targets <= reached[name]:
                raise Different(f"{name}: done by the abstraction only, seen from version {v} in {state}")
        return can
