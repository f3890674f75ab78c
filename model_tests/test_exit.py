"""The interpreter ends while threads are in the wasm, or in the host: the process ends too, and in order."""

from __future__ import annotations

import sys
import threading
from typing import Final

import pytest

from hotswap import CallTrapped, HostFunction, HotReloadablePlugin
from runtime_modules import LONG_MS, alone, resources
from worlds import WAIT_S

pytestmark = pytest.mark.usefixtures("call_path")

WASM: Final = """(module
  (import "env" "enter" (func $enter))
  (func (export "loop") (call $enter) (loop br 0))
  (func (export "host") (loop (call $enter) br 0))
  (func (export "stay") (call $enter)))"""
CALLERS: Final = 4


def leave(func: str, daemon: str) -> str:
    """Returns when all callers are inside. None is waited for here."""
    entered, never = threading.Semaphore(0), threading.Event()

    def enter() -> None:
        entered.release()
        if func == "stay":
            never.wait()

    def call() -> None:
        try:
            plugin.call(func)
        except CallTrapped as error:
            sys.stdout.write(f"{type(error).__name__}\n")

    manifest = resources(max_instances=CALLERS, timeout_ms=LONG_MS if daemon else 500)
    plugin = HotReloadablePlugin("p", WASM, manifest, imports={"env.enter": HostFunction("() -> ()", enter)})
    for _ in range(CALLERS):
        threading.Thread(target=call, daemon=bool(daemon)).start()
    for _ in range(CALLERS):
        assert entered.acquire(timeout=WAIT_S)
    globals()["kept"] = plugin  # until the interpreter takes the modules apart
    return "inside"


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("func", ["loop", "host", "stay"])
def test_the_process_ends_beside_daemon_threads_that_are_inside(func: str, turn: int) -> None:
    child = alone(leave, func, "daemon")
    assert (child.returncode, child.stdout) == (0, "inside[survived]"), f"turn {turn}: {child.stderr[-2000:]}"


@pytest.mark.parametrize("func", ["loop", "host"])
def test_other_threads_are_waited_for_until_their_deadlines(func: str) -> None:
    child = alone(leave, func, "")
    before, inside, after = child.stdout.partition("inside[survived]")  # usually nothing comes before
    told = (child.returncode, inside, before + after)
    assert told == (0, "inside[survived]", "DeadlineExceeded\n" * CALLERS), child.stderr[-2000:]
