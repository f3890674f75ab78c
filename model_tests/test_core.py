"""The core by itself: the cases of its argument that no test through a plugin reaches for certain."""

from __future__ import annotations

import gc
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import Any

import pytest

from hotswap import Cutover, EpochGuard, HotReloadablePlugin, PluginClosed
from hotswap._frames import demand_frames
from hotswap._ports import Clock
from hotswap._protocol import HotReloadProtocol
from hotswap._threads import MONOTONIC, THREADS
from hotswap._version import Attempt, Lease, Version, Waiter
from hotswap.testing import FakeModule, FakeRuntime
from worlds import FakeWorld, Runner, eventually, manifest


class Hand:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds


def a_core(instances: int = 2, clock: Clock = MONOTONIC) -> HotReloadProtocol:
    runtime = FakeRuntime()
    code = runtime.load(FakeModule({"f": lambda: 1}), manifest(1))
    made = [code.instantiate(probe=False) for _ in range(instances)]
    version = Version(1, code, manifest(1), made, THREADS)
    version.live.value = True
    return HotReloadProtocol("p", version, THREADS, clock)


def executing(core: HotReloadProtocol, cutover: Cutover = Cutover.OVERLAP) -> tuple[Attempt, Version, Version]:
    claimed, attempt = Attempt(), Attempt()
    core.claim(claimed)
    first = core.current.value
    core.offer(claimed, first.code, first.manifest, [first.code.instantiate(probe=False)])
    old, candidate = core.begin(attempt, cutover)
    return attempt, old, candidate


def test_a_lease_that_nobody_holds_goes_home_also_under_the_lock() -> None:
    core = a_core(1)
    cycle: list[Any] = [core.admit()]
    cycle.append(cycle)
    assert core.admit() is None
    del cycle
    with core._lock:
        gc.collect()
    assert core.admit() is not None


def test_a_lost_lease_wakes_who_waits() -> None:
    core = a_core(1)
    lease = core.admit()
    waiting = Runner(core.queue, 1_000.0)  # longer than this test would wait
    eventually(lambda: core.waiting == 1)
    del lease
    assert isinstance(waiting.value(), Lease)


def test_a_lease_that_is_lost_near_the_recursion_limit_comes_home() -> None:
    core, held = a_core(1), list[Any]()

    def lose(depth: int) -> None:
        if depth:
            lose(depth - 1)
        else:
            demand_frames(2)  # whoever admits a call has called the core
            held.clear()

    def at_each_depth() -> None:  # on a thread of its own, where little lies below
        for depth in range(sys.getrecursionlimit() - 60, sys.getrecursionlimit()):
            held.append(core.admit())
            assert held != [None]
            with suppress(RecursionError):
                lose(depth)
            held.clear()
            eventually(lambda: core.current.value.in_flight == 0)

    Runner(at_each_depth).value()


def test_a_late_reader_is_waited_for_or_turned_away() -> None:
    """The late reader: it read `current` before the publish and pops after it."""
    core = a_core(2)
    read = core.current.value
    attempt, old, candidate = executing(core)
    first = core.admit()
    assert first is not None
    core.publish(old, candidate)
    assert read is old
    assert read.take() is None, "the retire took every lease that was home"
    assert not core.await_drain(old, 0)
    core.release(first)
    assert core.await_drain(old, 0)
    assert read.take() is None
    core.commit(attempt, 0)
    assert len(core.reclaim(old)) == 2


def test_nothing_is_reclaimed_before_the_commit() -> None:
    core = a_core()
    attempt, old, candidate = executing(core)
    core.publish(old, candidate)
    assert core.await_drain(old, 0)
    assert core.reclaim(old) == []
    core.commit(attempt, 0)
    assert len(core.reclaim(old)) == 2
    core.forget(old)
    assert core.reclaim(old) == []
    assert core.retired() == []


def test_the_end_of_a_drain_is_told_again_after_a_rollback() -> None:
    core = a_core(1)
    attempt, old, candidate = executing(core)
    core.publish(old, candidate)
    assert core.await_drain(old, 0)
    core.abort(attempt, "Struck")
    core.finish(attempt)
    lease = core.admit()
    assert lease is not None
    _, old, candidate = executing(core)
    core.publish(old, candidate)
    drain = Runner(core.await_drain, old, 1_000.0)
    eventually(lambda: len(core._parked) == 1)
    core.release(lease)
    assert drain.value() is True


def test_a_newcomer_does_not_pass_who_waits() -> None:
    core = a_core(1)
    lease = core.admit()
    assert lease is not None
    waiting = Runner(core.queue, 20.0)
    eventually(lambda: core.waiting == 1)
    lease.version.free.append(lease)  # home, and not settled yet
    assert core.admit() is None
    core.settle()
    assert waiting.value() is lease


def test_a_hand_over_that_was_cut_short_is_finished_by_the_next() -> None:
    """Struck after the waiter was given its lease and before it was woken."""
    core = a_core(1)
    waiter = Waiter(THREADS.parker(), 20.0)
    core._parked.append(waiter.parker)
    waiter.lease = core.admit()
    core._waiters.append(waiter)
    core.settle()
    assert waiter.parker.park(0), "woken"
    assert core.waiting == 0


def a_held_call(core: HotReloadProtocol) -> Waiter:
    """A call that has waited since the gate before."""
    held = Waiter(THREADS.parker(), 20.0)
    held.held = True
    core._waiters.append(held)
    return held


def test_exclusive_leaves_leases_to_the_calls_that_were_held_before() -> None:
    """L3: at the second gate, the call held by the first one is served from the leases that come home."""
    core = a_core(1)
    lease = core.admit()
    assert lease is not None
    held = a_held_call(core)
    newcomer = Waiter(THREADS.parker(), 20.0)
    core._waiters.append(newcomer)
    _, old, _ = executing(core, Cutover.EXCLUSIVE)
    core.release(lease)
    assert held.lease is lease
    assert not core.await_drain(old, 0)
    core.release(lease)
    assert newcomer.lease is None
    held.lease = None
    assert core.await_drain(old, 0)


class _ComesHome(deque[Lease]):
    """A bag into which a lease comes home just after somebody has looked and found nothing."""

    def __init__(self, lease: Lease) -> None:
        super().__init__()
        self._lease = lease

    def pop(self) -> Lease:  # type: ignore[override]
        try:
            return super().pop()
        except IndexError:
            self.append(self._lease)
            raise


def test_a_lease_that_comes_home_while_the_drain_gathers_goes_to_who_was_held_before() -> None:
    """L3: it was not there when the waiting calls were served, and is there when the drain gathers."""
    core = a_core(1)
    lease = core.admit()
    assert lease is not None
    held = a_held_call(core)
    lease.version.free = _ComesHome(lease)
    _, old, _ = executing(core, Cutover.EXCLUSIVE)
    assert held.lease is lease
    assert held.parker.park(0), "woken"
    assert old.gathered == []
    assert not old.drained


def test_who_waits_when_a_gate_opens_counts_as_held() -> None:
    core = a_core(1)
    lease = core.admit()
    waiting = Runner(core.queue, 20.0)
    eventually(lambda: core.waiting == 1)
    assert [waiter.held for waiter in core._waiters] == [False]
    attempt, _, _ = executing(core, Cutover.EXCLUSIVE)
    assert core.abort(attempt, "DrainTimeout")
    assert [waiter.held for waiter in core._waiters] == [True]
    assert lease is not None
    core.release(lease)
    assert waiting.value() is lease


def test_time_at_a_shut_gate_does_not_count_before_or_after_it_opens() -> None:
    hand = Hand()
    core = a_core(1, hand)
    lease = core.admit()
    waiter = Waiter(THREADS.parker(), 5.0)
    core._parked.append(waiter.parker)
    assert core._enqueue(waiter) == 5.0
    hand.seconds = 1.0
    attempt, _, _ = executing(core, Cutover.EXCLUSIVE)
    hand.seconds = 100.0
    assert core._look(waiter) is None
    core.abort(attempt, "DrainTimeout")
    hand.seconds = 102.0
    assert core._look(waiter) == 2.0
    core._leave(waiter)
    del lease


def test_closing_turns_waiters_away_even_when_leases_come_home() -> None:
    core = a_core(1)
    lease = core.admit()
    assert lease is not None
    waiting = Runner(core.queue, 20.0)
    eventually(lambda: core.waiting == 1)
    core.close()
    core.release(lease)
    with pytest.raises(PluginClosed):
        waiting.value()
    assert core.await_drain(lease.version, 0, closing=True)


def test_a_close_that_was_cut_short_is_final_all_the_same() -> None:
    """Struck after its first stores: the upgrader must not bring the plugin back; the next run finishes the close."""
    core = a_core()
    attempt, old, candidate = executing(core)
    core.publish(old, candidate)
    core.closed.value = True
    assert not core.abort(attempt, "PluginClosed")
    attempt.decided = True
    core.finish(attempt)
    core.close()
    assert core.current.value is candidate
    assert core.retired() == [old, candidate]


def test_a_replacement_that_comes_too_late_is_closed() -> None:
    """An upgrade overtakes the thread that replaces a discarded instance of the old version."""
    world = FakeWorld()
    at_work, go_on, slow = threading.Event(), threading.Event(), threading.Event()

    def init() -> int:
        if slow.is_set():
            at_work.set()
            assert go_on.wait(20)
        return 0

    def trap() -> int:
        raise ZeroDivisionError

    module = FakeModule({"version": lambda: 1, "hold": lambda: 1, "trap": trap}, init=init)
    with HotReloadablePlugin("p", module, manifest(1), ports=world.ports) as plugin:
        slow.set()
        with pytest.raises(Exception, match="trap"):
            plugin.call("trap")
        assert at_work.wait(20)
        plugin.upgrade(world.module(2), manifest(2))
        go_on.set()
        assert plugin.call("version") == 2
        eventually(lambda: world.runtime.created - world.runtime.closed == 2)


def attention_at_publish(core: HotReloadProtocol, candidate: Version) -> list[bool]:
    """Watches `current` from here on: whether the candidate asked for attention when it was made current."""
    seen: list[bool] = []
    old = core.current.value

    class Watched:
        @property
        def value(self) -> Version:
            return candidate if seen else old

        @value.setter
        def value(self, version: Version) -> None:
            seen.append(version.attention.value)

    core.current = Watched()
    return seen


def test_a_newcomer_does_not_pass_who_waits_when_the_version_changes() -> None:
    core = a_core(1)
    lease = core.admit()
    waiting = Runner(core.queue, 20.0)
    eventually(lambda: core.waiting == 1)
    _, old, candidate = executing(core)
    seen = attention_at_publish(core, candidate)
    core.publish(old, candidate)
    assert seen == [True]
    assert isinstance(waiting.value(), Lease)
    del lease


def test_half_made_objects_are_dropped_without_a_sound() -> None:
    """What is left when Ctrl-C strikes a constructor."""
    del [EpochGuard.__new__(EpochGuard), Lease.__new__(Lease), HotReloadablePlugin.__new__(HotReloadablePlugin)][:]
