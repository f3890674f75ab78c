"""Prepared calls: chosen only where they work, and as safe as the public ones.

What a call does is tested both ways in the other files of the runtime (`call_path`). Here is what only one way has:
the trial, the beat that spares a call the clock, and what is owned by hand.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import wasmtime

import hotswap
from hotswap._runtime import _capi, _capi_check, _prepared
from hotswap._runtime._capi_check import SWITCH, Choice
from hotswap._runtime._deadline import Deadline
from hotswap._runtime._instance import WasmInstance
from hotswap._runtime._linkage import PublicLinkage
from hotswap._runtime._prepared import PreparedLinkage
from hotswap._runtime._ticker import TICKER, Beat
from runtime_modules import BYTES, CALLS, load, nothing_leaks, running
from worlds import WAIT_S, Runner, eventually

# The trial -------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment of the tests says."""
    monkeypatch.delenv(SWITCH, raising=False)


@pytest.mark.usefixtures("asked")
def test_prepared_calls_work_here(caplog: pytest.LogCaptureFixture) -> None:
    assert Choice().way() is PreparedLinkage
    assert caplog.records == []


def missing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_capi, "NEEDED", (*_capi.NEEDED, "wasmtime_of_tomorrow"))


def another_size(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_capi, "SLOT_BYTES", 24)


def private_name_gone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_capi, "func_of", lambda func: ctypes.byref(func._funk))


def in_place_of(symbol: str, other: Callable[[_capi.Raw], _capi.Raw]) -> Callable[[pytest.MonkeyPatch], None]:
    def put(patch: pytest.MonkeyPatch) -> None:
        raw = _capi.raw
        patch.setattr(_capi, "raw", lambda name: other(raw(name)) if name == symbol else raw(name))

    return put


def traps_go_unnoticed(raw: _capi.Raw) -> _capi.Raw:
    def call(*args: Any) -> int | None:
        error = raw(*args)
        trap = ctypes.cast(args[-1], ctypes.POINTER(ctypes.c_void_p))
        if trap[0]:
            _capi.trap_from(trap[0])
            trap[0] = None
        return error

    return call


def errors_go_unnoticed(raw: _capi.Raw) -> _capi.Raw:
    def call(*args: Any) -> int | None:
        error = raw(*args)
        if error is not None:
            _capi.error_from(error)
        return None

    return call


UNFIT: Final = {
    "a symbol is missing": (missing, "wasmtime_of_tomorrow"),
    "a size differs": (another_size, "the size of wasmtime_val_raw_t: expected 24, found 16"),
    "a private name is gone": (private_name_gone, "_funk"),
    "nothing is called": (in_place_of("wasmtime_func_call_unchecked", lambda raw: lambda *args: None), "an answer"),
    "traps go unnoticed": (in_place_of("wasmtime_func_call_unchecked", traps_go_unnoticed), "a trap went unnoticed"),
    "errors go unnoticed": (in_place_of("wasmtime_context_set_fuel", errors_go_unnoticed), "an error went unnoticed"),
    "calls fail": (
        in_place_of("wasmtime_func_call_unchecked", lambda raw: lambda *args: _capi.new_error(b"another order")[1]),
        "another order",
    ),
    "a memory's size is wrong": (
        in_place_of("wasmtime_memory_data_size", lambda raw: lambda *args: 65_537),
        "the size of a memory",
    ),
}


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("what", UNFIT)
def test_what_is_not_as_expected_is_logged_and_calls_go_the_public_way(
    what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spoil, found = UNFIT[what]
    spoil(monkeypatch)
    monkeypatch.setattr(_prepared, "_functions", _prepared._functions.__wrapped__)  # they are kept otherwise
    with nothing_leaks():
        assert Choice().way() is PublicLinkage
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("hotswap", logging.WARNING)
    assert found in record.getMessage()
    assert f"set {SWITCH}=0" in record.getMessage()


def test_who_wants_the_public_way_gets_it_without_a_trial(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(SWITCH, "0")
    monkeypatch.setattr(_capi_check, "examine", lambda: pytest.fail("it was tried"))
    assert Choice().way() is PublicLinkage
    assert caplog.records == []


@pytest.mark.usefixtures("asked")
def test_the_choice_is_made_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, made = threading.Semaphore(0), threading.Event()
    trials: list[None] = []

    def try_slowly() -> None:
        trials.append(None)
        asked.release()
        assert made.wait(WAIT_S)

    monkeypatch.setattr(_capi_check, "examine", try_slowly)
    choice = Choice()
    callers = [Runner(choice.way) for _ in range(4)]
    assert asked.acquire(timeout=WAIT_S)
    made.set()
    assert {caller.value() for caller in callers} == {PreparedLinkage}
    assert len(trials) == 1


# What is owned by hand ---------------------------------------------------------------------------------------


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_capi_check.CHOICE, "_way", PreparedLinkage)


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts what Linux shows in /proc")
@pytest.mark.usefixtures("prepared")
@pytest.mark.timeout(600)
def test_a_million_calls_of_which_half_trap_leave_nothing_behind() -> None:
    """A trap that is not freed would leave 1.7 KB: 170 MB after the first 100,000."""

    def calls(instance: WasmInstance, pairs: int) -> None:
        for number in range(pairs):
            assert instance.call("divide", (number, 1)) == number
            try:
                instance.call("divide", (number, 0))
            except hotswap.CallTrapped:
                continue
            pytest.fail("it did not trap")

    with running(CALLS) as instance:
        calls(instance, 20_000)
        before = rss_bytes()
        calls(instance, 500_000)
        assert rss_bytes() - before < 5_000_000


@pytest.mark.usefixtures("prepared")
def test_a_trap_that_ctrl_c_kept_from_being_noticed_breaks_the_instance_and_is_freed() -> None:
    def then_strike(raw: _capi.Raw) -> _capi.Raw:
        def call(*args: Any) -> int | None:
            raw(*args)
            raise KeyboardInterrupt

        return call

    for func, broken in (("answer", False), ("unreachable", True)):
        with running(CALLS) as instance:
            linkage = instance._entries.linkage
            assert isinstance(linkage, PreparedLinkage)
            linkage._run = then_strike(linkage._run)
            with pytest.raises(KeyboardInterrupt):
                instance.call(func, ())
            assert instance.broken is broken
            instance.close()
            assert instance._limits.trap.value is None


@pytest.mark.usefixtures("call_path")
def test_an_instance_that_is_dropped_is_closed_at_once_and_waits_for_no_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        with nothing_leaks():
            instance = load(BYTES).instantiate(probe=False)
            assert instance.call("number", (7,)) == 7
            assert instance.call_bytes("echo", b"x") == b"x"
            with pytest.raises(hotswap.CallTrapped):
                instance.call_bytes("trap", b"x")
            del instance
    finally:
        gc.enable()


@pytest.mark.usefixtures("call_path")
def test_nothing_of_a_closed_instance_can_be_called() -> None:
    with running(BYTES) as instance:
        assert instance.call("number", (7,)) == 7
        assert instance.call_bytes("echo", b"x") == b"x"
        instance.close()
        for call in (lambda: instance.call("number", (7,)), lambda: instance.call_bytes("echo", b"x")):
            with pytest.raises(RuntimeError, match="a closed instance was called"):
                call()


# Bytes -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_copied_once_in_and_once_out(kind: type[bytes | bytearray | memoryview]) -> None:
    size = 8 << 20
    data = kind(bytes(size))
    with running(BYTES, memory_limit_mb=32) as instance:
        assert instance.call_bytes("echo", data) == data
        tracemalloc.start()
        try:
            reply = instance.call_bytes("echo", data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(reply) == size
        assert size <= peak < size + 100_000, "the reply, and no other copy that Python holds"


@pytest.mark.usefixtures("call_path")
def test_bytes_that_do_not_lie_one_after_another_are_gathered() -> None:
    every_other = memoryview(b"a-b-c-")[::2]
    with running(BYTES) as instance:
        assert instance.call_bytes("echo", every_other) == b"abc"
        assert instance.call_bytes("echo", memoryview(b"abcd").cast("H")) == b"abcd"
        assert instance.call_bytes("echo", memoryview(b"")) == b""


@pytest.mark.usefixtures("prepared")
def test_a_memory_that_has_moved_is_looked_up_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """wasmtime reserves enough that it does not move here; so the address that is known is made a wrong one."""
    with running(BYTES) as instance:
        assert instance.call_bytes("echo", b"abc") == b"abc"
        linkage = instance._entries.linkage
        assert isinstance(linkage, PreparedLinkage)
        linkage._base, linkage._view = linkage._base + 4096, memoryview(bytearray(linkage._size))
        assert instance.call_bytes("echo", b"xyz") == b"xyz"


# Time ------------------------------------------------------------------------------------------------------


@contextmanager
def one_beat(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tick goes on, and the beat does not change: as if the ticker did not get to say so."""
    with patch.context() as held:
        held.setattr(TICKER, "_next", lambda now: None)
        beat = TICKER.beat
        held.setattr(TICKER, "beat", beat)
        yield


@pytest.mark.usefixtures("call_path")
def test_the_deadline_is_set_when_the_beat_has_changed_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    armed: list[Deadline] = []
    arm = Deadline.arm

    def counted(deadline: Deadline, store: wasmtime.Store) -> None:
        armed.append(deadline)
        arm(deadline, store)

    monkeypatch.setattr(Deadline, "arm", counted)
    with running(CALLS) as instance, one_beat(monkeypatch):
        TICKER.beat = Beat(time.monotonic())
        armed.clear()
        for _ in range(1_000):
            instance.call("answer", ())
        assert len(armed) == 1
        TICKER.beat = Beat(time.monotonic())
        instance.call("answer", ())
        assert len(armed) == 2


@pytest.mark.usefixtures("call_path")
def test_a_call_in_a_beat_that_lasts_is_given_all_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The beat began long before the call did: the time does not count from there."""
    with running(CALLS, timeout_ms=100) as instance:
        with one_beat(monkeypatch):
            instance.call("answer", ())
            beat = instance._limits.deadline.beat
            late = time.monotonic() + 0.3
            eventually(lambda: time.monotonic() > late)
            assert instance._limits.deadline.beat is beat
            begin = time.monotonic()
            call = Runner(instance.call, "loop", ())
        with pytest.raises(hotswap.DeadlineExceeded):
            call.value()
        assert time.monotonic() - begin >= 0.1
