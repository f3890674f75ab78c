"""Real threads on real wasm, bounded in calls: S1, S2, S3 and S8 for both cutovers."""

from __future__ import annotations

import gc
import threading
import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import pytest

import hotswap
from hotswap import Cutover, HotReloadablePlugin, ManifestBuilder, PluginManifest
from hotswap._runtime import CENSUS
from hotswap.testing import FakeModule, FakeRuntime, fake_ports
from worlds import Runner

THREADS = 4

# Each instance counts the calls inside it: a second one beside the first is a shared instance (S3). The body is
# long enough (some 50 us) for a call to be overtaken by an upgrade.
WAT = """(module (global $inside (mut i32) (i32.const 0))
  (func (export "work") (param $n i32) (result i32)
    (if (global.get $inside) (then unreachable))
    (global.set $inside (i32.const 1))
    (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (global.set $inside (i32.const 0))
    (i32.const {})))"""


@dataclass(frozen=True)
class Call:
    began: float
    ended: float
    version: int


def manifest(number: int) -> PluginManifest:
    builder = ManifestBuilder("s", f"{number}.0.0").export("work").limit("max_instances", 3)
    return builder.limit("fuel_limit", 0).limit("timeout_ms", 20_000).limit("memory_limit_mb", 1).build()


@pytest.mark.parametrize(
    ("total", "changes"),
    [(6_000, 40), pytest.param(400_000, 1_500, marks=[pytest.mark.slow, pytest.mark.timeout(1_200)])],
)
@pytest.mark.parametrize("cutover", list(Cutover), ids=lambda c: c.name)
def test_no_call_is_dropped_shared_or_run_on_the_wrong_version(cutover: Cutover, total: int, changes: int) -> None:
    gc.collect()  # what other tests have left, mutants of them above all, is closed before anything is counted
    created, closed = CENSUS.created, CENSUS.closed
    histories: list[list[Call]] = [[] for _ in range(THREADS)]
    errors: list[BaseException] = []
    begins: list[float] = []
    ends: list[float] = []
    with HotReloadablePlugin("s", WAT.format(1), manifest(1), cutover=cutover, drain_timeout=20) as plugin:

        def work(history: list[Call]) -> None:
            try:
                for _ in range(total // THREADS):
                    began = time.perf_counter()
                    version = plugin.call("work", 20_000)
                    assert isinstance(version, int)
                    history.append(Call(began, time.perf_counter(), version))
            except BaseException as error:  # noqa: BLE001  the test looks at it
                errors.append(error)

        threads = [threading.Thread(target=work, args=(history,)) for history in histories]
        for thread in threads:
            thread.start()
        for number in range(2, changes + 2):
            begins.append(time.perf_counter())
            plugin.upgrade(WAT.format(number), manifest(number))
            ends.append(time.perf_counter())
        for thread in threads:
            thread.join(1_000)
            assert not thread.is_alive()
        assert plugin.stats().successful_upgrades == changes
    assert errors == [], "S1"
    calls = sorted((call for history in histories for call in history), key=lambda call: call.began)
    assert len(calls) == total, "S1"
    for call in calls:  # upgrades are numbered from 2 in the order of time
        assert call.version >= bisect_left(ends, call.began) + 1, "S2: after an upgrade returned, all calls run new"
        assert call.version <= bisect_right(begins, call.ended) + 1, "S2: before an upgrade began, all calls run old"
    by_end, newest, seen = sorted(calls, key=lambda call: call.ended), 0, 0
    for call in calls:  # S2: a call that began after another ended does not run an older version
        while seen < len(by_end) and by_end[seen].ended < call.began:
            newest, seen = max(newest, by_end[seen].version), seen + 1
        assert call.version >= newest, "S2"
    assert CENSUS.created - created == CENSUS.closed - closed == 3 * (changes + 1), "S8"


def test_exclusive_never_runs_two_versions_at_once() -> None:
    """Told from inside the calls: each says which versions it saw running. Rollbacks are part of it."""
    runtime, guard = FakeRuntime(), threading.Lock()
    inside: dict[int, int] = {}
    together: list[dict[int, int]] = []

    def module(number: int) -> FakeModule:
        def work() -> int:
            with guard:
                inside[number] = inside.get(number, 0) + 1
                if len(inside) > 1:
                    together.append(dict(inside))
            time.sleep(0)  # let others in
            with guard:
                inside[number] -= 1
                if not inside[number]:
                    del inside[number]
            return number

        return FakeModule({"work": work}, label=str(number))

    stop = threading.Event()
    with HotReloadablePlugin(
        "s", module(1), manifest(1), cutover=Cutover.EXCLUSIVE, drain_timeout=20, ports=fake_ports(runtime)
    ) as plugin:

        def call() -> int:
            calls = 0
            while not stop.is_set():
                plugin.call("work")
                calls += 1
            return calls

        callers = [Runner(call) for _ in range(5)]
        rollbacks = 0
        for number in range(2, 300):
            plugin.drain_timeout = 0 if number % 3 == 0 else 20
            try:
                plugin.upgrade(module(number), manifest(number))
            except hotswap.DrainTimeout:
                rollbacks += 1
        stop.set()
        assert all(caller.value() for caller in callers)
        assert plugin.stats().attempts == 298
        assert plugin.stats().failed_upgrades == rollbacks > 0
    assert together == []
    assert runtime.violations == []
    assert runtime.created == runtime.closed
