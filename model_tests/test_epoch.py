"""`EpochTracker`: exact counts, no aliasing, waits that end, memory that is given back."""

from __future__ import annotations

import gc
import threading

from hotswap import EpochTracker
from worlds import Runner, eventually


def test_release_is_idempotent_also_from_several_threads() -> None:
    tracker = EpochTracker()
    guard, other = tracker.enter(), tracker.enter()
    releasing = [Runner(guard.release) for _ in range(8)]
    for runner in releasing:
        runner.join()
    assert tracker.refs_for_epoch(0) == 1
    other.release()
    other.release()
    assert tracker.refs_for_epoch(0) == 0


def test_a_guard_counts_for_the_epoch_it_entered() -> None:
    tracker = EpochTracker()
    with tracker.enter() as old:
        tracker.advance()
        with tracker.enter() as new:
            assert (old.epoch, new.epoch) == (0, 1)
            assert (tracker.refs_for_epoch(0), tracker.refs_for_epoch(1)) == (1, 1)
            assert not tracker.wait_drain(0, 0)
        assert tracker.wait_drain(1, 0)
    assert tracker.wait_drain(0, 0)


def test_epochs_never_alias_and_drained_ones_are_forgotten() -> None:
    """The seed kept eight counters in a ring, so that epoch 8 was epoch 0."""
    tracker = EpochTracker()
    held = tracker.enter()
    for _ in range(1_000):
        tracker.advance()
        tracker.enter().release()
    assert tracker.refs_for_epoch(0) == 1
    assert all(tracker.refs_for_epoch(epoch) == 0 for epoch in range(1, 1_001))
    assert len(tracker._refs) == 1
    held.release()
    assert tracker.refs_for_epoch(0) == 0
    assert len(tracker._refs) == 0


def test_a_waiter_is_woken_by_the_last_release() -> None:
    tracker = EpochTracker()
    first, second = tracker.enter(), tracker.enter()
    waiting = Runner(tracker.wait_drain, 0, 20.0)
    eventually(lambda: len(tracker._parked) == 1)
    first.release()
    assert waiting.running
    second.release()
    assert waiting.value() is True
    assert len(tracker._parked) == 0


def test_a_dropped_guard_releases_even_when_the_collector_drops_it_under_the_lock() -> None:
    tracker = EpochTracker()
    guard = tracker.enter()
    cycle: list[object] = [guard]
    cycle.append(cycle)
    del guard, cycle
    with tracker._lock:
        gc.collect()
    assert tracker.refs_for_epoch(0) == 0


def test_counts_are_exact_under_threads() -> None:
    tracker = EpochTracker()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            guard = tracker.enter()
            assert tracker.refs_for_epoch(guard.epoch) >= 1
            guard.release()

    workers = [Runner(work) for _ in range(4)]
    for _ in range(200):
        old = tracker.current
        assert tracker.advance() == old + 1
        assert tracker.wait_drain(old, 20)
        assert tracker.refs_for_epoch(old) == 0
    stop.set()
    for worker in workers:
        worker.value()
    assert tracker.refs_for_epoch(tracker.current) == 0
    assert tracker._refs == {}


def test_guards_that_nobody_asks_about_take_no_memory() -> None:
    tracker = EpochTracker()
    for _ in range(1_000):
        tracker.enter().release()
    assert len(tracker._released) <= 2  # the last guard's, by its release and by its finalizer
