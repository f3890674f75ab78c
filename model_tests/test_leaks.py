"""1,000 upgrades under load: no growth of instances, threads or file descriptors; RSS grows by less than 5 MB."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from hotswap import HotReloadablePlugin, ManifestBuilder, PluginManifest
from hotswap._runtime import CENSUS
from worlds import Runner

WARM_UP, UPGRADES = 100, 1_000


def manifest(number: int) -> PluginManifest:
    builder = ManifestBuilder("l", f"1.0.{number}").export("f").limit("max_instances", 2)
    return builder.limit("timeout_ms", 60_000).build()  # this is not about deadlines, and the machine may be busy


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts what Linux shows in /proc")
def test_a_thousand_upgrades_under_load_leave_nothing_behind() -> None:
    wat = '(module (memory (export "memory") 1) (func (export "f") (param i32) (result i32) i32.const {}))'
    stop = threading.Event()
    with HotReloadablePlugin("l", wat.format(0), manifest(0)) as plugin:

        def load() -> int:
            calls = 0
            while not stop.is_set():
                plugin.call("f", calls)
                calls += 1
            return calls

        workers = [Runner(load) for _ in range(2)]

        def upgrade(numbers: range) -> tuple[int, int, int, int]:
            for number in numbers:
                plugin.upgrade(wat.format(number), manifest(number))
            gc.collect()
            descriptors = len(list(Path("/proc/self/fd").iterdir()))
            return CENSUS.alive, threading.active_count(), descriptors, rss_bytes()

        before = upgrade(range(1, WARM_UP))
        after = upgrade(range(WARM_UP, WARM_UP + UPGRADES))
        stop.set()
        assert all(runner.value() for runner in workers)
        assert after[:3] == before[:3], "instances, threads, descriptors"
        assert after[3] - before[3] < 5_000_000, "RSS in bytes"
        assert plugin.stats().successful_upgrades == WARM_UP + UPGRADES - 1
