"""Cases of the scheduler beside those of the plugin: epochs, leases that nobody gives back, traps, endless calls."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from hotswap import EpochGuard, EpochTracker
from interleaved import Case, Workload, case
from scheduler import Limits, Run, SchedulerClock, SchedulerSync
from scheduler._fakes import SchedulerInstance


def tracker_on(run: Run) -> EpochTracker:
    return EpochTracker(sync=SchedulerSync(run), clock=SchedulerClock(run))


def enter_advance(run: Run) -> Callable[[], Hashable]:
    """Nobody enters an epoch that was seen to be drained."""
    tracker, guards, drained = tracker_on(run), list[EpochGuard](), list[int]()

    def advance() -> None:
        epoch = tracker.current
        tracker.advance()
        if tracker.wait_drain(epoch, 0):
            drained.append(epoch)

    def check() -> Hashable:
        (guard,) = guards
        assert guard.epoch not in drained, f"epoch {guard.epoch} was entered after it had drained"
        assert tracker.refs_for_epoch(guard.epoch) == 1
        return guard.epoch, tuple(drained)

    run.task("enters", lambda: guards.append(tracker.enter()))
    run.task("advances", advance)
    return check


def wait_release(run: Run) -> Callable[[], Hashable]:
    """Who waits for an epoch is woken by its last release."""
    tracker, answers = tracker_on(run), list[tuple[bool, int]]()
    guards = [tracker.enter(), tracker.enter()]

    def release() -> None:
        for guard in guards:
            guard.release()

    def check() -> Hashable:
        assert answers == [(True, 0)], f"expected that it had drained, found {answers}"
        return tuple(guard.epoch for guard in guards)  # which also keeps them: no finalizer runs in between

    run.task("waits", lambda: answers.append((tracker.wait_drain(0, 1_000.0), tracker.refs_for_epoch(0))))
    run.task("releases", release)
    return check


def call_lose(work: Workload) -> None:
    """A lease is taken, and whoever took it is gone: its finalizer sends it home."""
    work.caller()
    work._party("loser", [lambda: work.plugin._protocol.admit() and None])


def execute_lose(work: Workload) -> None:
    work.executor()
    work._party("loser", [lambda: work.plugin._protocol.admit() and None])


def two_upgrades(work: Workload) -> None:
    work.upgrader(2)
    work.upgrader(3)


def trap(work: Workload) -> None:
    work.caller(func="trap")


def strict_closer(work: Workload) -> None:
    """When a close has returned there is no instance, not even one that was just made or is being closed."""
    being_closed: list[SchedulerInstance] = []

    def slow(instance: SchedulerInstance) -> Callable[[], None]:
        close = instance.close

        def closes() -> None:
            being_closed.append(instance)
            instance.shared.run.access(instance.shared, True, "begins to close")
            close()
            being_closed.remove(instance)

        return closes

    def close() -> None:
        work.plugin.close()
        if work.runtime.created != work.runtime.closed or being_closed:
            work.runtime.violated("S8: a close has returned, and there is an instance")

    for instance in work.runtime.instances:
        instance.close = slow(instance)  # type: ignore[method-assign]
    work._party("closer", [close])


def trap_close(work: Workload) -> None:
    trap(work)
    strict_closer(work)


def execute_close(work: Workload) -> None:
    work.executor()
    strict_closer(work)


def endless_close(work: Workload) -> None:
    work.caller(func="loop")
    work.closer()


MORE: Final[dict[str, Case]] = {
    "epoch, enter, advance": Case(enter_advance),
    "epoch, wait, release": Case(wait_release),
    "epoch, wait, release, waking for no reason": Case(wait_release, Limits(spurious=1)),
    "call, lose": case(call_lose),
    "execute, lose": case(execute_lose, prepared=2),
    "upgrade, upgrade": case(two_upgrades, "Busy", "IncompatibleUpgrade"),
    "cancel": case(Workload.canceller, prepared=2),
    "trap": case(trap, "CallTrapped"),
    "trap, close": case(trap_close, "CallTrapped", "PluginClosed"),
    "execute, strict close": case(execute_close, "PluginClosed", prepared=2),
    "endless call, close": case(endless_close, "CallInterrupted", "PluginClosed", limits=Limits(timeouts=1)),
}
