"""Faults, one by one or in pairs, at the steps at which the product calls out: what strikes, and where.

Each call through a port is a step, and is struck before it has done anything, or after it has. `Faults` numbers these
points as they come, on the thread that makes them: the operation's own, or one that the product has started. A run
without faults records them; each later run strikes one point, or two. So no step is forgotten when the code changes,
and one that `CATALOGUE` does not know fails the test.
"""

from __future__ import annotations

import errno
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Final, NamedTuple

import wasmtime

from hotswap import InitFailed, ModuleRejected, Overloaded

OP: Final = "the operation"
"""The lane of its own thread; those that the product starts have lanes by their names."""

CTRL_C, NO_MEMORY, NO_THREAD, FULL_DISK = "Ctrl-C", "no memory", "no thread", "full disk"
NO_FILES, FORBIDDEN, BROKEN_DISK, WASMTIME = "no files left", "forbidden", "broken disk", "an error of wasmtime"
REJECTED, INIT_FAILED, OVERLOADED = "rejected", "init failed", "overloaded"
LATER, EARLIER = "an hour later", "an hour earlier"
KINDS: Final[dict[str, Callable[[], BaseException]]] = {
    CTRL_C: KeyboardInterrupt,
    NO_MEMORY: MemoryError,
    NO_THREAD: lambda: RuntimeError("can't start new thread"),
    FULL_DISK: lambda: OSError(errno.ENOSPC, "no space left on device"),
    NO_FILES: lambda: OSError(errno.EMFILE, "too many open files"),
    FORBIDDEN: lambda: PermissionError(errno.EACCES, "permission denied"),
    BROKEN_DISK: lambda: OSError(errno.EIO, "input/output error"),
    WASMTIME: lambda: wasmtime.WasmtimeError("a fault"),
    REJECTED: lambda: ModuleRejected("a fault"),
    INIT_FAILED: lambda: InitFailed("a fault"),
    OVERLOADED: lambda: Overloaded("a fault"),
}
JUMPS: Final = {LATER: 3_600.0, EARLIER: -3_600.0}

ANY: Final = (CTRL_C, NO_MEMORY)
Catalogue = Mapping[str, tuple[str, ...]]
CATALOGUE: Final[Catalogue] = {
    "before runtime.load": (*ANY, FULL_DISK, REJECTED),
    "after runtime.load": ANY,
    "before code.instantiate": (*ANY, OVERLOADED, INIT_FAILED),
    "after code.instantiate": ANY,
    "before code.interrupt": ANY,
    "after code.interrupt": ANY,
    "before instance.call": ANY,
    "after instance.call": ANY,
    "before instance.close": ANY,
    "after instance.close": ANY,
    "before sync.lock": ANY,
    "after sync.lock": (CTRL_C,),
    "before sync.parker": ANY,
    "after sync.parker": (CTRL_C,),
    "before sync.atomic": ANY,
    "after sync.atomic": (CTRL_C,),
    "before sync.bag": ANY,
    "after sync.bag": (CTRL_C,),
    "before sync.spawn": (*ANY, NO_THREAD),
    "after sync.spawn": (CTRL_C,),
    "before lock.enter": ANY,
    "after lock.exit": (CTRL_C,),
    "before parker.park": ANY,
    "after parker.park": (CTRL_C,),
    "before parker.unpark": (CTRL_C,),
    "after parker.unpark": (CTRL_C,),
    "before clock.now": (*ANY, LATER, EARLIER),
    "after clock.now": (CTRL_C,),
    "before trace": (CTRL_C,),
    "after trace": (CTRL_C,),
}
LEFT_OUT: Final = {
    "between the taking of a lock and the body": "CPython does not look for signals there (`_locked.py`)",
    "the release of a lock": "one call of C that does not fail; Ctrl-C strikes after it",
    "an error of Trace, or of unpark": "the ports forbid it; Ctrl-C strikes there all the same",
    "the operations of bags and atomics": "one step of C each; `test_interrupts.py` strikes after each of them",
    "Ctrl-C on a thread that the product has started": "Python runs signal handlers on the main thread only",
    "finalizers": "what is raised there goes nowhere",
}
"""Where there is no fault, and why."""


class Point(NamedTuple):
    lane: str
    number: int
    step: str
    """Its name in the catalogue."""


class Fault(NamedTuple):
    point: Point
    kind: str

    def __str__(self) -> str:
        where = "" if self.point.lane == OP else f" of {self.point.lane}"
        return f"{self.kind} {self.point.step} ({self.point.number}{where})"


def faults_at(
    points: Iterable[Point], leave_out: frozenset[str] = frozenset(), catalogue: Catalogue = CATALOGUE
) -> Iterator[Fault]:
    """Each fault of each fitting kind."""
    for point in points:
        assert point.step in catalogue, f"{point.step!r} is a new step: say in the catalogue which faults fit it"
        for kind in catalogue[point.step]:
            if kind not in leave_out and (kind != CTRL_C or point.lane == OP):
                yield Fault(point, kind)


class Faults:
    """What is to strike, and what has. The product's ports ask it at each step, and so do the stand-ins."""

    def __init__(self, *planned: Fault, acts: Mapping[str, Callable[[], object]] | None = None) -> None:
        """`acts` are kinds that do something, beside those that raise."""
        self._planned = {(fault.point.lane, fault.point.number): fault for fault in planned}
        self._acts = acts or {}
        self.seen: list[Point] = []
        self.struck: list[Fault] = []
        self.raised: list[BaseException] = []
        self.jumped_s = 0.0
        """By how much the clock has jumped."""
        self._lane = threading.local()
        self._counts: Counter[str] = Counter()

    @contextmanager
    def lane(self, name: str) -> Iterator[None]:
        """This thread's steps are counted under this name; under none, not at all."""
        before = self.counted
        self._lane.name = name
        try:
            yield
        finally:
            self._lane.name = before

    @property
    def counted(self) -> str:
        """The lane of this thread; empty if its steps are not counted."""
        return getattr(self._lane, "name", "")

    def at(self, step: str) -> None:
        """The product is before a step, or after it.

        A thread of the product may be at another step than was planned: how often it wakes is chance. Then nothing
        strikes, since it might be what cannot happen there.
        """
        lane = self.counted
        if not lane or in_a_finalizer(sys._getframe(1)):  # a parker is given its permit by finalizers too
            return
        point = Point(lane, self._counts[lane], step)
        self._counts[lane] += 1
        self.seen.append(point)
        fault = self._planned.get((lane, point.number))
        if fault is None or (lane != OP and fault.point != point):
            return
        kind = fault.kind
        self.struck.append(Fault(point, kind))
        if kind in JUMPS:
            self.jumped_s += JUMPS[kind]
        elif kind in self._acts:
            with self.lane(""):
                self._acts[kind]()
        else:
            error = KINDS[kind]()
            self.raised.append(error)
            raise error

    def to_come(self, leave_out: frozenset[str] = frozenset(), catalogue: Catalogue = CATALOGUE) -> Iterator[Fault]:
        """What can strike in such a run, after what has struck already."""
        begin = self.seen.index(self.struck[-1].point) + 1 if self.struck else 0
        return faults_at(self.seen[begin:], leave_out, catalogue)

    def has_struck(self, *steps: str) -> bool:
        return any(fault.point.step in steps for fault in self.struck)

    def forget(self) -> None:
        """Drop the exceptions, and the frames that they keep."""
        for error in self.raised:
            error.__traceback__ = error.__context__ = error.__cause__ = None


def in_a_finalizer(frame: FrameType, levels: int = 5) -> bool:
    """Whether a finalizer has called this, so many frames up at most: what is raised there goes nowhere."""
    caller: FrameType | None = frame
    while caller is not None and levels:
        if caller.f_code.co_name == "__del__":
            return True
        caller, levels = caller.f_back, levels - 1
    return False
