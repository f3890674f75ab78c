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
from collections.abc import Iterable
from enum import Enum
from typing import Final

from scheduler._errors import Nondeterministic, UnknownFootprint
from scheduler._guides import CHOICE_SHIFT, Did, Guide, Pruned

Footprint = tuple[int, ...] | None

RUNS_BETWEEN_CAREFUL: Final = 50
NOTHING: Final = Did(None)
ASLEEP: Final[dict[int, Footprint]] = {}
"""Nobody; never changed."""
NOBODY: Final = -1
ALL: Final = -1
"""The set of all choices, as bits."""


class Reduction(Enum):
    NONE = "every schedule"
    SLEEP = "sleep sets"
    RACES = "races and sleep sets"


def as_bits(choices: Iterable[int]) -> int:
    bits = 0
    for choice in choices:
        bits |= 1 << choice
    return bits


def conflict(one: Footprint, other: Footprint) -> bool:
    if one is None or other is None:
        return True
    for a in one:
        for b in other:
            if a ^ b <= 1 and (a | b) & 1:
                return True
    return False


class Node:
    """A state on the current path at which there is a choice."""

    __slots__ = ("enabled", "explored", "last", "left", "sleep", "wanted")

    def __init__(self, enabled: list[int], last: int, left: int | None, sleep: dict[int, Footprint]) -> None:
        self.enabled = enabled
        self.last = last
        """The task that ran before; -1 at the start."""
        self.left = left
        """Preemptions that are left."""
        self.sleep = sleep
        self.explored = ASLEEP
        """Choices made here before the present one."""
        self.wanted = ALL
        """The choices to explore, as bits."""

    def preempts(self, choice: int) -> bool:
        return choice // 3 != self.last and 3 * self.last in self.enabled

    def next_choice(self) -> int:
        """Who ran last first; -1 if there is nothing left to explore."""
        own = 3 * self.last
        for choice in [own, *self.enabled] if own in self.enabled else self.enabled:
            if not self.wanted >> choice & 1 or choice in self.explored or choice in self.sleep:
                continue
            if self.left == 0 and self.preempts(choice):
                continue
            return choice
        return -1


class DepthFirst(Guide):
    """The current path is kept by columns, one entry a step; sets of steps are numbers, one bit a step."""

    def __init__(self, reduction: Reduction, preemptions: int | None = None) -> None:
        self._reduction = reduction if preemptions is None else Reduction.NONE
        self._races = self._reduction is Reduction.RACES
        self._bound = preemptions
        self.anew()

    def anew(self) -> None:
        self._nodes: list[Node | None] = []  # None: nothing sleeps, and nothing but what was chosen is to be explored
        self._enabled: list[list[int]] = []
        self._chosen: list[int] = []
        self._did: list[Did] = []
        self._steps: list[int] = []
        """The choice and what was announced, as a script has them."""
        self._past: list[int] = []
        """The steps before the end of this one in every schedule of the class, and this one."""
        self._depth = 0
        self._runs = 0
        self._reached: defaultdict[int, int] = defaultdict(int)
        """The steps that read an object, and those that changed it: by what a footprint says of that."""
        self._of_task: defaultdict[int, int] = defaultdict(int)

    def script(self, careful: bool) -> list[int]:
        self._runs += 1
        if careful or not self._runs % RUNS_BETWEEN_CAREFUL or not self._chosen:
            self._depth = 0
            return []
        self._depth = len(self._did)
        return self._steps.copy()

    def choose(self, enabled: list[int]) -> int:
        at = self._depth
        self._depth = at + 1
        if at < len(self._chosen):
            return self._chosen_before(at, enabled)
        before = self._nodes[at - 1] if at else None
        sleep = ASLEEP if before is None else self._asleep_after(at - 1, before)
        if self._races and not sleep and not enabled[-1] % 3:
            own = self._chosen[-1] // 3 * 3 if at else NOBODY
            node, chosen = None, own if own in enabled else enabled[0]
        else:
            node = self._node(at, enabled, sleep)
            chosen = node.next_choice()
            if chosen < 0:
                raise Pruned
            if self._races:
                node.wanted = 1 << chosen
                if enabled[-1] % 3:  # waits that may end by themselves come last
                    node.wanted |= as_bits(choice for choice in enabled if choice % 3)
        self._nodes.append(node)
        self._enabled.append(enabled)
        self._chosen.append(chosen)
        return chosen

    def _asleep_after(self, at: int, node: Node) -> dict[int, Footprint]:
        """What still sleeps after step `at`."""
        if not (node.sleep or node.explored) or self._reduction is Reduction.NONE:
            return ASLEEP
        last, footprint, asleep = self._chosen[at] // 3, self._did[at].footprint, node.sleep | node.explored
        return {c: f for c, f in asleep.items() if c // 3 != last and not conflict(f, footprint)}

    def _node(self, at: int, enabled: list[int], sleep: dict[int, Footprint]) -> Node:
        """The state before step `at`."""
        last, left, before = -1, self._bound, None
        if at:
            last, before = self._chosen[at - 1] // 3, self._nodes[at - 1]
        if before is not None:
            left = before.left
            if left is not None and before.preempts(self._chosen[at - 1]):
                left -= 1
        return Node(enabled, last, left, sleep)

    def _chosen_before(self, at: int, enabled: list[int]) -> int:
        if self._enabled[at] != enabled:
            raise Nondeterministic(f"step {at}: {enabled} are possible, and were {self._enabled[at]}")
        return self._chosen[at]

    def made(self, did: Did) -> None:
        at = self._depth - 1
        if at == len(self._did):
            self._did.append(did)
            if did[0] is None and self._races:
                raise UnknownFootprint("a step's footprint is not known, so its races are not")
        elif self._did[at] != did:
            raise Nondeterministic(f"step {at}: it did {did}, and did {self._did[at]} before")

    def again(self) -> bool:
        nodes, chosen, made = self._nodes, self._chosen, self._did
        new = range(len(self._steps), len(made))
        self._steps += [chosen[at] << CHOICE_SHIFT | made[at][4] for at in new]
        if self._races:
            self._order()
        for at in range(len(chosen) - 1, -1, -1):
            node = nodes[at]
            if node is None or len(node.enabled) == 1:
                continue
            if node.explored is ASLEEP:
                node.explored = {}
            node.explored[chosen[at]] = made[at].footprint
            choice = node.next_choice()
            if choice >= 0:
                chosen[at] = choice
                self._cut(at)
                return True
        return False

    def _cut(self, at: int) -> None:
        """What follows the choice of this number is forgotten."""
        if self._races:
            low, reached, of_task = (1 << at) - 1, self._reached, self._of_task
            for did in self._did[at:]:
                for part in did.footprint or ():
                    reached[part] &= low
            for task in of_task:
                of_task[task] &= low
        del self._nodes[at + 1 :], self._enabled[at + 1 :], self._chosen[at + 1 :]
        del self._did[at:], self._steps[at:], self._past[at:]

    # -- races -------------------------------------------------------------------------------------------------

    def _order(self) -> None:
        """The past of each step that is new, and what its races ask for at earlier states."""
        chosen, made, enabled, pasts = self._chosen, self._did, self._enabled, self._past
        reached, of_task = self._reached, self._of_task
        for at in range(len(pasts), len(made)):
            footprint, needs, _, _, _ = made[at]
            assert footprint is not None
            task, bit = chosen[at] // 3, 1 << at
            own = of_task[task]
            past = pasts[own.bit_length() - 1] if own else self._born(task)
            of_task[task] = own | bit
            ordered = past  # what comes before for other reasons than this step's own accesses
            earlier = 0
            for part in footprint:
                earlier |= reached[part | 1]
                if part & 1:
                    earlier |= reached[part - 1]
                reached[part] |= bit
            earlier &= ~(ordered | bit)
            if not earlier:
                pasts.append(past | bit)
                continue
            races: list[int] = []
            while earlier:
                i = earlier.bit_length() - 1
                past |= pasts[i]
                if needs and made[i].gives >> needs & 1:
                    earlier ^= 1 << i
                    continue
                ordered |= pasts[i]
                earlier &= ~ordered
                if len(enabled[i]) > 1:
                    races.append(i)
            pasts.append(past | bit)
            for i in races:
                self._try(i, at)

    def _born(self, task: int) -> int:
        """The past of the step that spawned the task."""
        did = self._did
        for i in range(len(did)):
            if did[i].tasks > task:
                return self._past[i] if i and did[i - 1].tasks <= task else 0
        return 0

    def _try(self, i: int, at: int) -> None:
        """Steps i and `at` race: see that, at the state before i, something is tried that leads to the other order."""
        node, chosen, past = self._nodes[i], self._chosen, self._past
        wanted = 1 << chosen[i] if node is None else node.wanted
        task = chosen[at] // 3
        among, firsts = 0, list[int]()  # of each task: its first step that does not follow from step i, or step `at`
        for other, steps in self._of_task.items():
            k = at
            if later := steps >> i + 1:
                k = i + (later & -later).bit_length()
            if past[k] >> i & 1:
                k = at
            if k < at or other == task:
                firsts.append(k)
                among |= 1 << k
        initial = as_bits(chosen[k] for k in firsts if not past[k] & among & ~(1 << k))
        if initial & wanted:
            return
        if node is None:
            node = self._nodes[i] = self._node(i, self._enabled[i], ASLEEP)
        possible = [choice for choice in node.enabled if initial >> choice & 1]
        own = [choice for choice in possible if choice // 3 == task]
        node.wanted = wanted | as_bits((own or possible)[:1] or node.enabled)
