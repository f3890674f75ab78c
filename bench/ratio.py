"""The ratios that `make test` holds: how many times faster a plugin's call is than wasmtime-py's own, as JSON.

In a process of its own, since the tests run under coverage, which slows our code down and not wasmtime-py's. The best
block of many counts: on a busy machine, too, some block of each contender gets the processor for itself. `--broken`
takes a lock and sleeps in every call, so that the guard can be seen to notice.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from contenders import ADD, CALL, UPPER, bare, plugin, python
from measuring import Block, interleave

TURNS, BLOCK_S = 60, 0.001


def slowed(call: Callable[..., object]) -> Callable[..., object]:
    lock = threading.Lock()

    def slow(*args: object) -> object:
        with lock:
            time.sleep(1e-4)
            return call(*args)

    return slow


def found(broken: bool) -> dict[str, float]:
    with ExitStack() as exits:
        kinds = {"unmetered": plugin(exits), "metered": plugin(exits, fuel=1_000_000_000)}
        blocks: dict[str, Block] = {}
        for kind, made in kinds.items():
            names: dict[str, Callable[..., object]] = {"call": made.call, "call_bytes": made.call_bytes}
            if broken:
                names = {name: slowed(call) for name, call in names.items()}
            asked = {ADD: CALL[ADD], UPPER: CALL[UPPER]} if kind == "unmetered" else {ADD: CALL[ADD]}
            blocks |= {f"{workload}, {kind}": block for workload, block in python("", names, asked, 1).blocks.items()}
        own = bare(1).blocks
        times = interleave(blocks | {ADD: own[ADD], UPPER: own[UPPER]}, TURNS, BLOCK_S)
        return {name: min(times[name.split(",")[0]]) / min(times[name]) for name in blocks}


if __name__ == "__main__":
    print(json.dumps(found("--broken" in sys.argv)))
