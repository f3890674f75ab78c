"""All schedules of a program, depth first, and which of them may be left out.

Two steps of different tasks are *independent* if no object that one changed is touched by the other; then both orders
lead to the same state. Schedules that differ in the order of independent steps only are one class, and it is enough to
make one run of each.

*Sleep sets* (Godefroid 1996). When a choice has been explored at a state, it sleeps for its siblings: below them it is
left out until a step has been made that depends on it. So no class is run to its end twice. The footprint of a sleeping
step is the one it had when it was explored, and it still has it while it sleeps: nothing has changed an object that
it touches. For the same reason a store that changed nothing may count as a read: whether it changes something can only
be altered by a step that it depends on.

*Races* (Flanagan and Godefroid 2005; source sets, Abdulla et al. 2014). Sleep sets alone still begin runs that they
give up. Instead a state's second choice is explored only once a run has shown why: two steps depend on each other, and
nothing else orders them, so they could have come the other way round. Of the steps that lie between and do not follow
from the first, one that follows from none of the others must then be tried in the place of the first; if it
cannot be, everything possible there is tried. The step that ends a wait and the wait that it ends (release and acquire,
unpark and park) are no race: they cannot change places, unless the wait may also end by a timeout or for no reason.
What a lock decides is who *acquires* it first; so an acquire
is compared with the acquire before it, past the release between them. Timeouts and wake-ups for no reason need not
happen in any run, so no run would show a race with them: they are tried wherever they are possible. A step with an
unknown footprint cannot be compared, and is refused.

*Which steps are possible* may hang on more than objects: on the number of timeouts and wake-ups that are left, and on
whether anybody else can go on. Each such step changes the object `time` or `chance`, so they depend on each other.

*Preemptions.* A choice preempts if it leaves a task that could have gone on. With a bound on their number nothing is
left out: the schedule that stands for a class might be one with too many preemptions.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from scheduler._errors import Nondeterministic, UnknownFootprint
from scheduler._guides import Did, Pruned
from scheduler._races import Clock, learn

Footprint = tuple[int, ...] | None


NOTHING: Final = Did(None)


class Reduction(Enum):
    NONE = "every schedule"
    SLEEP = "sleep sets"
    RACES = "races and sleep sets"


def conflict(one: Footprint, other: Footprint) -> bool:
    if one is None or other is None:
        return True
    return any(a >> 1 == b >> 1 and (a | b) & 1 for a in one for b in other)


@dataclass(slots=True)
class Node:
    """A state on the current path, and the step that leaves it."""

    enabled: list[int]
    last: int
    """The task that ran before; -1 at the start."""
    left: int | None
    """Preemptions that are left."""
    sleep: dict[int, Footprint]
    chosen: int = -1
    explored: dict[int, Footprint] = field(default_factory=dict)
    wanted: set[int] | None = None
    """The choices to explore; None: all."""
    did: Did = NOTHING
    clock: Clock = field(default_factory=dict)
    """How many steps of each task come before the end of this step, in every schedule of the class."""

    def preempts(self, choice: int) -> bool:
        return choice // 3 != self.last and 3 * self.last in self.enabled

    def next_choice(self) -> int:
        """Who ran last first; -1 if there is nothing left to explore."""
        own = 3 * self.last
        for choice in [own, *self.enabled] if own in self.enabled else self.enabled:
            if choice in self.explored or choice in self.sleep:
                continue
            if self.wanted is not None and choice not in self.wanted and self.explored:
                continue
            if self.left == 0 and self.preempts(choice):
                continue
            return choice
        return -1


class DepthFirst:
    def __init__(self, reduction: Reduction, preemptions: int | None = None) -> None:
        self._reduction = reduction if preemptions is None else Reduction.NONE
        self._bound = preemptions
        self._path: list[Node] = []
        self._depth = 0
        self._touching: defaultdict[int, list[int]] = defaultdict(list)  # steps of the path, by object
        self._of_task: defaultdict[int, list[int]] = defaultdict(list)

    def choose(self, enabled: list[int]) -> int:
        if self._depth < len(self._path):
            node = self._path[self._depth]
            if node.enabled != enabled:
                raise Nondeterministic(f"step {self._depth}: {enabled} are possible, and were {node.enabled}")
        else:
            node = self._new(enabled)
            node.chosen = node.next_choice()
            self._path.append(node)
            if node.chosen < 0:
                raise Pruned
        if self._reduction is Reduction.RACES and node.wanted is None:
            node.wanted = {node.chosen, *(choice for choice in enabled if choice % 3)}
        self._depth += 1
        return node.chosen

    def _new(self, enabled: list[int]) -> Node:
        if not self._path:
            return Node(enabled, -1, self._bound, {})
        before = self._path[-1]
        last, left = before.chosen // 3, before.left
        if left is not None:
            left -= before.preempts(before.chosen)
        sleep: dict[int, Footprint] = {}
        if self._reduction is not Reduction.NONE:
            footprint = before.did.footprint
            asleep = before.sleep | {c: f for c, f in before.explored.items() if c != before.chosen}
            sleep = {c: f for c, f in asleep.items() if c // 3 != last and not conflict(f, footprint)}
        return Node(enabled, last, left, sleep)

    def made(self, did: Did) -> None:
        at = self._depth - 1
        node = self._path[at]
        if node.chosen in node.explored:
            if node.did != did:
                raise Nondeterministic(f"step {at}: it did {did}, and did {node.did} before")
            return
        node.did, node.explored[node.chosen] = did, did.footprint
        if self._reduction is Reduction.RACES:
            self._order(at, node, did)

    def again(self) -> bool:
        self._depth = 0
        while self._path:
            node = self._path[-1]
            self._forget(len(self._path) - 1, node)
            node.chosen = node.next_choice()
            if node.chosen >= 0:
                return True
            self._path.pop()
        return False

    # -- races -------------------------------------------------------------------------------------------------

    def _forget(self, at: int, node: Node) -> None:
        if self._reduction is Reduction.RACES and node.clock:
            for part in node.did.footprint or ():
                self._touching[part >> 1].pop()
            self._of_task[node.chosen // 3].pop()
            node.clock = {}

    def _order(self, at: int, node: Node, did: Did) -> None:
        """The step's clock, and what its races ask for at earlier states."""
        if did.footprint is None:
            raise UnknownFootprint("a step's footprint is not known, so its races are not")
        task = node.chosen // 3
        own = self._of_task[task]
        clock = (self._path[own[-1]].clock if own else self._born(at, task)).copy()
        ordered = clock.copy()  # what comes before for other reasons than this step's own accesses
        earlier = sorted({i for part in did.footprint for i in self._touching[part >> 1]}, reverse=True)
        races: list[int] = []
        for i in earlier:
            before = self._path[i]
            other = before.chosen // 3
            if not conflict(before.did.footprint, did.footprint):
                continue
            learn(clock, before.clock)
            if other == task or ordered.get(other, 0) >= before.clock[other]:
                continue
            if did.needs and before.did.gives == did.needs:
                continue
            races.append(i)
            learn(ordered, before.clock)
        clock[task] = clock.get(task, 0) + 1
        node.clock = clock
        own.append(at)
        for part in did.footprint:
            self._touching[part >> 1].append(at)
        for i in races:
            self._try(i, at)

    def _born(self, at: int, task: int) -> Clock:
        """The clock of the step that spawned the task."""
        for i in range(at):
            if self._path[i].did.tasks > task:
                return self._path[i].clock if i and self._path[i - 1].did.tasks <= task else {}
        return {}

    def _try(self, i: int, at: int) -> None:
        """Steps i and `at` race: see that, at the state before i, something is tried that leads to the other order."""
        node, task = self._path[i], self._path[at].chosen // 3
        other, count = node.chosen // 3, node.clock[node.chosen // 3]
        firsts: dict[int, int] = {}  # of each task: its first step that does not follow from step i, and step `at`
        for k in range(i + 1, at):
            between = self._path[k]
            if between.clock.get(other, 0) < count:
                firsts.setdefault(between.chosen // 3, k)
        firsts.setdefault(task, at)
        initial = {
            self._path[k].chosen
            for one, k in firsts.items()
            if not any(t != one and self._path[k].clock.get(t, 0) >= self._path[j].clock[t] for t, j in firsts.items())
        }
        wanted = node.wanted
        assert wanted is not None
        if not initial & wanted:
            possible = [choice for choice in initial if choice in node.enabled]
            own = [choice for choice in possible if choice // 3 == task]
            wanted.update((own or possible)[:1] or node.enabled)
