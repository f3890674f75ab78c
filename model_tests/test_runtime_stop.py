"""What stops a call: its deadline, an interrupt, Ctrl-C; and the tick that makes it possible.

The tests of Ctrl-C run in processes of their own. An exception that left the callback in which a running call is
stopped would end them with SIGSEGV or SIGABRT.
"""

from __future__ import annotations

import gc
import inspect
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Final

import pytest
import wasmtime

import hotswap
from hotswap import HotReloadablePlugin
from hotswap._runtime import Census, _capi, _instance, _ticker
from hotswap._runtime._census import Place
from hotswap._runtime._engine import engines
from hotswap._runtime._instance import WasmInstance
from hotswap._runtime._ticker import TICKER, Beat, Ticker
from runtime_modules import ANSWER, CALLS, LONG_MS, LOOP, in_a_fork, load, nothing_leaks, resources, running, survive
from worlds import WAIT_S, Runner, eventually

pytestmark = pytest.mark.usefixtures("call_path")

PROMPT_S: Final = 5.0
"""Far more than it takes, far less than a deadline of `LONG_MS`."""

INSIDE: Final = f"(module {LOOP} {ANSWER})"


def await_inside(instance: WasmInstance) -> None:
    """Wait until a call runs in the wasm: its deadline was judged, and it was let go on."""
    rounds, judge = threading.Semaphore(0), instance._limits.deadline._judge

    def judged() -> object:
        rounds.release()
        return judge()

    instance._limits.deadline._judge = judged  # type: ignore[method-assign, assignment]
    for _ in range(2):
        assert rounds.acquire(timeout=WAIT_S), "no call is in the wasm"


@contextmanager
def looping(*instances: WasmInstance) -> Iterator[list[Runner]]:
    """Endless calls, one in each instance. In the end they are stopped, by all means at hand, before anyone closes."""
    calls = [Runner(instance.call, "loop", ()) for instance in instances]
    try:
        for instance in instances:
            await_inside(instance)
        yield calls
    finally:
        for instance in instances:
            instance._limits.deadline._interrupted.on = True
            instance._limits.deadline.timeout_s = -float("inf")
        TICKER.supervise()
        for call in calls:
            call.join()


# Deadlines and interrupts ----------------------------------------------------------------------------------


def test_a_deadline_stops_its_own_call_only() -> None:
    with running(CALLS) as patient, running(CALLS, timeout_ms=30) as hasty, looping(patient) as (long,):
        with pytest.raises(hotswap.DeadlineExceeded):
            hasty.call("loop", ())
        await_inside(patient)
        assert long.running
        patient._limits.deadline._interrupted.on = True
        with pytest.raises(hotswap.CallInterrupted):
            long.value()


def test_an_instruction_that_fills_the_memory_is_not_stopped_but_what_follows_is() -> None:
    pages = 16 * 16 - 1
    fill = f"(memory.fill (i32.const 0) (i32.const 1) (i32.const {pages * 65536}))"
    wasm = f'(module (memory {pages}) (func (export "fill") (loop {fill} br 0)))'
    with running(wasm, timeout_ms=1, memory_limit_mb=16) as instance:
        begin = time.monotonic()
        with pytest.raises(hotswap.DeadlineExceeded):
            instance.call("fill", ())
        assert time.monotonic() - begin < PROMPT_S


def test_each_call_has_its_own_deadline_in_whatever_order_they_end() -> None:
    plugins = [HotReloadablePlugin("p", CALLS, resources(timeout_ms=timeout_ms)) for timeout_ms in (400, 50, 200, 100)]
    begin = time.monotonic()

    def timed(plugin: HotReloadablePlugin) -> float:
        with pytest.raises(hotswap.DeadlineExceeded):
            plugin.call("loop")
        return time.monotonic() - begin

    calls = [Runner(timed, plugin) for plugin in plugins]
    for call, timeout_s in zip(calls, (0.4, 0.05, 0.2, 0.1), strict=True):
        took = call.value()
        assert isinstance(took, float)
        assert timeout_s <= took < timeout_s + PROMPT_S
    for plugin in plugins:
        plugin.close()


def test_an_interrupt_stops_the_calls_of_its_own_version_only() -> None:
    codes = [load(CALLS), load(CALLS)]
    instances = [code.instantiate(probe=False) for code in (codes[0], codes[0], codes[1])]
    with looping(*instances) as calls:
        begin = time.monotonic()
        codes[0].interrupt(True)
        for call in calls[:2]:
            with pytest.raises(hotswap.CallInterrupted, match="loop: stopped, since its version is retired"):
                call.value()
        assert time.monotonic() - begin < PROMPT_S
        await_inside(instances[2])
        assert calls[2].running
        codes[1].interrupt(True)
        with pytest.raises(hotswap.CallInterrupted):
            calls[2].value()
    for instance in instances:
        assert instance.broken
        instance.close()


def test_an_interrupt_holds_until_it_is_taken_back() -> None:
    code = load(CALLS)
    code.interrupt(True)
    for _ in range(2):
        instance = code.instantiate(probe=False)
        with pytest.raises(hotswap.CallInterrupted):
            instance.call("loop", ())
        instance.close()
    code.interrupt(False)
    instance = code.instantiate(probe=False)
    assert instance.call("spin", (200_000_000,)) is None, "which takes many slices"
    instance.close()


@pytest.mark.parametrize("hook", ["start", "hotswap_init", "hotswap_probe"])
def test_an_interrupt_reaches_a_module_that_is_being_initialised(hook: str) -> None:
    body = (
        "(func $s (loop br 0)) (start $s)"
        if hook == "start"
        else f'(func (export "{hook}") (result i32) (loop br 0) unreachable)'
    )
    code = load(f"(module {body})")
    with nothing_leaks():
        making = Runner(lambda: code.instantiate(probe=True))
        code.interrupt(True)
        with pytest.raises(hotswap.ModuleRejected, match="stopped"):
            making.value()


# Ctrl-C ----------------------------------------------------------------------------------------------------


class Interrupts:
    """Turns SIGINT into KeyboardInterrupt, but only while the main thread is in the call under test."""

    def __init__(self) -> None:
        self.armed = False
        signal.signal(signal.SIGINT, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        if self.armed:
            raise KeyboardInterrupt

    def struck(self, call: Callable[[], object]) -> bool:
        """Whether KeyboardInterrupt came out of the call."""
        try:
            try:
                self.armed = True
                call()
            finally:
                self.armed = False
        except KeyboardInterrupt:
            self.armed = False
            return True
        return False


def is_struck(call: Callable[[], object]) -> bool:
    """Whether KeyboardInterrupt came out of the call. Keeps no traceback, whose frames would hold the instance."""
    try:
        call()
    except KeyboardInterrupt:
        return True
    return False


@contextmanager
def storm(pause_s: float) -> Iterator[None]:
    """Another process sends SIGINT all the time; it needs no interpreter lock of ours, so it strikes anywhere."""
    script = """if True:
        import os, sys, time
        pid, pause_s = int(sys.argv[1]), float(sys.argv[2])
        while os.getppid() == pid:
            os.kill(pid, 2)
            time.sleep(pause_s)"""
    sender = subprocess.Popen([sys.executable, "-c", script, str(os.getpid()), str(pause_s)], start_new_session=True)
    try:
        yield
    finally:
        sender.kill()
        sender.wait()


def interrupt_a_loop_many_times(rounds: str) -> float:
    """The main thread loops in wasm, another thread sends SIGINT, at another moment each time."""
    interrupts, code, choose = Interrupts(), load(INSIDE), random.Random(1)
    done = threading.Event()

    def send() -> None:
        while not done.wait(choose.random() * 0.02):
            os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    slowest_s, entered = 0.0, 0
    try:
        for _ in range(int(rounds)):
            instance = code.instantiate(probe=False)
            begin = time.monotonic()
            assert interrupts.struck(lambda instance=instance: instance.call("loop", ()))  # type: ignore[misc]
            slowest_s = max(slowest_s, time.monotonic() - begin)
            entered += instance.broken  # not, if it struck on the way in
            instance.close()
    finally:
        done.set()
        sender.join()
    assert entered > int(rounds) / 2
    return slowest_s


def test_ctrl_c_leaves_a_running_call_at_once_each_of_many_times() -> None:
    assert float(survive(interrupt_a_loop_many_times, "200")) < PROMPT_S


def interrupt_a_loop_from_outside(seconds: str) -> int:
    interrupts, code = Interrupts(), load(INSIDE)
    struck, ends = 0, time.monotonic() + float(seconds)
    with storm(0):
        while time.monotonic() < ends:
            instance = code.instantiate(probe=False)
            struck += interrupts.struck(lambda instance=instance: instance.call("loop", ()))  # type: ignore[misc]
            instance.close()
    return struck


def test_a_storm_of_ctrl_c_does_not_kill_the_process() -> None:
    """The second of two signals strikes while the first is being caught."""
    assert int(survive(interrupt_a_loop_from_outside, "3")) > 10


def many_calls(instance: WasmInstance) -> None:
    for _ in range(2_000):
        instance.call("answer", ())


def interrupt_short_calls_and_closes(seconds: str) -> int:
    """Wherever the signal strikes, an instance that was made is closed once, and nothing is freed twice."""
    interrupts, code = Interrupts(), load(f"(module (memory 16) {ANSWER})")
    struck, ends = 0, time.monotonic() + float(seconds)
    with storm(0.0005):
        while time.monotonic() < ends:
            instance = code.instantiate(probe=False)
            struck += interrupts.struck(lambda instance=instance: many_calls(instance))  # type: ignore[misc]
            struck += interrupts.struck(instance.close)
            del instance
            gc.collect()
    return struck


def test_a_storm_of_ctrl_c_during_calls_and_closes_does_not_kill_the_process() -> None:
    assert int(survive(interrupt_short_calls_and_closes, "3", timeout=30)) > 10


def test_a_close_that_ctrl_c_cuts_short_does_not_free_the_store_again(monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[int] = []
    delete = _capi._delete_store

    def delete_and_strike(pointer: object) -> None:
        freed.append(id(pointer))
        if len(freed) == 1:
            delete(pointer)
            raise KeyboardInterrupt

    with nothing_leaks():
        instance = load(INSIDE).instantiate(probe=False)
        monkeypatch.setattr(_capi, "_delete_store", delete_and_strike)
        assert is_struck(instance.close)
        instance.close()
        del instance
        gc.collect()
    assert len(freed) == 1


def test_ctrl_c_while_an_instance_is_being_made_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def strike(*args: object) -> None:
        raise KeyboardInterrupt

    code = load(INSIDE)
    for owner, name in ((wasmtime, "Store"), (_instance, "CallLimits"), (wasmtime, "Instance")):
        with nothing_leaks(), monkeypatch.context() as patch:
            users = TICKER._users
            patch.setattr(owner, name, strike)
            assert is_struck(lambda: code.instantiate(probe=False))
            assert TICKER._users == users


def test_an_exception_kept_until_a_call_has_ended_is_raised_and_ends_the_instance() -> None:
    """It struck in the last round, and the call returned before there was another."""
    with running(INSIDE) as instance:
        instance._limits.deadline.exception = KeyboardInterrupt()
        assert is_struck(lambda: instance.call("answer", ()))
        assert instance.broken


def raise_from_a_handler() -> object:
    class Alarm(Exception):
        pass

    def handle(number: int, frame: object) -> None:
        raise Alarm

    signal.signal(signal.SIGALRM, handle)
    with HotReloadablePlugin("p", INSIDE, resources()) as plugin:
        for _ in range(3):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(Alarm):
                plugin.call("loop")
        return plugin.call("answer")


def test_any_exception_of_a_signal_handler_reaches_the_caller() -> None:
    assert survive(raise_from_a_handler) == "42"


def call_near_the_recursion_limit() -> str:
    """However few frames are left, the call is stopped or refused; the callback never finds itself without one."""
    code, ends = load(INSIDE, timeout_ms=1), set[str]()
    usual, frames = sys.getrecursionlimit(), len(inspect.stack())
    for left in range(3, 60):
        instance = code.instantiate(probe=False)
        sys.setrecursionlimit(frames + left)
        try:
            instance.call("loop", ())
        except (RecursionError, hotswap.DeadlineExceeded) as error:
            sys.setrecursionlimit(usual)
            ends.add(type(error).__name__)
        finally:
            sys.setrecursionlimit(usual)
        instance.close()
    return " ".join(sorted(ends))


def test_a_call_near_the_recursion_limit_does_not_kill_the_process() -> None:
    assert survive(call_near_the_recursion_limit) == "DeadlineExceeded RecursionError"


# The ticker ------------------------------------------------------------------------------------------------


def tickers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "hotswap-ticker"]


def refuse_a_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_the_ticker_runs_while_it_has_users() -> None:
    ticker, one, two = Ticker(), Place(), Place()
    before = set(tickers())
    ticker.enter(one)
    (thread,) = set(tickers()) - before
    ticker.enter(two)
    ticker.leave(one)
    ticker.leave(one)
    beat = ticker.beat
    eventually(lambda: ticker.beat is not beat)
    assert set(tickers()) - before == {thread}
    ticker.leave(two)
    thread.join(WAIT_S)
    assert not thread.is_alive()
    ticker.enter(one)
    (again,) = set(tickers()) - before
    assert again is not thread
    ticker.leave(one)
    again.join(WAIT_S)


class LateTime:
    """A clock for one thread, which sleeps so much longer than it was asked to, and after its last sleep is to end."""

    def __init__(self, late_s: list[float], shift: _ticker._Shift) -> None:
        self._late_s, self._shift, self._now = late_s, shift, 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self._now += seconds + self._late_s.pop(0)
        self._shift.over = not self._late_s


def ticks_and_beats(
    monkeypatch: pytest.MonkeyPatch, late_s: list[float], asked_s: tuple[float, ...] = (), asked_anew_s: float = 1e9
) -> tuple[list[float], list[float]]:
    """When a ticker ticks, and when its beats end, if it wakes so late each time; from its start, in seconds.

    It is asked for ticks at its start, and for one more at each tick.
    """
    ticker, shift, ticks, beats = Ticker(), _ticker._Shift(), list[float](), list[float]()
    shift.starter = 0
    clock = LateTime(late_s, shift)

    class Engine:
        def increment_epoch(self) -> None:
            ticks.append(clock.monotonic())
            ticker.tick_in(asked_anew_s)

    with monkeypatch.context() as patch:
        patch.setattr(_ticker, "time", clock)
        patch.setattr(_ticker, "engines", lambda: (Engine(),))
        patch.setattr(ticker, "_next", beats.append)
        for seconds in asked_s:
            ticker.tick_in(seconds)
        ticker._run(shift)
    return ticks, beats


def test_ticks_do_not_drift_when_each_wakes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    late_s = 0.0005
    ticks, beats = ticks_and_beats(monkeypatch, [late_s] * 401)
    assert len(ticks) == 200
    assert ticks == pytest.approx([number * _ticker.TICK_S + late_s for number in range(1, 201)])
    assert set(ticks) < set(beats)
    assert max(later - earlier for earlier, later in pairwise(beats)) <= _ticker.BEAT_S + late_s + 1e-9


def test_ticks_that_were_missed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a suspend, say: they would end the slices of all calls at once, again and again."""
    ticks, _ = ticks_and_beats(monkeypatch, [0.0, 0.0, 3.0, *[0.0] * 20])
    late = next(number for number, tick in enumerate(ticks) if tick > 3)
    assert late == 1
    assert min(later - earlier for earlier, later in pairwise(ticks)) >= _ticker.BEAT_S - 1e-9
    assert max(later - earlier for earlier, later in pairwise(ticks[late:])) <= _ticker.TICK_S + 1e-9


def test_the_earliest_tick_that_is_asked_for_is_made_beside_the_usual_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks, _ = ticks_and_beats(monkeypatch, [0.0] * 20, asked_s=(0.0137, 0.0112, 0.0139))
    assert ticks[:5] == pytest.approx([0.005, 0.010, 0.0112, 0.015, 0.020])


def test_ticks_that_are_asked_for_again_and_again_leave_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tick ends a slice of many calls, and each of these may ask for another."""
    ticks, _ = ticks_and_beats(monkeypatch, [0.0] * 1_001, asked_anew_s=_ticker.REST_S / 100)
    asked, usual = ticks[-1] / _ticker.REST_S, ticks[-1] / _ticker.TICK_S
    assert 0.9 * (asked + usual) <= len(ticks) <= asked + usual + 1


def test_a_call_asks_for_a_tick_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_at: list[float] = []
    monkeypatch.setattr(TICKER, "tick_in", lambda seconds: asked_at.append(time.monotonic() + seconds))
    with running(INSIDE, timeout_ms=50) as instance:
        begin = time.monotonic()
        with pytest.raises(hotswap.DeadlineExceeded):
            instance.call("loop", ())
    assert asked_at
    assert begin + 0.050 <= min(asked_at)


def leave_no_thread() -> None:
    with HotReloadablePlugin("p", INSIDE, resources(max_instances=3)) as plugin:
        plugin.call("answer")
        assert len(tickers()) == 1
    eventually(lambda: tickers() == [])
    assert threading.enumerate() == [threading.main_thread()]


def test_no_thread_is_left_when_the_last_instance_is_closed() -> None:
    survive(leave_no_thread)


def die(*args: object) -> tuple[wasmtime.Engine, ...]:
    raise SystemExit


def kill_tickers(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """All of them die, of all that the ticker calls by these names."""
    before = set(tickers())
    assert before
    with monkeypatch.context() as patch:
        for name in names:
            patch.setattr(_ticker, name, die)
        eventually(lambda: not any(thread.is_alive() for thread in before))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("names", [("engines",), ("Beat",)], ids=str)
def test_a_dead_ticker_is_revived_by_the_next_call(monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    """Also if it dies of what it would need to say so."""
    with running(INSIDE, timeout_ms=50) as instance:
        before = set(tickers())
        kill_tickers(monkeypatch, *names)
        with pytest.raises(hotswap.DeadlineExceeded):
            instance.call("loop", ())
        assert len(set(tickers()) - before) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_ticker_is_revived_to_interrupt_though_nobody_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    code = load(CALLS)
    instance = code.instantiate(probe=False)
    with looping(instance) as (call,):
        kill_tickers(monkeypatch, "engines")
        code.interrupt(True)
        with pytest.raises(hotswap.CallInterrupted):
            call.value()
    instance.close()


def test_a_late_ticker_goes_on_if_no_other_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(INSIDE, timeout_ms=50) as instance:
        eventually(lambda: len(tickers()) == 1)  # an earlier test's may take a tick to end
        before = tickers()
        with monkeypatch.context() as patch:
            patch.setattr(TICKER, "_next", lambda now: None)
            patch.setattr(threading.Thread, "start", refuse_a_thread)
            TICKER.beat = Beat(time.monotonic() - 2 * _ticker.STALE_S)
            with pytest.raises(hotswap.Overloaded, match="cannot start"):
                instance.call("answer", ())
        eventually(lambda: time.monotonic() - TICKER.beat.since < _ticker.STALE_S)
        assert instance.call("answer", ()) == 42
        assert tickers() == before


def test_a_stuck_ticker_is_replaced_and_ends_when_it_comes_free(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, free = threading.Event(), threading.Event()

    def stick() -> tuple[wasmtime.Engine, ...]:
        if threading.current_thread() in before:
            stuck.set()
            assert free.wait(WAIT_S)
        return engines()

    with running(INSIDE, timeout_ms=50) as instance:
        before = set(tickers())
        monkeypatch.setattr(_ticker, "engines", stick)
        assert stuck.wait(WAIT_S)
        TICKER.beat = Beat(time.monotonic() - 2 * _ticker.STALE_S)
        with pytest.raises(hotswap.DeadlineExceeded):
            instance.call("loop", ())
        assert len(set(tickers()) - before) == 1
        free.set()
        eventually(lambda: not before & set(tickers()))
        assert len(tickers()) == 1


def test_calls_that_find_the_ticker_stale_at_once_start_one_thread() -> None:
    with running(INSIDE, timeout_ms=50) as one, running(INSIDE, timeout_ms=50) as two:
        eventually(lambda: len(tickers()) == 1)  # an earlier test's may take a tick to end
        TICKER.beat = Beat(-float("inf"))
        calls = [Runner(instance.call, "loop", ()) for instance in (one, two)]
        for call in calls:
            with pytest.raises(hotswap.DeadlineExceeded):
                call.value()
        eventually(lambda: len(tickers()) == 1)


def test_a_ticker_that_cannot_start_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    ticker, place, before = Ticker(), Place(), set(tickers())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse_a_thread)
        with pytest.raises(hotswap.Overloaded, match="cannot start"):
            ticker.enter(place)
    ticker.leave(place)
    ticker.enter(place)
    (thread,) = set(tickers()) - before
    ticker.leave(place)
    thread.join(WAIT_S)
    assert not thread.is_alive()


class Greenlet:
    """Runs what it is given on the thread that starts it."""

    def __init__(self, target: Callable[..., None], args: tuple[object, ...], name: str, daemon: bool) -> None:
        self.start = lambda: target(*args)


def test_threads_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ticker, place = Ticker(), Place()
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", Greenlet)
        with pytest.raises(hotswap.HotswapError, match=r"gevent or eventlet.*not patched so"):
            ticker.enter(place)
    ticker.enter(place)
    ticker.leave(place)


# A fork ----------------------------------------------------------------------------------------------------


def fork_beside_a_plugin() -> None:
    def new_plugin() -> object:
        return HotReloadablePlugin("p", INSIDE, resources())

    with HotReloadablePlugin("p", INSIDE, resources()) as plugin:
        assert plugin.call("answer") == 42
        for work in (lambda: plugin.call("answer"), lambda: plugin.call("loop"), new_plugin):
            answer = in_a_fork(work)
            assert answer.startswith("HotswapError: this process was forked from one that runs plugins"), answer
            assert "make the plugins after the fork" in answer
        assert plugin.call("answer") == 42, "the parent goes on"

    def serve() -> int:
        with HotReloadablePlugin("p", INSIDE, resources(timeout_ms=300)) as made:
            with pytest.raises(hotswap.DeadlineExceeded):
                made.call("loop")
            answer = made.call("answer")
            assert isinstance(answer, int)
            return answer

    answer = in_a_fork(serve)
    assert answer == "42", f"no plugin was alive at the fork: {answer}"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_is_told_that_it_cannot_call() -> None:
    survive(fork_beside_a_plugin)


def fork_beside_a_call() -> None:
    """It never ends in the child, where nobody runs it."""
    limits = resources(max_instances=1, timeout_ms=LONG_MS)
    with HotReloadablePlugin("p", INSIDE, limits, queue_timeout=2 * WAIT_S) as plugin:
        call = Runner(plugin.call, "loop")
        eventually(lambda: plugin.stats().in_flight == {1: 1})

        def upgrade() -> None:
            plugin.upgrade(INSIDE, limits, allow_rebuild=True)

        for work in (lambda: plugin.call("answer"), upgrade, plugin.execute_upgrade, plugin.cancel_upgrade):
            answer = in_a_fork(work)
            assert answer.startswith("HotswapError: this process was forked"), answer
        assert in_a_fork(plugin.close) == "None"
        plugin.drain_timeout = 0.0
    with pytest.raises(hotswap.CallInterrupted):
        call.value()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_does_not_wait_for_a_call_of_its_parent() -> None:
    survive(fork_beside_a_call)


# The census ------------------------------------------------------------------------------------------------


def test_the_cap_on_instances_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    census = Census(cap=2)
    monkeypatch.setattr(_instance, "CENSUS", census)
    code = load(INSIDE)
    first, second = code.instantiate(probe=False), code.instantiate(probe=False)
    with pytest.raises(hotswap.Overloaded, match=r"2 wasm instances, which is the cap.*lower resources.max_instances"):
        code.instantiate(probe=False)
    assert (census.created, census.closed, census.alive) == (2, 0, 2)
    first.close()
    first.close()
    third = code.instantiate(probe=False)
    assert third.call("answer", ()) == 42
    second.close()
    third.close()
    assert (census.created, census.closed, census.alive) == (3, 3, 0)


def test_a_plugin_that_does_not_fit_under_the_cap_leaves_no_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    census = Census(cap=3)
    monkeypatch.setattr(_instance, "CENSUS", census)
    with HotReloadablePlugin("p", INSIDE, resources(max_instances=2)) as plugin:
        with pytest.raises(hotswap.Overloaded):
            plugin.upgrade(INSIDE, resources(max_instances=2), allow_rebuild=True)
        assert (census.created, census.alive) == (3, 2)
        assert plugin.call("answer") == 42
    assert census.alive == 0


def test_an_instance_that_nobody_closed_is_closed_when_it_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    census = Census()
    monkeypatch.setattr(_instance, "CENSUS", census)
    instance = load(INSIDE, timeout_ms=LONG_MS).instantiate(probe=False)
    del instance
    gc.collect()
    assert (census.created, census.closed) == (1, 1)
