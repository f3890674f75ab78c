"""Every state that a level can reach, breadth first, so that the first counterexample found is a shortest one."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from hotswap_spec._model import Level, Step


class Failure(NamedTuple):
    """A property that does not hold, and a shortest way there; `loop` is what can go on for ever."""

    what: str
    start: Any
    steps: list[Step]
    loop: list[Step] | None = None

    def story(self) -> str:
        """Who did what, and what changed. Threads and versions are numbered from 0, as in the state."""
        lines, state = [self.what], self.start
        for n, step in enumerate([*self.steps, *(self.loop or ())]):
            lines += ["      and then, for ever:"] if self.loop and n == len(self.steps) else []
            lines += [f"{n + 1:4}. {label(step)}: {step[0].says}", *changes(state, step[2])]
            state = step[2]
        return "\n".join([*lines, *(["      and nobody need do anything more"] if self.loop == [] else [])])


def label(step: Step) -> str:
    return f"{step[0].who} {step[1]} {step[0].name}"


def changes(before: Any, after: Any, name: str = "") -> Iterator[str]:
    if isinstance(before, tuple) and before != after:
        for key, old, new in zip(getattr(before, "_fields", range(len(before))), before, after, strict=True):
            yield from changes(old, new, f"{name} {key}".strip())
    elif before != after:
        yield f"        {name}: {before} -> {after}"


class Exploration:
    """Every state that can be reached, by number, and the first failure, if any. Symmetric threads are exchangeable."""

    def __init__(self, level: Level, start: Any, progress: Callable[[int], object] = lambda _: None) -> None:
        self.level, self.states, self.came, self.edges = level, [level.canonical(start)], [0], 0
        self.seen, self.done = set[str](), set[str]()  # which `sometimes` were met, which steps were done at all
        self.failure = next(self._failures(progress), None)

    def _failures(self, progress: Callable[[int], object]) -> Iterator[Failure]:
        always, keeps, rest = self.level.always.items(), self.level.steps.items(), self.level.rest.split()
        unseen, number, start, done = dict(self.level.sometimes), {self.states[0]: 0}, self.states[0], self.done
        for n, state in enumerate(self.states):  # which grows meanwhile
            for what, holds in always:
                if not holds(state):
                    yield Failure(what, start, self.path(n))
            for what in [what for what, holds in unseen.items() if holds(state)] if unseen else ():
                self.seen.add(what)
                del unseen[what]
            stuck = True
            for step in self.level.next(state):
                row, _, target = step
                stuck = stuck and row.fair == "may"
                self.edges += 1
                done.add(row.name)
                for what, kept in keeps:
                    if not kept(state, row.name, target):
                        yield Failure(what, start, self.path(n, step))
                target = self.level.canonical(target, state)
                if number.setdefault(target, len(number)) == len(self.states):
                    self.states.append(target)
                    self.came.append(n)
            if stuck and rest and any(thread[0] not in rest for k, _ in self.level.program for thread in state[k]):
                yield Failure("no deadlock: who is on the way can go on", start, self.path(n))
            if n % 10_000 == 0:
                progress(n)

    def path(self, n: int, *then: Step) -> list[Step]:
        """A shortest way to a state, and a step from there. Threads keep their numbers where states were merged."""
        chain, steps, state = [n], list[Step](), self.states[0]
        while chain[-1]:
            chain.append(self.came[chain[-1]])
        for row, to in [*((None, self.states[m]) for m in chain[-2::-1]), *((one[0], one[2]) for one in then)]:
            there = (step for step in self.level.next(state) if row in (None, step[0]))
            steps.append(next(step for step in there if self.level.canonical(step[2]) == self.level.canonical(to)))
            state = steps[-1][2]
        return steps
