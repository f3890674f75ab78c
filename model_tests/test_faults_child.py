"""Faults at every step of a compilation in a child, during an upgrade: no files, no memory, the child killed."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import pytest
import wasmtime

import hotswap
from faults import ANY, BROKEN_DISK, LATER, NO_FILES, NO_MEMORY, NO_THREAD, OP, Fault, Faults, faults_at
from faults_calls import StandIn, module, stand_ins, stepping_class, struck
from hotswap import ChildCompiler, HotReloadablePlugin, HotReloadState, InProcess
from hotswap._runtime import CENSUS, _child, _child_process, _compiled
from test_compile_child import children, files
from worlds import Runner, manifest, wat

pytestmark = pytest.mark.timeout(600)  # for many runs; each of them has less
KILLED: Final = "child killed"
JOB: Final = "hotswap-compile"
"""The thread that sees to the child."""
MODULES: Final = {number: bytes(wasmtime.wat2wasm(wat(number))) for number in (1, 2, 9)}

BEFORE: Final = {
    "Thread.start": (*ANY, NO_THREAD),
    "socket.socketpair": (NO_FILES, NO_MEMORY),
    "Popen.init": (NO_FILES, NO_MEMORY),
    "Popen.wait": (NO_MEMORY, KILLED),
    "Popen.kill": (NO_MEMORY, KILLED),
    "PollSelector.init": (NO_FILES, NO_MEMORY, KILLED),
    "PollSelector.register": (NO_MEMORY, KILLED),
    "PollSelector.unregister": (NO_MEMORY, KILLED),
    "PollSelector.select": (NO_MEMORY, KILLED),
    "os.set_blocking": (NO_MEMORY, BROKEN_DISK, KILLED),
    "os.write": (NO_MEMORY, BROKEN_DISK, KILLED),
    "os.read": (NO_MEMORY, BROKEN_DISK, KILLED),
    "time.monotonic": (NO_MEMORY, LATER),
}
CATALOGUE: Final = {f"before {step}": kinds for step, kinds in BEFORE.items()} | {
    f"after {step}": () for step in BEFORE
}
"""After a step there is none: no signal strikes that thread. Ctrl-C on the caller's is `test_compile_child.py`'s."""


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = children(), files(), CENSUS.alive
    yield
    hotswap.use_compiler(None)
    _compiled._modules.clear()
    assert (children(), files(), CENSUS.alive) == before


def run(*planned: Fault) -> Faults:
    """An upgrade, struck; then one that is not."""
    started: list[subprocess.Popen[bytes]] = []

    def patches(patch: pytest.MonkeyPatch, faults: Faults) -> None:
        module(patch, faults, _child_process, "os")
        module(patch, faults, _child_process, "time")
        module(patch, faults, _child, "socket")
        real = stepping_class(faults, subprocess.Popen, "__init__", "wait", "kill")

        def entered(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
            started.append(process)
            return process

        seen = type("Popen", (real,), {"__enter__": entered})
        patch.setattr(_child_process, "subprocess", StandIn(faults, "subprocess", subprocess, Popen=seen))
        poll = stepping_class(faults, selectors.PollSelector, "__init__", "register", "unregister", "select")
        patch.setattr(_child_process, "selectors", StandIn(faults, "selectors", selectors, PollSelector=poll))
        thread = stepping_class(faults, threading.Thread, "start")
        patch.setattr(_child, "threading", StandIn(faults, "threading", threading, Thread=thread))

    def kill() -> None:
        for process in started:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    faults = Faults(*planned, acts={KILLED: kill})
    try:
        Runner(_upgraded, faults, patches).value()
    except BaseException as failure:  # noqa: BLE001  told with its faults
        story = "".join(traceback.format_exception(failure))
        pytest.fail(f"struck by {', '.join(map(str, planned)) or 'nothing'}:\n{story}", pytrace=False)
    return faults


def _upgraded(faults: Faults, patches: Callable[[pytest.MonkeyPatch, Faults], None]) -> None:
    _compiled._modules.clear()
    hotswap.use_compiler(InProcess())
    with HotReloadablePlugin("p", MODULES[1], manifest(1)) as plugin:
        compiler = ChildCompiler(wall_s=15)
        hotswap.use_compiler(compiler)
        with stand_ins(faults, patches, JOB):
            error = struck(faults, lambda: plugin.upgrade(MODULES[2], manifest(2)))
        assert error is None or isinstance(error, hotswap.HotswapError | MemoryError | KeyboardInterrupt), repr(error)
        assert error is None or faults.struck, repr(error)
        error = None
        faults.forget()
        assert compiler.turns._free == compiler.at_once
        assert children() == set()
        assert plugin.state is HotReloadState.ACTIVE
        assert plugin.call("version") == 1 + plugin.stats().version
        plugin.upgrade(MODULES[9], manifest(9))
        assert plugin.call("version") == 9
        stats = plugin.stats()
        assert stats.attempts == stats.successful_upgrades + stats.failed_upgrades == 2


def chosen(faults: list[Fault], each_step_once: bool) -> Iterator[Fault]:
    seen: set[tuple[str, str]] = set()
    for fault in faults:
        if not each_step_once or (fault.point.step, fault.kind) not in seen:
            yield fault
        seen.add((fault.point.step, fault.kind))


@pytest.mark.parametrize("each_step_once", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["quick", "all"])
def test_one_fault_anywhere(each_step_once: bool) -> None:
    points = run().seen
    assert {point.step for point in points} == set(CATALOGUE)
    assert {point.lane for point in points} == {OP, JOB}
    found = list(chosen(list(faults_at(points, catalogue=CATALOGUE)), each_step_once))
    struck_there = sum(run(fault).struck == [fault] for fault in found)
    assert struck_there > 0.6 * len(found), "the others struck another step: the pipes come in other pieces"
