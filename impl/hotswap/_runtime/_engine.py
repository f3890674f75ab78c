"""The two engines of a process, metered and unmetered, under one fixed and tested configuration.

wasmtime aborts the process for some settings and for some modules under default settings; `model_tests/
test_engine.py` runs each in a process of its own. So the table below is not for users to change:

- proposals whose values wasmtime-py cannot represent are off, and a module that needs one is rejected;
- reference types stay on, because the engine aborts without them;
- `max_wasm_stack` is a quarter of the smallest thread stack that we accept, so that a runaway recursion traps
  before it reaches the guard page;
- compilation is serial: it leaves the other cores to the calls, and a process that forks is not left with
  a pool of compiler threads that exist in the parent only.
"""

from __future__ import annotations

import threading

import wasmtime

MAX_WASM_STACK = 256 * 1024
MIN_THREAD_STACK = 1024 * 1024

_OFF = (
    "wasm_simd",
    "wasm_relaxed_simd",
    "wasm_gc",
    "wasm_function_references",
    "wasm_exceptions",
    "wasm_threads",
    "wasm_memory64",
    "wasm_multi_memory",
    "wasm_component_model",
    "wasm_tail_call",
    "wasm_wide_arithmetic",
    "wasm_custom_page_sizes",
    "wasm_stack_switching",
    "parallel_compilation",
)

_lock = threading.Lock()
_engines: dict[bool, wasmtime.Engine] = {}
_made: tuple[wasmtime.Engine, ...] = ()


def engine(metered: bool) -> wasmtime.Engine:
    """The process's engine with (`metered`) or without fuel; made once each, and never closed."""
    global _made
    with _lock:
        if metered not in _engines:
            _engines[metered] = _make(metered)
            _made = tuple(_engines.values())
        return _engines[metered]


def engines() -> tuple[wasmtime.Engine, ...]:
    """Those made so far. Takes no lock: the ticker must never wait for one."""
    return _made


def settings(metered: bool) -> dict[str, bool | int]:
    """All that is set of an engine: compiled code is good for one with the same settings."""
    return {
        **dict.fromkeys(_OFF, False),
        "wasm_reference_types": True,
        "epoch_interruption": True,
        "consume_fuel": metered,
        "max_wasm_stack": MAX_WASM_STACK,
    }


def _make(metered: bool) -> wasmtime.Engine:
    config = wasmtime.Config()
    for setting, value in settings(metered).items():
        setattr(config, setting, value)
    return wasmtime.Engine(config)
