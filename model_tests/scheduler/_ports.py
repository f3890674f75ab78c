"""The ports `Sync` and `Clock` on a run: every access is announced, then made, then taken down as a footprint.

They keep to what `hotswap._ports` promises and give nothing more. In particular a bag gives back any item, and this
one the latest; a parker holds one permit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Generic, TypeVar

from scheduler._errors import WouldBlock
from scheduler._merge import JOINED_MAX, Guarded
from scheduler._run import Run
from scheduler._task import GO, SPURIOUS, TIMEOUT, Shared

T = TypeVar("T")


class Lock(Shared):
    __slots__ = ("_bit", "_free")

    def __init__(self, run: Run) -> None:
        self.run = run  # what sets this in several classes is slower than what does so in one
        self.label = "lock"
        self.key, self.code, self.changed = run.number()
        if run.story is not None:
            run.name(self)
        self._bit = 1 << self.key
        self._free = True

    def _is_free(self) -> bool:
        return self._free

    def __enter__(self) -> bool:
        run = self.run
        if run.expected == run.mine + self.changed:  # as in `announce`, and so in what follows
            run.expected = run.advance()
        else:
            run.stop(self, self.changed, "acquires", (self.changed,), self._is_free)
        self._free = False
        run.held |= self._bit
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        run = self.run
        if run.known is not None:
            run.joined += 1
            if run.is_open:
                run.releases(self)
        elif run.announce(self, True, "releases"):
            run.touch(self, True)
        self._free = True
        run.held &= ~self._bit


class Parker(Shared):
    __slots__ = ("_permit",)

    def __init__(self, run: Run) -> None:
        self.run = run
        self.label = "parker"
        self.key, self.code, self.changed = run.number()
        if run.story is not None:
            run.name(self)
        self._permit = False

    def _has_permit(self) -> bool:
        return self._permit

    def park(self, timeout: float | None) -> bool:
        run = self.run
        if timeout is not None and timeout <= 0:
            run.announce(self, True, "looks at")
        elif run.current is None and timeout is not None and not self._permit:
            run.now += timeout  # nobody else is there to end it
        else:
            run.announce(self, True, "parks on", self._has_permit, None if timeout is None else run.now + timeout)
        how, run.how = run.how, GO
        if how == TIMEOUT:
            run.touch(self, False, also=(run.clock_object.code + 1,))
            return False
        if how == SPURIOUS:
            run.touch(self, False, also=(run.chance_object.code + 1,))
            return True
        permit, self._permit = self._permit, False
        run.touch(self, permit)
        return permit

    def unpark(self) -> None:
        if self.run.announce(self, True, "unparks"):
            self.run.touch(self, not self._permit)
        self._permit = True


class Atomic(Guarded, Generic[T]):
    __slots__ = ("_value",)

    def __init__(self, run: Run, value: T) -> None:
        self.run = run
        self.label = "atomic"
        self.key, self.code, self.changed = run.number()
        if run.story is not None:
            run.name(self)
        self._origin, self.reads, self.writes, self.read_guard, self.write_guard = run.guards_of(self.key)
        self._value = value

    @property
    def value(self) -> T:
        run = self.run
        # As in `is_guarded`, and so in what follows.
        if run.held == self.read_guard and (joined := run.joined) < JOINED_MAX:
            run.joined = joined + 1
        elif (self.writes or (self.reads and run.held)) and self.is_guarded(False):
            pass
        elif run.expected == run.mine + self.code:
            run.expected = run.advance()
        elif run.current is not None:
            run.stop(self, self.code, "reads", (self.code,))
        return self._value

    @value.setter
    def value(self, value: T) -> None:
        run = self.run
        if run.held == self.write_guard and (joined := run.joined) < JOINED_MAX:
            run.joined = joined + 1
        elif self.reads and (self.writes or self.reads & ~run.held) and self.is_guarded(True):
            pass
        elif run.expected == run.mine + self.changed:
            run.expected = run.advance()
        elif run.current is not None and run.stop(self, self.changed, "stores to"):
            run.touch(self, value is not self._value)
        self._value = value


class Bag(Guarded, Generic[T]):
    __slots__ = ("_items",)

    def __init__(self, run: Run, items: Iterable[T]) -> None:
        self.run = run
        self.label = "bag"
        self.key, self.code, self.changed = run.number()
        if run.story is not None:
            run.name(self)
        self._origin, self.reads, self.writes, self.read_guard, self.write_guard = run.guards_of(self.key)
        self._items = list(items)

    def append(self, item: T, /) -> None:
        run = self.run
        if run.held == self.write_guard and (joined := run.joined) < JOINED_MAX:
            run.joined = joined + 1
        elif self.reads and (self.writes or self.reads & ~run.held) and self.is_guarded(True):
            pass
        elif run.expected == run.mine + self.changed:
            run.expected = run.advance()
        elif run.current is not None:
            run.stop(self, self.changed, "appends to", (self.changed,))
        self._items.append(item)

    def pop(self) -> T:
        run = self.run
        if run.held == self.write_guard and (joined := run.joined) < JOINED_MAX:
            run.joined = joined + 1
        elif self.reads and (self.writes or self.reads & ~run.held) and self.is_guarded(True):
            pass
        elif run.expected == run.mine + self.changed:
            run.expected = run.advance()
        elif run.current is not None and run.stop(self, self.changed, "pops from"):
            run.touch(self, bool(self._items))
        return self._items.pop()

    def remove(self, item: T, /) -> None:
        if not self.is_guarded(True) and self.run.announce(self, True, "removes from"):
            self.run.touch(self, item in self._items)
        self._items.remove(item)

    def copy(self) -> list[T]:
        if not self.is_guarded(False) and self.run.announce(self, False, "copies"):
            self.run.touch(self, False)
        return self._items.copy()

    def __len__(self) -> int:
        run = self.run
        if run.held == self.read_guard and (joined := run.joined) < JOINED_MAX:
            run.joined = joined + 1
        elif (self.writes or (self.reads and run.held)) and self.is_guarded(False):
            pass
        elif run.expected == run.mine + self.code:
            run.expected = run.advance()
        elif run.current is not None:
            run.stop(self, self.code, "counts", (self.code,))
        return len(self._items)


class Cell(Generic[T]):
    """A plain variable: not announced, but it must be ordered by what is. Not of any port; for tests' own programs."""

    def __init__(self, run: Run, value: T) -> None:
        self._run, self._value = run, value

    def get(self) -> T:
        self._run.plain(self, "value", False)
        return self._value

    def set(self, value: T) -> None:
        self._run.plain(self, "value", True)
        self._value = value


class SchedulerSync:
    """Implements the port `Sync`."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._threads = Shared(run, "threads")

    def lock(self) -> Lock:
        return Lock(self._run)

    def parker(self) -> Parker:
        return Parker(self._run)

    def atomic(self, value: T) -> Atomic[T]:
        return Atomic(self._run, value)

    def bag(self, items: Iterable[T]) -> Bag[T]:
        return Bag(self._run, items)

    def spawn(self, work: Callable[[], None], name: str) -> None:
        run = self._run
        if run.over:
            return
        if run.current is None:
            raise WouldBlock(f"{name} was to be spawned outside every task")
        run.announce(self._threads, True, "spawns on")
        run.touch(self._threads, True)
        run.task(name, work)


class SchedulerClock:
    """Implements the port `Clock`: time stands still but where a timeout passes."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def now(self) -> float:
        run = self._run
        if run.known is not None and not run.limits.timeouts and not run.limits.idle:
            run.joined += run.current is not None  # no step of any schedule moves it
        elif run.announce(run.clock_object, False, "reads"):
            run.touch(run.clock_object, False)
        return run.now
