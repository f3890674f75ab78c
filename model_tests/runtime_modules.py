"""What the tests of the runtime layer share: modules as text, one instance at a time, a process that may die."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hotswap import ManifestBuilder, PluginManifest
from hotswap._runtime import CENSUS, WasmRuntime
from hotswap._runtime._code import WasmCode
from hotswap._runtime._instance import WasmInstance

LONG_MS: Final = 60_000
"""A deadline that no test reaches unless it fails."""

LOOP: Final = '(func (export "loop") (loop br 0))'
ANSWER: Final = '(func (export "answer") (result i32) i32.const 42)'

CALLS: Final = f"""(module
  (memory (export "memory") 1)
  (table $t 1 funcref)
  (type $void (func))
  (global $calls (mut i32) (i32.const 0))
  {LOOP} {ANSWER}
  (func (export "count") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (global.get $calls))
  (func $spin (export "spin") (param $rounds i32)
    (loop
      (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
      (br_if 0 (i32.gt_s (local.get $rounds) (i32.const 0)))))
  (func $abyss (export "unreachable") unreachable)
  (func $nested (export "nested") (call $abyss))
  (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "peek") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "indirect") (call_indirect (type $void) (i32.const 0)))
  (func (export "to_int") (param f64) (result i32) (i32.trunc_f64_s (local.get 0)))
  (func $dive (export "dive") (call $dive)))"""
"""Calls that return, calls that trap, and one that never ends."""

BYTES: Final = """(module
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 1024))
  (global $live (mut i32) (i32.const 0))
  (global $frees (mut i32) (i32.const 0))
  (global $p1 (mut i32) (i32.const 0)) (global $n1 (mut i32) (i32.const 0))
  (global $p2 (mut i32) (i32.const 0)) (global $n2 (mut i32) (i32.const 0))

  (func $alloc (export "hotswap_alloc") (param $size i32) (result i32) (local $start i32) (local $end i32)
    (local.set $start (global.get $next))
    (local.set $end (i32.and (i32.add (i32.add (local.get $start) (local.get $size)) (i32.const 15)) (i32.const -8)))
    (if (i32.gt_u (local.get $end) (i32.mul (memory.size) (i32.const 65536)))
      (then
        (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16)))))
          (then (return (i32.const 0))))))
    (global.set $next (local.get $end))
    (global.set $live (i32.add (global.get $live) (i32.const 1)))
    (local.get $start))

  (func (export "hotswap_free") (param $start i32) (param $size i32)
    (global.set $frees (i32.add (global.get $frees) (i32.const 1)))
    (global.set $p1 (global.get $p2)) (global.set $n1 (global.get $n2))
    (global.set $p2 (local.get $start)) (global.set $n2 (local.get $size))
    (global.set $live (i32.sub (global.get $live) (i32.const 1)))
    (if (i32.eqz (global.get $live)) (then (global.set $next (i32.const 1024)))))

  (func (export "freed") (result i32 i32 i32 i32 i32)
    (global.get $frees) (global.get $p1) (global.get $n1) (global.get $p2) (global.get $n2))

  (func $pack (param $start i32) (param $size i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get $start)) (i64.const 32)) (i64.extend_i32_u (local.get $size))))

  (func (export "echo") (param $in i32) (param $size i32) (result i64) (local $out i32)
    (local.set $out (call $alloc (local.get $size)))
    (if (i32.eqz (local.get $out)) (then unreachable))
    (memory.copy (local.get $out) (local.get $in) (local.get $size))
    (call $pack (local.get $out) (local.get $size)))

  (func (export "twice") (param $in i32) (param $size i32) (result i64) (local $out i32)
    (local.set $out (call $alloc (i32.shl (local.get $size) (i32.const 1))))
    (memory.copy (local.get $out) (local.get $in) (local.get $size))
    (memory.copy (i32.add (local.get $out) (local.get $size)) (local.get $in) (local.get $size))
    (call $pack (local.get $out) (i32.shl (local.get $size) (i32.const 1))))

  (func (export "upper") (param $in i32) (param $size i32) (result i64)
    (local $out i32) (local $i i32) (local $byte i32)
    (local.set $out (call $alloc (local.get $size)))
    (block $done
      (loop $more
        (br_if $done (i32.eq (local.get $i) (local.get $size)))
        (local.set $byte (i32.load8_u (i32.add (local.get $in) (local.get $i))))
        (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
          (then (local.set $byte (i32.sub (local.get $byte) (i32.const 32)))))
        (i32.store8 (i32.add (local.get $out) (local.get $i)) (local.get $byte))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $more)))
    (call $pack (local.get $out) (local.get $size)))

  (func (export "nothing") (param i32 i32) (result i64) (call $pack (call $alloc (i32.const 0)) (i32.const 0)))

  (func (export "reply") (param $in i32) (param i32) (result i64) (i64.load (local.get $in)))

  (func (export "grow") (param $in i32) (param $size i32) (result i64) (local $out i32)
    (local.set $out (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
    (memory.copy (local.get $out) (local.get $in) (local.get $size))
    (call $pack (local.get $out) (local.get $size)))

  (func (export "trap") (param i32 i32) (result i64) unreachable)
  (func (export "loop") (param i32 i32) (result i64) (loop br 0) unreachable)
  (func (export "pages") (result i32) memory.size)
  (func (export "number") (param i32) (result i32) (local.get 0)))"""
"""A bytes plugin that remembers what was freed. `reply` returns the eight bytes of its input as its answer."""


def resources(
    *, timeout_ms: int = LONG_MS, fuel_limit: int = 0, memory_limit_mb: int = 1, max_instances: int = 1, **more: int
) -> PluginManifest:
    """The manifest of plugin `p`, which promises no export."""
    builder = ManifestBuilder("p", "1.0.0").limit("timeout_ms", timeout_ms).limit("fuel_limit", fuel_limit)
    builder.limit("memory_limit_mb", memory_limit_mb).limit("max_instances", max_instances)
    for name, value in more.items():
        builder.limit(name, value)
    return builder.build()


def load(wasm: object, **limits: int) -> WasmCode:
    return WasmRuntime().load(wasm, resources(**limits))


@contextmanager
def nothing_leaks() -> Iterator[None]:
    """Every instance made meanwhile is closed at the end (S8)."""
    before = CENSUS.alive
    yield
    assert CENSUS.alive == before, f"S8: {CENSUS.alive - before} instances more than before"


@contextmanager
def running(wasm: object, *, probe: bool = False, **limits: int) -> Iterator[WasmInstance]:
    """One instance of a module under these limits."""
    with nothing_leaks():
        instance = load(wasm, **limits).instantiate(probe=probe)
        try:
            yield instance
        finally:
            instance.close()


_CHILD: Final = """
import importlib, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
print(getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(*sys.argv[3:]), end="[survived]")
"""


def alone(function: Callable[..., object], *args: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a function of a test module in a process of its own, because it may kill it."""
    here = str(Path(__file__).parent)
    return subprocess.run(
        [sys.executable, "-c", _CHILD, function.__module__, function.__name__, *args],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), here])},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def survive(function: Callable[..., object], *args: str, timeout: float = 60) -> str:
    """What the function returned, as text; fails if its process did."""
    child = alone(function, *args, timeout=timeout)
    assert child.returncode == 0, f"exit {child.returncode}: {child.stdout[-1000:]}\n{child.stderr[-3000:]}"
    output, end, _ = child.stdout.partition("[survived]")
    assert end, f"the process ended before the function did: {child.stdout[-1000:]}\n{child.stderr[-3000:]}"
    return output


def in_a_fork(work: Callable[[], object]) -> str:
    """What comes of it in a forked child: the name of the error and its message."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = repr(work())
        except BaseException as error:  # noqa: BLE001  told to the parent
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return answer
