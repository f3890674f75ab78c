"""Faults at every step of register, upgrade and unregister, on real wasmtime with the cache on disk.

Each alone, and (slow) each with some of those that can follow it, drawn: all of them would take hours. The fakes and
the cache by itself get every pair.
"""

from __future__ import annotations

import gc
import random
import shutil
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import wasmtime

import hotswap
from faults import ANY, BROKEN_DISK, CTRL_C, FORBIDDEN, LATER, NO_FILES, NO_THREAD, WASMTIME, Fault, Faults
from faults_cabinet import AFTER as AFTER_OF_THE_CACHE
from faults_cabinet import BEFORE as BEFORE_OF_THE_CACHE
from faults_cabinet import patches as patches_of_the_cache
from faults_calls import StandIn, module, stand_ins, stepping, stepping_class, struck
from hotswap import CompileCache, Cutover, HotReloadManager, HotReloadState, _manifest
from hotswap._runtime import CENSUS, _capi, _compiled, _deadline, _instance, _limits, _source, _ticker
from hotswap.monitor import Monitor
from test_compile_child import files
from worlds import WAIT_S, Runner, manifest, wat

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:plugin .* was dropped without close:ResourceWarning"
    ),  # struck before it was given
    pytest.mark.filterwarnings("ignore:unclosed scandir iterator:ResourceWarning"),
    pytest.mark.timeout(600),  # for some hundred runs; each of them has less
]
REMOVED, CUT, SWAPPED, SPOILT = "file removed", "file cut", "file swapped", "entry spoilt"
MEANWHILE: Final = (REMOVED, CUT, SWAPPED, SPOILT)
DRAWN: Final = 12
"""So many faults are drawn to follow each."""
OTHER: Final = 7
"""The version in the file that is put in the place of the one given."""

BEFORE: Final = {
    "Path.open": (*ANY, NO_FILES, FORBIDDEN, *MEANWHILE),
    "wasmtime.wat2wasm": (*ANY, WASMTIME),
    "Module.init": (*ANY, WASMTIME),
    "Module.deserialize": (*ANY, WASMTIME, SPOILT),
    "Module.serialize": (*ANY, WASMTIME),
    "Store.init": ANY,
    "Store.set_limits": ANY,
    "Store.set_epoch_deadline": ANY,
    "Instance.init": (*ANY, WASMTIME),
    "Instance.exports": ANY,
    "capi.new_error": ANY,
    "capi.on_tick": ANY,
    "capi.delete_error": ANY,
    "capi.trap_from": ANY,
    "delete_store": ANY,
    "Thread.start": (*ANY, NO_THREAD),
    "threading.get_native_id": ANY,
    "time.monotonic": (*ANY, LATER),
    **BEFORE_OF_THE_CACHE,
    "file.read": (*ANY, BROKEN_DISK, *MEANWHILE),
}
AFTER: Final = {
    **dict.fromkeys(BEFORE, (CTRL_C,)),
    **AFTER_OF_THE_CACHE,
    # What these return is memory of wasmtime's, and lost when Ctrl-C strikes before it is noted.
    **dict.fromkeys(("capi.new_error", "capi.trap_from"), ()),
    # After these, `test_faults_cache.py` strikes without stand-ins; the others close what is lost.
    **dict.fromkeys(("os.open", "Path.open"), ()),
}
CATALOGUE: Final = {
    f"{when} {step}": kinds for when, steps in (("before", BEFORE), ("after", AFTER)) for step, kinds in steps.items()
}


def patches(patch: pytest.MonkeyPatch, faults: Faults) -> None:
    patches_of_the_cache(patch, faults)
    patch.setattr(_manifest, "Path", stepping_class(faults, type(Path()), "open"))
    patch.setattr(_source, "Path", stepping_class(faults, type(Path()), "open"))
    patch.setattr(wasmtime, "wat2wasm", stepping(faults, "wasmtime.wat2wasm", wasmtime.wat2wasm))
    for real, *methods in (
        (wasmtime.Module, "deserialize", "serialize"),
        (wasmtime.Store, "set_limits", "set_epoch_deadline"),
        (wasmtime.Instance, "exports"),
    ):
        patch.setattr(wasmtime, real.__name__, stepping_class(faults, real, "__init__", *methods))
    patch.setattr(_instance, "delete_store", stepping(faults, "delete_store", _capi.delete_store))
    module(patch, faults, _deadline, "_capi")
    module(patch, faults, _limits, "_capi")
    module(patch, faults, _deadline, "time")
    module(patch, faults, _ticker, "time")
    thread = stepping_class(faults, threading.Thread, "start")
    patch.setattr(_ticker, "threading", StandIn(faults, "threading", threading, Thread=thread))


class Bench:
    """One run: files of modules, a cache, a manager that may have a plugin."""

    def __init__(self, root: Path, monitor: Monitor, name: str) -> None:
        self.root, self.name, self.monitor = root, name, monitor
        self.cache = CompileCache(root / "cache", root / "key")
        hotswap.use_compile_cache(self.cache)
        self.before, self.alive = files(), CENSUS.alive
        self.manager = HotReloadManager(monitor=monitor)
        if not name.startswith("register"):
            cutover = Cutover.EXCLUSIVE if "exclusive" in name else Cutover.OVERLAP
            self.plugin = self.register(1, cutover=cutover)

    def file(self, number: int) -> Path:
        return self.root / f"{number}.wasm"

    def register(self, number: int, **options: Any) -> hotswap.HotReloadablePlugin:
        return self.manager.register("p", self.file(number), self.root / "1.toml", drain_timeout=WAIT_S, **options)

    def upgrade(self, number: int) -> None:
        self.manager.upgrade("p", self.file(number), self.root / f"{number}.toml", allow_rebuild=True)


def acts(root: Path, number: int) -> dict[str, Callable[[], object]]:
    """On the file that the operation reads, or on all entries of the cache."""
    file = root / f"{number}.wasm"

    def swap() -> None:
        shutil.copy(root / f"{OTHER}.wasm", root / "new")
        (root / "new").rename(file)

    def spoil() -> None:
        for entry in (root / "cache").glob("*.cwasm"):
            entry.write_bytes(bytes(100))

    return {
        REMOVED: lambda: file.unlink(missing_ok=True),
        CUT: lambda: file.write_bytes(b"\0asm"),
        SWAPPED: swap,
        SPOILT: spoil,
    }


CASES: Final[dict[str, Callable[[Bench], object]]] = {
    "register": lambda bench: bench.register(1),
    "register text": lambda bench: bench.manager.register("p", wat(1), manifest(1)),
    "register what is cached": lambda bench: bench.register(1),
    "upgrade": lambda bench: bench.upgrade(2),
    "upgrade, exclusive": lambda bench: bench.upgrade(2),
    "upgrade to what is cached": lambda bench: bench.upgrade(2),
    "upgrade to what is damaged": lambda bench: bench.upgrade(2),
    "upgrade to what fails": lambda bench: bench.upgrade(3),
    "call that traps": lambda bench: bench.plugin.call("trap"),
    "unregister": lambda bench: bench.manager.unregister("p"),
}
SLOW: Final = {"register text", "upgrade, exclusive", "upgrade to what is damaged"}
"""They have few steps that the others have not."""
FAILS: Final = {"upgrade to what fails": hotswap.ProbeFailed, "call that traps": hotswap.CallTrapped}


class Floor:
    """Makes benches."""

    def __init__(self, root: Path) -> None:
        self._root, self._number = root, 0
        self._template = root / "template"
        self._template.mkdir()
        for number in (1, 2, 3, 9):
            (self._template / f"{number}.toml").write_text(manifest(number).to_toml())
        for number in (1, 2, OTHER, 9):
            (self._template / f"{number}.wasm").write_bytes(wasmtime.wat2wasm(wat(number)))
        (self._template / "3.wasm").write_bytes(wasmtime.wat2wasm(wat(3, probe="i32.const 1")))
        CompileCache(self._template / "cache", self._template / "key")  # once: to make a key waits for the disk
        self._cached = shutil.copytree(self._template, root / "cached")
        with Monitor() as monitor:
            bench = Bench(self._cached, monitor, "register")
            bench.register(1)
            bench.upgrade(2)
            bench.manager.close()
        self._damaged = shutil.copytree(self._cached, root / "damaged")
        for entry in (self._damaged / "cache").iterdir():
            entry.write_bytes(entry.read_bytes()[:-1])

    def run(self, name: str, monitor: Monitor, *planned: Fault) -> Faults:
        _compiled._modules.clear()
        self._number += 1
        template = self._cached if "cached" in name else self._damaged if "damaged" in name else self._template
        root = shutil.copytree(template, self._root / str(self._number))
        faults = Faults(*planned, acts=acts(root, 1 if name.startswith("register") else 2))
        try:
            Runner(_one, name, root, monitor, faults).value()
        except BaseException as failure:  # noqa: BLE001  told with its faults
            story = "".join(traceback.format_exception(failure))
            pytest.fail(f"{name}, struck by {' and '.join(map(str, planned)) or 'nothing'}:\n{story}", pytrace=False)
        shutil.rmtree(root)
        return faults


def _one(name: str, root: Path, monitor: Monitor, faults: Faults) -> None:
    """On a thread of its own, which is given a time to end."""
    with stand_ins(faults, patches):
        bench = Bench(root, monitor, name)
        error = struck(faults, lambda: CASES[name](bench))
    passed = isinstance(error, KeyboardInterrupt | MemoryError) and any(error is one for one in faults.raised)
    assert error is None or passed or isinstance(error, hotswap.HotswapError), repr(error)
    if not faults.struck:
        assert type(error) is FAILS.get(name, type(None)), repr(error)
    error = None
    faults.forget()
    check(bench, swapped=any(fault.kind == SWAPPED for fault in faults.struck))


def check(bench: Bench, swapped: bool) -> None:
    """What must hold, whatever has struck."""
    manager, monitor = bench.manager, bench.monitor
    plugin = manager.get("p")
    if plugin is not None and plugin.state is HotReloadState.CLOSED:
        manager.unregister("p")
        plugin = None
    if plugin is None:
        plugin = manager.register("p", bench.file(9), manifest(1))
        assert plugin.call("version") == 9
    else:
        serves = 1 + plugin.stats().version
        assert plugin.manifest.plugin.version == f"{serves}.0.0"
        assert plugin.call("version") in {serves, *({OTHER} if swapped else ())}
    assert plugin.state is HotReloadState.ACTIVE
    bench.upgrade(9)
    assert plugin.call("version") == 9
    are_alive(bench, 2)
    stats = plugin.stats()
    assert stats.attempts == stats.successful_upgrades + stats.failed_upgrades, stats
    assert stats.failed_upgrades == sum(stats.failures.values()), stats
    manager.close()
    are_alive(bench, 0)
    if files() != bench.before:
        gc.collect()
    assert files() == bench.before
    assert monitor.flush(WAIT_S)
    assert not monitor.divergences, "\n".join(map(str, monitor.divergences))
    assert monitor.failure is None


def are_alive(bench: Bench, expected: int) -> None:
    if CENSUS.alive - bench.alive != expected:  # an instance is with what has struck, perhaps
        gc.collect()
    assert CENSUS.alive - bench.alive == expected


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    yield Floor(tmp_path)
    hotswap.use_compile_cache(None)
    _compiled._modules.clear()


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES])
def test_one_fault_anywhere(name: str, floor: Floor) -> None:
    with Monitor() as monitor:
        found = list(floor.run(name, monitor).to_come(catalogue=CATALOGUE))
        assert found, "nothing was recorded"
        struck = sum(floor.run(name, monitor, fault).struck == [fault] for fault in found)
        assert struck > 0.8 * len(found), "the others struck another step: who calls when a beat has ended takes more"


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", CASES)
def test_two_faults(name: str, floor: Floor) -> None:
    draw, pairs, struck = random.Random(name), 0, 0
    with Monitor() as monitor:
        for first in floor.run(name, monitor).to_come(catalogue=CATALOGUE):
            faults = floor.run(name, monitor, first)
            found = list(faults.to_come(catalogue=CATALOGUE)) if faults.struck == [first] else []
            for second in draw.sample(found, min(DRAWN, len(found))):
                pairs += 1
                struck += floor.run(name, monitor, first, second).struck == [first, second]
    assert struck > 0.8 * pairs > 0


def test_every_step_of_the_catalogue_is_taken(floor: Floor) -> None:
    with Monitor() as monitor:
        taken = {point.step for name in CASES for point in floor.run(name, monitor).seen}
    own = {step for step in CATALOGUE if step.partition(" ")[2] not in BEFORE_OF_THE_CACHE}
    assert own - {"before capi.trap_from", "after capi.trap_from"} <= taken, "that one is of prepared calls only"
    assert {"before os.open", "before file.write", "before os.replace", "before hmac.compare_digest"} <= taken
    assert taken <= set(CATALOGUE)
