"""What the prover does not reach of the production's rules: any number of functions, TOML's limits, whole tables.

The walk over names is compared with an oracle of sets; finite tables are enumerated.
"""

from __future__ import annotations

import inspect
import sys
from fractions import Fraction
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap import Cutover, HotReloadablePlugin, ManifestBuilder, ManifestError, OnDrainTimeout
from hotswap._compat import ModuleFacts, module_problems, upgrade_problems
from hotswap._runtime import _values
from hotswap._signature import Signature
from hotswap._state import seconds_of
from worlds import FakeWorld, manifest

SIGNATURES = st.sampled_from([Signature((), ()), Signature(("i32",), ("i32",)), Signature(("i64",), ())])
FUNCTIONS = st.dictionaries(st.sampled_from("abcdefgh"), SIGNATURES)
VERSIONS = st.sampled_from(["0.9.9", "1.0.0-rc.1", "1.0.0-rc.2", "1.0.0", "1.0.0+b", "1.0.1", "1.10.0", "2.0.0"])
RANKS = {"0.9.9": 0, "1.0.0-rc.1": 1, "1.0.0-rc.2": 2, "1.0.0": 3, "1.0.0+b": 3, "1.0.1": 4, "1.10.0": 5, "2.0.0": 6}
FLAGS = st.booleans()
TABLES = st.lists(st.sampled_from("tuvw"), unique=True)
ASKED: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "can_read_table": TABLES,
        "can_call_plugin": TABLES,
        "timeout_ms": st.integers(1, 4) | st.integers(1, 60_000),
        "fuel_limit": st.integers(0, 3) | st.integers(0, 2**63 - 1),
    }
)


def subject(problem: str) -> str:
    return problem.partition(":")[0].removeprefix("function ").strip("'")


def asking(builder: ManifestBuilder, asked: dict[str, Any]) -> ManifestBuilder:
    for key, value in asked.items():
        if key.startswith("can_"):
            builder.capability(key, value)
        else:
            builder.limit(key, value)
    return builder


@given(st.data())
def test_problems_of_an_upgrade_are_those_of_the_oracle(data: st.DataObject) -> None:
    """Each once, whatever else there is; and so adding exports, or naming fewer, never makes one more."""
    old, new = data.draw(FUNCTIONS), data.draw(FUNCTIONS)
    named = data.draw(st.sets(st.sampled_from(sorted(old)))) if old else set()
    was, now = data.draw(VERSIONS), data.draw(VERSIONS)
    name, digest = data.draw(st.sampled_from(["p", "q"])), data.draw(st.sampled_from(["aa", "bb"]))
    downgrade, rebuild, escalation = data.draw(FLAGS), data.draw(FLAGS), data.draw(FLAGS)
    had, asked = data.draw(ASKED), data.draw(ASKED)
    before = ManifestBuilder("p", was)
    for one in named:
        before.export(one)
    found = upgrade_problems(
        (asking(before, had).build(), ModuleFacts("aa", old)),
        (asking(ManifestBuilder(name, now), asked).build(), ModuleFacts(digest, new)),
        allow_downgrade=downgrade,
        allow_rebuild=rebuild,
        allow_escalation=escalation,
    )
    kept = {one for one, signature in old.items() if (one, signature) in new.items()}
    older = RANKS[now] < RANKS[was] and not downgrade
    rebuilt = RANKS[now] == RANKS[was] and digest != "aa" and not rebuild
    others = {"plugin name": name != "p", "version": older or rebuilt}
    if not escalation:
        others |= {
            f"[capabilities] {one}": not set(asked[one]) <= set(had[one])
            for one in ("can_read_table", "can_call_plugin")
        }
        others["[resources] timeout_ms"] = asked["timeout_ms"] > had["timeout_ms"]
        others["[resources] fuel_limit"] = (asked["fuel_limit"] or inf) > (had["fuel_limit"] or inf)
    assert sorted(map(subject, found)) == sorted([*(named - kept), *(one for one, wrong in others.items() if wrong)])


@given(FUNCTIONS, st.dictionaries(st.sampled_from("abcdefgh"), st.none() | SIGNATURES))
def test_problems_of_a_module_are_those_of_the_oracle(
    exported: dict[str, Signature], named: dict[str, Signature | None]
) -> None:
    builder = ManifestBuilder("p", "1.0.0")
    for name, declared in named.items():
        builder.export(name, str(declared) if declared else None)
    found = module_problems(builder.build(), ModuleFacts("aa", exported))
    kept = {name for name, declared in named.items() if name in exported and declared in (None, exported[name])}
    assert sorted(map(subject, found)) == sorted(named.keys() - kept)


RANGES = {
    "memory_limit_mb": (1, 1024),
    "fuel_limit": (0, 2**63 - 1),
    "timeout_ms": (1, 60_000),
    "max_instances": (1, 1024),
    "max_module_kb": (1, 65_536),
    "max_functions": (1, 200_000),
}


@pytest.mark.parametrize("limit", RANGES)
@given(data=st.data())
def test_a_limit_is_taken_exactly_if_it_is_in_its_range(limit: str, data: st.DataObject) -> None:
    low, high = RANGES[limit]
    edges = [low - 1, low, high, high + 1, 2**31, 2**32, 2**63, 2**64, -1, -(2**63)]
    value = data.draw(st.sampled_from(edges) | st.integers())
    builder = ManifestBuilder("p", "1.0.0").limit(limit, value)
    if low <= value <= high:
        assert getattr(builder.build().resources, limit) == value
    else:
        with pytest.raises(ManifestError, match=limit):
            builder.build()


def test_every_timeout_in_milliseconds_is_that_many_and_told_so() -> None:
    """In binary fractions, so not to the last bit: to a part in 2**52, and the message shows the number again."""
    for ms in range(1, 60_001):
        seconds = ms / 1000
        assert abs(Fraction(seconds) - Fraction(ms, 1000)) <= Fraction(ms, 1000) / 2**52
        assert f"{seconds * 1000:.0f}" == str(ms)


def test_the_proved_ranges_are_those_of_the_types() -> None:
    """The proof is about `_integer(32)` and `_integer(64)`: the table has these."""
    for kind, bits in (("i32", 32), ("i64", 64)):
        convert = _values.CONVERTERS[kind]
        assert convert.__qualname__ == "_integer.<locals>.convert"
        assert inspect.getclosurevars(convert).nonlocals["bits"] == bits


class Index(int):
    """An int of another class goes the longer way."""


@given(st.integers() | st.integers(-(2**31) - 2, -(2**31) + 2) | st.integers(2**31 - 2, 2**31 + 2))
def test_an_int_of_another_class_is_held_to_the_same_range(value: int) -> None:
    convert = _values.CONVERTERS["i32"]
    if -(2**31) <= value < 2**31:
        assert type(convert(Index(value))) is int
        assert convert(Index(value)) == convert(value) == value
    else:
        for one in (value, Index(value)):
            with pytest.raises(ValueError, match="signed 32-bit"):
                convert(one)


@pytest.mark.parametrize("value", [10**400, float("inf"), float("nan"), -1, -0.5, True, "1", None])
def test_seconds_that_are_none_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="drain_timeout: expected seconds, finite and not negative"):
        seconds_of("drain_timeout", value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, 0.0, 5, 0.25, 10**15, sys.float_info.max])
def test_seconds_are_taken_as_they_are(value: float) -> None:
    assert seconds_of("drain_timeout", value) == value


def test_exclusive_is_never_told_to_detach() -> None:
    """What the proofs of the drain timeout take for granted."""
    world = FakeWorld()
    for cutover in Cutover:
        for policy in OnDrainTimeout:
            options = {"cutover": cutover, "on_drain_timeout": policy, "ports": world.ports}
            if (cutover, policy) == (Cutover.EXCLUSIVE, OnDrainTimeout.DETACH):
                with pytest.raises(ValueError, match="EXCLUSIVE with DETACH"):
                    HotReloadablePlugin("p", world.module(1), manifest(1), **options)  # type: ignore[arg-type]
            else:
                HotReloadablePlugin("p", world.module(1), manifest(1), **options).close()  # type: ignore[arg-type]
