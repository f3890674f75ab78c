"""Small programs under the scheduler: what can come of them, and what is wrong with some, is known."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from scheduler import Cell, Check, Program, Run, SchedulerSync

# Small programs --------------------------------------------------------------------------------------


def counters(run: Run, tasks: int = 2, lock: bool = False) -> Check:
    sync = SchedulerSync(run)
    count, guard = sync.atomic(0), sync.lock()

    def work() -> None:
        if lock:
            with guard:
                count.value = count.value + 1
        else:
            count.value = count.value + 1

    for name in "ABCD"[:tasks]:
        run.task(name, work)
    return lambda: count.value


def locked_counters(run: Run) -> Check:
    return counters(run, 3, lock=True)


def stores_and_a_lock(run: Run) -> Check:
    sync = SchedulerSync(run)
    x, y, z, lock, told = sync.atomic(0), sync.atomic(0), sync.atomic(0), sync.lock(), Cell[tuple[object, ...]](run, ())

    def first() -> None:
        x.value = 1
        with lock:
            told.set((*told.get(), "first", y.value))

    def second() -> None:
        y.value = 1
        with lock:
            told.set((*told.get(), "second", x.value))

    def third() -> None:
        z.value = x.value

    for work in (first, second, third):
        run.task(work.__name__, work)
    return lambda: (z.value, told.get())


def bags(run: Run) -> Check:
    bag = SchedulerSync(run).bag([1])
    got: list[list[int | None]] = [[], [], []]

    def taker(mine: list[int | None], times: int) -> Callable[[], None]:
        def take() -> None:
            for _ in range(times):
                try:
                    mine.append(bag.pop())
                except IndexError:
                    mine.append(None)
                else:
                    bag.append(10 * len(mine))

        return take

    for number, mine in enumerate(got):
        run.task(f"taker {number}", taker(mine, 2 if number == 0 else 1))
    return lambda: tuple(map(tuple, got))


def parkers(run: Run) -> Check:
    """Two wait for each other, one with a timeout; a third gives a second permit."""
    sync = SchedulerSync(run)
    ping, pong, count = sync.parker(), sync.parker(), sync.atomic(1)

    def pinged() -> None:
        ping.park(5.0)
        count.value = count.value * 2
        pong.unpark()

    def counting() -> None:
        count.value = 3
        ping.unpark()

    def ponged() -> None:
        pong.park(None)
        count.value = count.value + 10

    for work in (pinged, counting, ponged):
        run.task(work.__name__, work)
    return lambda: (count.value, run.now)


def children(run: Run) -> Check:
    sync = SchedulerSync(run)
    count = sync.atomic(1)

    def child() -> None:
        count.value = count.value * 3

    def parent() -> None:
        sync.spawn(child, "child")
        count.value = count.value + 1

    def other() -> None:
        count.value = count.value + 10

    run.task("parent", parent)
    run.task("other", other)
    return lambda: count.value


# Known defects ---------------------------------------------------------------------------------------


def must_be(program: Program, expected: Hashable) -> Program:
    def made(run: Run) -> Check:
        check = program(run)

        def checked() -> Hashable:
            assert check() == expected, f"expected {expected}, found {check()}"
            return expected

        return checked

    return made


def two_locks(run: Run) -> Check:
    sync = SchedulerSync(run)
    one, other = sync.lock(), sync.lock()

    def forth() -> None:
        with one, other:
            pass

    def back() -> None:
        with other, one:
            pass

    run.task("forth", forth)
    run.task("back", back)
    return lambda: None


def waits(run: Run, *, again: bool, sets_first: bool) -> Check:
    """One waits until a flag is set, another sets it and wakes; both in a right and a wrong way."""
    sync = SchedulerSync(run)
    flag, parker = sync.atomic(False), sync.parker()

    def waiter() -> None:
        while not flag.value:
            parker.park(None)
            if not again:
                break
        assert flag.value, "woken, and the flag is not set"

    def setter() -> None:
        if sets_first:
            flag.value = True
            parker.unpark()
        else:
            parker.unpark()
            flag.value = True

    run.task("waiter", waiter)
    run.task("setter", setter)
    return lambda: None


def waits_well(run: Run) -> Check:
    return waits(run, again=True, sets_first=True)


def waits_with_if(run: Run) -> Check:
    return waits(run, again=False, sets_first=True)


def wakes_too_soon(run: Run) -> Check:
    return waits(run, again=True, sets_first=False)


def spins(run: Run) -> Check:
    flag = SchedulerSync(run).atomic(False)

    def spinner() -> None:
        while not flag.value:
            pass

    run.task("spinner", spinner)
    return lambda: None


def waits_for_a_timeout(run: Run) -> Check:
    parker = SchedulerSync(run).parker()
    run.task("waiter", lambda: parker.park(5.0))
    return lambda: run.now


def the_seeds_race(run: Run) -> Check:
    """Enter loads the epoch, then counts itself in; an upgrade that comes between drains before the count."""
    sync = SchedulerSync(run)
    epoch = sync.atomic(0)
    inside = [sync.atomic(0), sync.atomic(0)]
    freed = sync.atomic(False)

    def caller() -> None:
        entered = epoch.value
        inside[entered].value = inside[entered].value + 1
        assert entered == 1 or not freed.value, "a call runs on the version that was freed"
        inside[entered].value = inside[entered].value - 1

    def upgrader() -> None:
        epoch.value = 1
        if inside[0].value == 0:
            freed.value = True

    run.task("caller", caller)
    run.task("upgrader", upgrader)
    return lambda: None
