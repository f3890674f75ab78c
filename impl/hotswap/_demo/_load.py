"""The load: threads that call the plugin over and over with real files, check each answer, and time each call.

Every thread writes to a tally of its own and others only read it, so nothing here is locked. The complete record
of the calls is read when the threads have been joined, and they are joined whatever happens.
"""

from __future__ import annotations

import math
import os
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Self

from hotswap._plugin import HotReloadablePlugin

now = time.perf_counter
Call = tuple[float, float]
"""When a call began and when it ended, in seconds of `now`."""

PATIENCE_S = 10.0
"""How much longer than asked a steady phase may take, until a call has begun and ended in it."""
_BACKOFF_S = 0.01
_NAP_S_MAX = 0.25
"""A signal that lands between the interpreter's last look and the sleep is seen only when the sleep has ended."""
_MAX_FAULTS = 5
_SKIPPED = {"site-packages", "dist-packages", "__pycache__"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One input, and the answer that is right for it: CRC-32 in four bytes, little-endian."""

    name: str
    data: bytes
    answer: bytes

    @classmethod
    def of(cls, name: str, data: bytes) -> Self:
        return cls(name, data, zlib.crc32(data).to_bytes(4, "little"))


def read_samples(root: Path, *, files_max: int = 400, file_bytes_max: int = 1 << 20) -> list[Sample]:
    """The first files below `root`, by path, that are not empty and not too large; unreadable ones are passed over."""
    samples: list[Sample] = []
    for path in _files_below(root):
        if len(samples) == files_max:
            break
        try:
            if 0 < path.stat().st_size <= file_bytes_max:
                samples.append(Sample.of(str(path.relative_to(root)), path.read_bytes()))
        except OSError:
            continue
    return samples


def _files_below(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - _SKIPPED)
        yield from (path for name in sorted(files) if (path := Path(folder, name)).is_file())


@dataclass(slots=True)
class Tally:
    """What one thread did."""

    calls: list[Call] = field(default_factory=list)
    """Those that were answered, rightly or wrongly."""
    bytes: int = 0
    wrong: int = 0
    dropped: int = 0
    faults: list[str] = field(default_factory=list)
    """The first few wrong answers and dropped calls, told."""

    @property
    def ended(self) -> int:
        return len(self.calls) + self.dropped

    def fault(self, what: str) -> None:
        if len(self.faults) < _MAX_FAULTS:
            self.faults.append(what)

    @classmethod
    def sum(cls, tallies: Iterable[Tally]) -> Tally:
        total = cls()
        for tally in tallies:
            total.calls += tally.calls
            total.bytes += tally.bytes
            total.wrong += tally.wrong
            total.dropped += tally.dropped
            total.faults += tally.faults
        return total


class Load:
    """The threads at work on one plugin; made and ended by `under_load`."""

    def __init__(self, plugin: HotReloadablePlugin, samples: Sequence[Sample], threads: int) -> None:
        self.plugin = plugin
        self.tallies = [Tally() for _ in range(threads)]
        self._stop, self._progress = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(tally, _rotated(samples, i / threads)), name=f"hotswap-demo-{i}")
            for i, tally in enumerate(self.tallies)
        ]

    @property
    def ended(self) -> int:
        """Calls that have ended so far, well or not."""
        return sum(tally.ended for tally in self.tallies)

    def steady(self, seconds: float) -> None:
        """Let the calls go on for so long, and at least until one has both begun and ended meanwhile."""
        enough = self.ended + len(self._threads) + 1  # each thread is at most in one call that began before
        end = now() + seconds
        while (left := end - now()) > 0:
            time.sleep(min(left, _NAP_S_MAX))
        deadline = now() + PATIENCE_S
        while self.ended < enough and self._progress.wait(deadline - now()):
            self._progress.clear()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when every call has ended."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _work(self, tally: Tally, samples: Sequence[Sample]) -> None:
        for sample in cycle(samples):
            if self._stop.is_set():
                return
            began = now()
            try:
                answer = self.plugin.call_bytes("crc32", sample.data)
            except Exception as error:  # noqa: BLE001  whatever it was, the call was dropped
                tally.dropped += 1
                tally.fault(f"dropped: {sample.name}: {type(error).__name__}: {error}")
                self._stop.wait(_BACKOFF_S)
            else:
                tally.calls.append((began, now()))
                tally.bytes += len(sample.data)
                if answer != sample.answer:
                    tally.wrong += 1
                    tally.fault(f"wrong: {sample.name}: expected {sample.answer.hex()}, found {answer.hex()}")
            self._progress.set()


def _rotated(samples: Sequence[Sample], fraction: float) -> Sequence[Sample]:
    start = int(len(samples) * fraction)
    return [*samples[start:], *samples[:start]]


@contextmanager
def under_load(plugin: HotReloadablePlugin, samples: Sequence[Sample], threads: int) -> Iterator[Load]:
    """Call `plugin` from so many threads at once for as long as the block runs."""
    load = Load(plugin, samples, threads)
    try:
        load.start()
        yield load
    finally:
        try:
            load.stop()
        except BaseException:  # a second Ctrl-C does not leave threads behind either
            load.stop()
            raise


@dataclass(frozen=True, slots=True)
class Latency:
    """How long some calls took, in milliseconds; percentiles by nearest rank. All 0 if there was no call."""

    calls: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, calls: Iterable[Call]) -> Self:
        times = sorted((ended - began) * 1000 for began, ended in calls)
        if not times:
            return cls(0, 0.0, 0.0, 0.0)
        p50, p99 = (times[math.ceil(len(times) * share) - 1] for share in (0.50, 0.99))
        return cls(len(times), p50, p99, times[-1])
