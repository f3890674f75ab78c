"""What many plugins, instances and reloads cost: run in a process of its own, so that its memory is its own.

`growth.py plugins|instances|reloads NUMBER...` prints JSON: one object a number, for plugins and instances reached in
turn by the same process.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter

from hotswap import HotReloadablePlugin, HotReloadManager, ManifestBuilder, PluginManifest
from measuring import quartiles, statement
from modules import SMALL, binary, fresh

Facts = dict[str, object]
ROUND = 100


def memory() -> Facts:
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {
        "rss": resident,
        "maps": len(Path("/proc/self/maps").read_text().splitlines()),
        "threads": threading.active_count(),
    }


def manifest(name: str, instances: int) -> PluginManifest:
    builder = ManifestBuilder(name, "1.0.0").export("add").limit("max_instances", instances)
    return builder.limit("fuel_limit", 0).limit("timeout_ms", 60_000).build()


def seconds(text: str, calls: int = 2_000, **names: object) -> list[float]:
    """How long a statement takes, in twenty blocks."""
    block = statement(text, names)
    block(calls)
    return [block(calls) / calls for _ in range(20)]


def to_the_floor(text: str, calls: int, **names: object) -> tuple[list[float], float]:
    """The same, and how many times a ctypes no-op that is: block by block, since a machine has slow minutes."""
    absolute = ctypes.CDLL(None).labs
    absolute.argtypes = None  # type: ignore[assignment]
    blocks = statement(text, names), statement("absolute(one)", {"absolute": absolute, "one": ctypes.c_long(1)})
    for block in blocks:
        block(calls)
    took = [tuple(block(calls) / calls for block in blocks) for _ in range(20)]
    return [own for own, _ in took], median(own / floor for own, floor in took)


def plugins(numbers: list[int]) -> Iterator[Facts]:
    """One instance each. The last is called again and again; and then a hundred in turn, spread over all."""
    wasm = binary(SMALL)
    with HotReloadManager() as manager:
        empty, names = memory(), list[str]()
        for number in numbers:
            took = []
            while len(names) < number:
                names.append(f"p{len(names)}")
                asked = manifest(names[-1], 1)
                begun = perf_counter()
                manager.register(names[-1], wasm, asked)
                took.append(perf_counter() - begun)
            facts: Facts = {"number": number, "register": quartiles(took), "empty": empty} | memory()
            facts["look_up"] = quartiles(seconds("get(name)", get=manager.get, name=names[-1]))
            facts["call"], facts["call_to_floor"] = to_the_floor(
                "call('add', 20, 22)", 2_000, call=manager[names[-1]].call
            )
            if number >= ROUND:
                spread = [manager[names[at * number // ROUND]] for at in range(ROUND)]
                assert {each.call("add", 20, 22) for each in spread} == {42}
                rounds, to_floor = to_the_floor("for each in spread: each.call('add', 20, 22)", 20, spread=spread)
                facts["round"] = quartiles([each / ROUND for each in rounds])
                facts["round_to_floor"] = to_floor / ROUND
            yield facts


def instances(numbers: list[int]) -> Iterator[Facts]:
    """Of one version; the plugin is made anew for each number."""
    wasm = binary(SMALL)
    for number in numbers:
        empty, asked = memory(), manifest("many", number)
        begun = perf_counter()
        with HotReloadablePlugin("many", fresh(wasm), asked) as plugin:
            made = perf_counter() - begun
            assert plugin.call("add", 20, 22) == 42
            call = seconds("call('add', 20, 22)", call=plugin.call)
            yield {"number": number, "made": made, "call": call, "empty": empty} | memory()


def reloads(numbers: list[int]) -> Iterator[Facts]:
    """Upgrades to fresh bytes, a call on each version; the first hundred are not counted, they warm up."""
    wasm, asked = binary(SMALL), manifest("again", 1)
    with ExitStack() as exits:
        plugin = exits.enter_context(HotReloadablePlugin("again", fresh(wasm), asked))

        def upgrade(times: int) -> list[float]:
            took = []
            for _ in range(times):
                code = fresh(wasm)
                begun = perf_counter()
                plugin.upgrade(code, asked, allow_rebuild=True)
                took.append(perf_counter() - begun)
                assert plugin.call("add", 20, 22) == 42
            return took

        upgrade(100)
        empty = memory()
        for number in numbers:
            yield {"number": number, "upgrade": upgrade(number), "empty": empty} | memory()


if __name__ == "__main__":
    what = {"plugins": plugins, "instances": instances, "reloads": reloads}[sys.argv[1]]
    print(json.dumps(list(what([int(number) for number in sys.argv[2:]]))))
