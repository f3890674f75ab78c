"""Ctrl-C at every point of the making and the closing of a real instance (S8)."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

import pytest
import wasmtime

from faults import in_a_finalizer
from hotswap import HostFunction
from hotswap._host import Imports
from hotswap._runtime import CENSUS, WasmRuntime, _capi
from hotswap._runtime._code import WasmCode
from hotswap._runtime._ticker import TICKER
from runtime_modules import ANSWER, load, resources
from test_faults_cache import StrikeNoGenerator

HOSTED: Final = f"""(module (import "env" "log" (func $log (param i32))) (memory 1)
    (func (export "hotswap_probe") (result i32) (call $log (i32.const 7)) (i32.const 0)) {ANSWER})"""
POINTS_MAX: Final = 5_000


def hosted() -> WasmCode:
    imports = Imports("p", {"env.log": HostFunction("(i32) -> ()", lambda number: None)})
    return WasmRuntime().load(HOSTED, resources(), imports)


class StrikeNoFinalizer(StrikeNoGenerator):
    """What is raised in what a finalizer calls goes nowhere either."""

    def _event(self, frame: FrameType, event: str, arg: object) -> None:
        if not in_a_finalizer(frame, levels=sys.getrecursionlimit()):
            super()._event(frame, event, arg)


class Stores:
    """Those that wasmtime has been asked to delete."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = self.deleted = 0
        make = wasmtime.Store.__init__

        def made(store: wasmtime.Store, *args: object) -> None:
            make(store, *args)  # type: ignore[arg-type]
            self.made += 1

        def counted(delete: Callable[[object], object]) -> Callable[[object], None]:
            def deleted(pointer: object) -> None:
                delete(pointer)
                self.deleted += 1

            return deleted

        monkeypatch.setattr(wasmtime.Store, "__init__", made)
        monkeypatch.setattr(_capi, "_delete_store", counted(_capi._delete_store))
        monkeypatch.setattr(wasmtime._ffi, "wasmtime_store_delete", counted(wasmtime._ffi.wasmtime_store_delete))


@pytest.mark.parametrize("make", [lambda: load(f"(module (memory 1) {ANSWER})"), hosted], ids=["plain", "with imports"])
def test_ctrl_c_anywhere_between_making_and_closing(
    make: Callable[[], WasmCode], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = make()
    code.instantiate(probe=True).close()  # what is done once in a process is done
    stores = Stores(monkeypatch)

    def live() -> None:
        instance = code.instantiate(probe=True)
        assert instance.call("answer", ()) == 42
        instance.close()

    for point in range(POINTS_MAX):
        before = CENSUS.alive, TICKER._users, stores.made - stores.deleted
        strike = StrikeNoFinalizer(point)
        hit = strike.hits(live) is not None
        gc.collect(0)
        assert (CENSUS.alive, TICKER._users, stores.made - stores.deleted) == before, strike.where
        if not hit:
            assert point > 100
            return
    pytest.fail("it does not end")


def test_what_is_closed_twice_is_counted_once() -> None:
    before = CENSUS.alive, CENSUS.closed, TICKER._users
    instance = load(f"(module {ANSWER})").instantiate(probe=True)
    steps = list(instance._exits)
    instance.close()
    for step in reversed(steps):
        step()
    assert (CENSUS.alive, CENSUS.closed, TICKER._users) == (before[0], before[1] + 1, before[2])
    with pytest.raises(RuntimeError, match="a closed instance was called"):
        instance.call("answer", ())
