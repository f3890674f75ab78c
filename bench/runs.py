"""A run of the benches, as pytest-benchmark saved it; and how its figures are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import quartiles, ratios


@dataclass(frozen=True)
class Bench:
    test: str
    group: str
    params: dict[str, Any]
    seconds: list[float]
    facts: dict[str, Any]


class Run:
    """One interpreter's figures."""

    def __init__(self, saved: dict[str, Any]) -> None:
        self.machine, self.commit = saved["machine_info"], saved["commit_info"]
        self.benches = [
            Bench(
                one["name"].split("[")[0].removeprefix("test_"),
                one["group"],
                one["params"] or {},
                one["stats"]["data"],
                one["extra_info"],
            )
            for one in saved["benchmarks"]
        ]
        self.facts: dict[str, Any] = next((one.facts["machine"] for one in self.benches if "machine" in one.facts), {})

    @classmethod
    def read(cls, path: Path) -> Run:
        return cls(json.loads(path.read_text()))

    @property
    def python(self) -> str:
        return str(self.machine["python_version"]) + ("" if self.facts.get("gil", True) else ", free-threaded")

    def of(self, test: str, **params: object) -> list[Bench]:
        return [one for one in self.benches if one.test == test and params.items() <= one.params.items()]

    def one(self, test: str, **params: object) -> Bench:
        """Raises `LookupError`: nothing such was measured, or the contender is missing here."""
        return self.of(test, **params)[0]

    def call(self, name: str, workload: str = "i32 add") -> list[float]:
        return self.one("ladder", name=name, workload=workload).seconds

    def speed_up(self, name: str, body: str, count: int) -> list[float]:
        """How many times the calls of one thread so many threads make."""
        alone, many = (self.one("threads", name=name, body=body, count=each).seconds for each in (1, count))
        return ratios(alone, many)

    def latency(self, name: str, phase: str, which: str) -> float:
        """Of all turns together."""
        return float(self.one("upgrade_under_load", name=name).facts["latencies"][phase][which])

    def p99_ratio(self, name: str) -> list[float]:
        """During to steady, turn by turn."""
        turns = self.one("upgrade_under_load", name=name).facts["turns"]
        return [turn["during"]["p99"] / turn["steady"]["p99"] for turn in turns]


def spread(found: Sequence[float], form: Callable[[float], str]) -> str:
    low, middle, high = quartiles(found)
    return f"{form(middle)} ({form(low)} to {form(high)})"


def times(ratio: float) -> str:
    return f"{ratio:.3g}x" if ratio < 1000 else f"{ratio:,.0f}x"


def seconds(value: float) -> str:
    scale, unit = next(((s, u) for s, u in ((1e-9, "ns"), (1e-6, "us"), (1e-3, "ms")) if value < 999.5 * s), (1, "s"))
    return f"{value / scale:.3g} {unit}"


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
