"""Small programs on the production core and protocol: no plugin, no runtime, no manifests.

Parties do what `HotReloadablePlugin` and `Upgrades` do around the core, and nothing more: a caller admits or queues,
is inside, and releases; an upgrader claims, offers, begins, publishes, drains, commits or rolls back, reclaims and
finishes; a canceller cancels; a closer closes, drains and reclaims. What must hold is looked at where it could break:

- S3: nobody goes into an instance that is closed, or that somebody is in; nobody closes one that somebody is in;
- EXCLUSIVE: nobody goes into an instance while somebody is in one of another version;
- S2: whoever begins notes the newest version on which something has ended, and does not run on an older one; when an
  upgrade has returned, nobody is in an older version. With a rollback this is not looked at;
- at the end: nobody waits (the search sees to that), nothing is in flight, one version serves, all others are closed.

Callers are alike, so they begin in their order: every other schedule is one of these under other names.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations
from typing import Any, Final

from core_memory import Memory, saw
from core_ports import Atomic, Bag, StateClock, StateSync
from hotswap import Cutover, HotswapError
from hotswap._protocol import HotReloadProtocol
from hotswap._version import Attempt, Lease, Version
from scheduler import Program, Run, Shared
from scheduler._task import Task
from scheduler._watch import begin

WAIT_S: Final = 5.0


class NoTime:
    """Implements the port `Clock` where no timeout can pass: to look at it is no step."""

    def now(self) -> float:
        return 0.0


@dataclass(eq=False)
class Inst:
    number: int
    shared: Shared
    inside: Task | None = None
    closed: bool = False
    broken: bool = False


class Code:
    def interrupt(self, stop: bool) -> None:
        """Nobody runs for long here."""


@dataclass(frozen=True)
class Parties:
    callers: int = 1
    upgrades: tuple[int, ...] = (2,)
    """The first is prepared before anybody begins; each further upgrader prepares its own."""
    cutover: Cutover = Cutover.OVERLAP
    instances: int = 1
    canceller: bool = False
    closer: bool = False
    timeouts: bool = False
    """Whether one wait may time out: a drain, which rolls back, or a call's."""
    fails_at: str = ""
    """The step at which the first upgrade fails: begin, publish or commit."""

    @property
    def program(self) -> Program:
        return lambda run: _World(run, self).check


class _Failed(HotswapError):
    """The step that is made to fail."""


@dataclass(eq=False)
class _World:
    run: Run
    parties: Parties
    instances: list[Inst] = field(default_factory=list)
    newest: int = 1

    def __post_init__(self) -> None:
        run, parties = self.run, self.parties
        self.memory = Memory(run, list(permutations(range(parties.callers))))
        begin(run)
        sync = StateSync(self.memory)
        clock = StateClock(self.memory) if parties.timeouts else NoTime()
        first = Version(1, Code(), None, self._made(1), sync)  # type: ignore[arg-type]
        self.protocol = HotReloadProtocol("p", first, sync, clock)
        self.memory.made(self.protocol)
        self.memory.at_append = self._leaves
        first.live.value = True
        self.ends = Shared(run, "ends")
        prepared = Attempt()
        if parties.upgrades:
            self._prepare(prepared, parties.upgrades[0])
        _quiet(self.protocol.phase, self.protocol.book, self.protocol.closed, first.live)
        _constant(first.tombs)
        for index in range(parties.callers):
            self._task(f"caller {index}", self._call)
        for index, number in enumerate(parties.upgrades):
            self._task(f"upgrader {number}", partial(self._upgrade, None if index else prepared, number))
        if parties.canceller:
            self._task("canceller", self.protocol.cancel)
        if parties.closer:
            self._task("closer", self._close)
        self.memory.more = lambda: [
            self.memory.begun,
            self.newest,
            *(10_000 * inst.number + 2 * (inst.inside is not None) + inst.closed for inst in self.instances),
        ]

    def _made(self, number: int) -> list[Inst]:
        made = [Inst(number, Shared(self.run, f"instance of {number}")) for _ in range(self.parties.instances)]
        for inst in made:
            self.memory.made(inst)
        self.instances += made
        return made

    def _task(self, name: str, work: Callable[[], object]) -> None:
        index = len(self.run.tasks)

        def party() -> None:
            try:
                result = work()
            except HotswapError as error:
                result = type(error).__name__
            self.memory.results[index] = result

        self.run.task(name, party)

    # -- the parties -----------------------------------------------------------------------------------------------

    def _call(self) -> int | str:
        memory, run, task = self.memory, self.run, self.run.current
        assert task is not None
        index = task.index
        run.announce(self.ends, True, "begins before", lambda: memory.begun == index)
        run.joins(self.ends, True)
        memory.begun += 1
        newest = saw(self.newest)
        memory.holds_only("called", newest)
        memory.joins_next = not Memory.each_access  # to have begun earlier promises less
        lease = self.protocol.admit() or self.protocol.queue(WAIT_S)
        if lease is None:
            assert self.parties.timeouts, "Overloaded"
            return "Overloaded"
        inst: Any = lease.instance
        memory.holds_only("inside", newest, lease)
        assert not inst.closed, "S3: went into a closed instance"
        assert inst.inside is None, "S3: went into an instance that somebody is in"
        assert inst.number >= newest or self._may_roll_back, f"S2: runs on {inst.number}, and {newest} had served"
        if self.parties.cutover is Cutover.EXCLUSIVE:
            assert all(other.number == inst.number for other in self.instances if other.inside), "two versions run"
        run.joins(inst.shared, True)
        inst.inside = task
        self.protocol.release(lease)
        memory.holds_only("released", inst.number)
        self._ended(inst.number)
        return int(inst.number)

    def _leaves(self, item: object) -> None:
        """In the step in which a lease goes home, and not before it, its holder is out."""
        inst: Any = item.instance if isinstance(item, Lease) else None
        if inst is not None and inst.inside is not None and inst.inside is self.run.current:
            self.run.joins(inst.shared, True)
            inst.inside = None

    @property
    def _may_roll_back(self) -> bool:
        return self.parties.timeouts or bool(self.parties.fails_at)

    def _ended(self, number: int) -> None:
        """No step of its own: to have ended later promises less."""
        if Memory.each_access:
            self.run.announce(self.ends, True, "ends before")
        self.run.joins(self.ends, number > self.newest)
        self.newest = max(self.newest, number)

    def _prepare(self, attempt: Attempt, number: int) -> None:
        self.protocol.claim(attempt)
        made = self._made(number)
        try:
            self.protocol.offer(attempt, Code(), None, made)  # type: ignore[arg-type]
        except HotswapError:
            for inst in made:
                self._close_one(inst)
            raise
        assert attempt.candidate is not None
        _quiet(attempt.candidate.live)
        _constant(attempt.candidate.tombs)

    def _upgrade(self, prepared: Attempt | None, number: int) -> str:
        if prepared is None:
            prepared = Attempt()
            self._prepare(prepared, number)
        self.memory.holds_only("prepared", prepared)
        protocol, attempt = self.protocol, Attempt()
        try:
            old, candidate = protocol.begin(attempt, self.parties.cutover, prepared)
            self._fails("begin", number)
            if self.parties.cutover is Cutover.OVERLAP:
                protocol.publish(old, candidate)
                self._fails("publish", number)
            self.memory.holds_only("drains", attempt)
            if not protocol.await_drain(old, WAIT_S):
                raise _Failed("the drain timed out")
            self._fails("commit", number)
            protocol.commit(attempt, 0)
            self.memory.holds_only("committed", attempt)
        except HotswapError as error:
            self.memory.holds_only("failed", attempt, type(error).__name__)
            if attempt.old is not None:
                protocol.abort(attempt, type(error).__name__)
            self._reclaim()
            protocol.finish(attempt)
            return type(error).__name__
        self._reclaim()
        protocol.finish(attempt)
        self.memory.holds_only("finished", attempt)
        self._ended(number)
        left = [inst for inst in self.instances if inst.number < number and inst.inside is not None]
        assert not left or self._may_roll_back, f"S2: the upgrade to {number} has returned, and an older version runs"
        return f"upgraded {number}"

    def _fails(self, step: str, number: int) -> None:
        if step == self.parties.fails_at and number == self.parties.upgrades[0]:
            raise _Failed(step)

    def _reclaim(self) -> None:
        for version in self.protocol.retired():
            for lease in self.protocol.reclaim(version):
                self._close_one(lease.instance)
            self.protocol.forget(version)

    def _close_one(self, inst: Any) -> None:
        assert inst.inside is None, "S3: closed an instance that somebody is in"
        self.run.joins(inst.shared, True)
        inst.closed = True

    def _close(self) -> None:
        self.protocol.close()
        for version in self.protocol.retired():
            self.protocol.await_drain(version, None, closing=True)
        self._reclaim()

    # -- what must hold at the end -----------------------------------------------------------------------------

    def check(self) -> Hashable:
        protocol = self.protocol
        assert not any(inst.inside for inst in self.instances)
        assert protocol.waiting == 0
        self._reclaim()  # what was rolled back with a call inside has nobody here who waits for it
        open_ = {protocol._owner.candidate} if protocol._owner is not None else set()
        serving = set() if protocol.closed.value else {protocol.current.value}
        for version in serving:
            assert version.in_flight == 0, "S7: nothing is in flight"
            assert len(version.free) == version.size, "S8: every lease is home"
        kept = [version for version in (*serving, *open_) if version is not None]
        expected = {id(lease.instance) for version in kept for lease in version.free.copy()}
        assert {id(inst) for inst in self.instances if not inst.closed} == expected, "S8: created = closed + serving"
        results = [self.memory.results.get(task.index) for task in self.run.tasks]
        callers = self.parties.callers
        return (*sorted(results[:callers], key=str), *results[callers:])


def _quiet(*atomics: Any) -> None:
    """Read under the lock only, by these programs."""
    for atomic in atomics:
        assert isinstance(atomic, Atomic)
        atomic.quiet = True


def _constant(*bags: Any) -> None:
    """Of empty bags: no instance is lost in these programs."""
    for bag in bags:
        assert isinstance(bag, Bag)
        bag.constant = True
