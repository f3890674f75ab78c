"""A guard against a call path that has become slow: ratios to wasmtime-py's own call, taken in one run.

The bounds are far below what a quiet machine shows (docs/benchmarks.md), so that a loaded one passes: what they notice
is a call that takes a lock, waits, or has lost its fast path. `make bench` has the figures.
"""

from __future__ import annotations

from typing import Final

from measuring import in_a_process

FASTER_THAN_BARE_MIN: Final = {"i32 add, unmetered": 12.0, "i32 add, metered": 10.0, "1 KiB upper-case, unmetered": 5.0}
"""Of a plugin's call, as many times faster than wasmtime-py's; below 1 it is slower."""


def too_slow(found: dict[str, float]) -> dict[str, float]:
    return {what: found[what] for what, least in FASTER_THAN_BARE_MIN.items() if found[what] < least}


def test_a_call_is_as_fast_as_it_should_be() -> None:
    assert too_slow(in_a_process("ratio.py", HOTSWAP_FASTCALL="1")) == {}


def test_a_lock_and_a_sleep_are_noticed() -> None:
    assert too_slow(in_a_process("ratio.py", "--broken")).keys() == FASTER_THAN_BARE_MIN.keys()


def test_a_lost_fast_path_is_noticed() -> None:
    assert too_slow(in_a_process("ratio.py", HOTSWAP_FASTCALL="0")).keys() == FASTER_THAN_BARE_MIN.keys()
