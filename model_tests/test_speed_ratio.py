"""A guard against a call path that has become slow: ratios to wasmtime-py's own call, taken in one run.

The bounds are far below what a quiet machine shows (docs/benchmarks.md), so that a loaded one passes: what they notice
is a call that takes a lock, waits, or has lost its fast path. `make bench` has the figures.
"""

from __future__ import annotations

from typing import Final

import pytest

from measuring import in_a_process

FASTER_THAN_BARE_MIN: Final = {"i32 add, unmetered": 0.6, "i32 add, metered": 0.6, "1 KiB upper-case, unmetered": 0.6}
"""Of a plugin's call, as many times faster than wasmtime-py's; below 1 it is slower."""

HAS_A_FAST_PATH: Final = FASTER_THAN_BARE_MIN["i32 add, unmetered"] > 1


def too_slow(found: dict[str, float]) -> dict[str, float]:
    return {what: found[what] for what, least in FASTER_THAN_BARE_MIN.items() if found[what] < least}


def test_a_call_is_as_fast_as_it_should_be() -> None:
    assert too_slow(in_a_process("ratio.py")) == {}


def test_a_lock_and_a_sleep_are_noticed() -> None:
    assert too_slow(in_a_process("ratio.py", "--broken")).keys() == FASTER_THAN_BARE_MIN.keys()


@pytest.mark.skipif(not HAS_A_FAST_PATH, reason="the bounds do not ask for more than the public call path gives")
def test_a_lost_fast_path_is_noticed() -> None:
    assert "i32 add, unmetered" in too_slow(in_a_process("ratio.py", HOTSWAP_FASTCALL="0"))
