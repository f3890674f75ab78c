"""`make soak`: many calls during many upgrades, good and bad; nothing is lost, refused or wrong, and memory is flat.

Two plugins, one for each cutover. Each caller takes a bound number of calls; the operator makes one upgrade for so many
of them, and neither gets far ahead of the other. A version's answer names it, so each call is held against what was
published before it began and prepared before it ended. Some calls trap, and some run for milliseconds; so instances are
replaced, and drains have to wait. It stops at the bound, prints its figures, and its status is 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Final

import hotswap
from hotswap import Cutover, HotReloadablePlugin, ManifestBuilder, PluginManifest
from hotswap._runtime import CENSUS

MODULE: Final = """(module
  (func (export "hotswap_init") (result i32) {init})
  (func (export "hotswap_probe") (result i32) {probe})
  (func (export "answer") (param i32) (result i32 i32) (i32.const {number}) (local.get 0))
  (func (export "trap") unreachable)
  (func (export "{spin}") (param i32)
    (loop
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br_if 0 (i32.gt_s (local.get 0) (i32.const 0))))))"""
SLOW_INIT: Final = """(local $left i32)
    (local.set $left (i32.const 500000))
    (loop
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if 0 (i32.gt_s (local.get $left) (i32.const 0))))
    (i32.const 0)"""
GOOD: Final = {"init": "(i32.const 0)", "probe": "(i32.const 0)", "spin": "spin"}
UPGRADES: Final[dict[str, tuple[dict[str, str], type[hotswap.HotswapError] | None]]] = {
    "good": (GOOD, None),
    "good, slow to begin": ({**GOOD, "init": SLOW_INIT}, None),
    "fails its init": ({**GOOD, "init": "(i32.const 1)"}, hotswap.InitFailed),
    "good again": (GOOD, None),
    "traps in its probe": ({**GOOD, "probe": "unreachable"}, hotswap.ProbeFailed),
    "lacks an export": ({**GOOD, "spin": "spun"}, hotswap.ModuleRejected),
    "good once more": (GOOD, None),
}
EVERY_TRAP, EVERY_SPIN, SPIN_ROUNDS = 1_009, 5_003, 2_000_000
AHEAD_MAX: Final = 8
"""Of upgrades that the callers have asked for and are not made."""
WARM_UP: Final = 0.1
"""Of the upgrades: after so many, the process is looked at for the first time."""
GROWTH_MAX: Final = {"bytes resident": 16_000_000, "maps": 200, "threads": 4, "descriptors": 4, "instances": 6}
"""What a call or an upgrade that is under way at one of the two looks may make of a difference."""
Facts = dict[str, int]


class Soak:
    def __init__(self, calls: int, upgrades: int, callers: int) -> None:
        self.calls, self.upgrades, self.callers = calls, upgrades, callers
        self.plugins = [self.plugin(cutover) for cutover in Cutover]
        self.published, self.prepared = [0, 0], [0, 0]
        self.turn, self.pace, self.over = threading.Semaphore(0), threading.Semaphore(AHEAD_MAX), False
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.lock = threading.Lock()

    def plugin(self, cutover: Cutover) -> HotReloadablePlugin:
        code = MODULE.format(number=0, **GOOD)
        return HotReloadablePlugin("soak", code, self.manifest(0), cutover=cutover, drain_timeout=60, queue_timeout=60)

    @staticmethod
    def manifest(number: int) -> PluginManifest:
        builder = ManifestBuilder("soak", f"1.0.{number}").export("answer").export("trap").export("spin")
        return builder.limit("fuel_limit", 0).limit("timeout_ms", 60_000).limit("max_instances", 3).build()

    def caller(self, quota: int) -> None:
        done: Counter[str] = Counter()
        per_upgrade = max(1, self.calls // self.upgrades)
        for number in range(1, quota + 1):
            which = number & 1
            plugin = self.plugins[which]
            if number % EVERY_TRAP == 0:
                done["trapped, as asked"] += self.trapped(plugin)
            elif number % EVERY_SPIN == 0:
                plugin.call("spin", SPIN_ROUNDS)
                done["slow"] += 1
            else:
                before = self.published[which]
                version, echo = plugin.call("answer", number)  # type: ignore[misc]
                if not (before <= version <= self.prepared[which] and echo == number):
                    raise AssertionError(f"call {number}: {before} was published, and {version} answered {echo}")
                done["answered"] += 1
            if number % per_upgrade == 0:
                self.turn.release()
                self.pace.acquire()
                if self.over:
                    break
        with self.lock:
            self.done += done

    @staticmethod
    def trapped(plugin: HotReloadablePlugin) -> bool:
        try:
            plugin.call("trap")
        except hotswap.CallTrapped:
            return True
        raise AssertionError("a call that traps returned")

    def operator(self) -> Facts:
        """Returns what the process had after the warm-up."""
        kinds, warm = list(UPGRADES), facts()
        for number in range(1, self.upgrades + 1):
            self.turn.acquire()
            if self.over:
                break
            which, kind = number & 1, kinds[number % len(kinds)]
            filled, error = UPGRADES[kind]
            if error is None:
                self.prepared[which] = number
            try:
                self.plugins[which].upgrade(MODULE.format(number=number, **filled), self.manifest(number))
            except hotswap.HotswapError as found:
                if error is None or not isinstance(found, error):
                    raise
            else:
                if error is not None:
                    raise AssertionError(f"upgrade {number}, which {kind}, went through")
                self.published[which] = number
            self.pace.release()
            self.done[f"upgrade: {kind}"] += 1
            if number == round(self.upgrades * WARM_UP):
                warm = facts()
        return warm

    def watched(self, work: Callable[[], object]) -> None:
        """What goes wrong ends the soak, and is told."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001  it is told, and everybody is let go
            self.over = True
            with self.lock:
                self.wrong.append(f"{type(error).__name__}: {error}")
        finally:
            self.turn.release()
            if self.over:
                self.pace.release(self.callers * self.upgrades)

    def run(self) -> tuple[Facts, Facts]:
        warm: list[Facts] = []
        operator = threading.Thread(target=self.watched, args=(lambda: warm.append(self.operator()),))
        share = self.calls // self.callers
        callers = [
            threading.Thread(target=self.watched, args=(lambda: self.caller(share),)) for _ in range(self.callers)
        ]
        for thread in (operator, *callers):
            thread.start()
        for caller in callers:
            caller.join()
        self.turn.release(self.upgrades)
        operator.join()
        ended = facts()
        for plugin in self.plugins:
            plugin.close()
        return (warm or [ended])[0], ended


def facts() -> Facts:
    """What the process has, by the names in `GROWTH_MAX`."""
    gc.collect()
    return {
        "bytes resident": int(Path("/proc/self/statm").read_text().split()[1]) * 4096,
        "maps": len(Path("/proc/self/maps").read_text().splitlines()),
        "threads": threading.active_count(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "instances": CENSUS.alive,
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--upgrades", type=int, default=10_000)
    parser.add_argument("--callers", type=int, default=2)
    asked = parser.parse_args(argv)
    os.environ.setdefault("HOTSWAP_COMPILE", "inprocess")  # ten thousand modules of our own
    soak = Soak(asked.calls, asked.upgrades, asked.callers)
    begun = perf_counter()
    warm, ended = soak.run()
    took = perf_counter() - begun
    stats = [plugin.stats() for plugin in soak.plugins]
    made = sum(soak.done[what] for what in ("answered", "slow", "trapped, as asked"))
    for what, count in sorted(soak.done.items()):
        print(f"{count:>12,}  {what}")
    print(f"{made:>12,}  calls in {took:.0f} s, {made / took:,.0f} a second, while they were upgraded")
    for name, before in warm.items():
        print(f"{before:>12,}  {name} after a tenth of the upgrades, {ended[name]:,} at the end")
    expected = soak.callers * (soak.calls // soak.callers)
    wrong = [*soak.wrong]
    wrong += [f"{expected - made} calls are lost"] * (made != expected and not wrong)
    grown = {name: ended[name] - before for name, before in warm.items()}
    wrong += [f"{more:,} more {name} at the end" for name, more in grown.items() if more > GROWTH_MAX[name]]
    wrong += ["instances are left"] * (CENSUS.alive != 0)
    attempts = sum(each.successful_upgrades + each.failed_upgrades for each in stats)
    counted = sum(count for what, count in soak.done.items() if what.startswith("upgrade"))
    wrong += [f"{counted} upgrades made, {attempts} counted"] * (counted != attempts)
    print(*(f"WRONG: {what}" for what in wrong), "nothing lost, refused or wrong" if not wrong else "", sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
