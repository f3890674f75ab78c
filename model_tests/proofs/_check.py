"""Runs CrossHair over contracts and prints its verdicts: `python -m proofs._check SECONDS MODULE [NAME...]`."""

from __future__ import annotations

import importlib
import json
import sys
from types import FunctionType
from typing import NamedTuple

from proofs._contracts import functions, lines

CONFIRMED = "CONFIRMED"


class Verdict(NamedTuple):
    state: str
    message: str


def verdicts(function: FunctionType, seconds: float) -> list[Verdict]:
    """What CrossHair says of each postcondition, given that many seconds for each."""
    from crosshair.core_and_libs import analyze_function, run_checkables
    from crosshair.options import AnalysisKind, AnalysisOptionSet

    options = AnalysisOptionSet(
        analysis_kind=[AnalysisKind.PEP316],
        report_all=True,
        per_condition_timeout=seconds,
        max_iterations=sys.maxsize,
        max_uninteresting_iterations=sys.maxsize,
    )
    return [Verdict(one.state.name, one.message) for one in run_checkables(analyze_function(function, options))]


def objections(function: FunctionType, found: list[Verdict]) -> list[str]:
    """Why a function's contract is not proved; empty if it is. What CrossHair does not say counts against it."""
    expected = len(lines(function, "post"))
    wrong = [f"{one.state}: {one.message}" for one in found if one.state != CONFIRMED]
    if expected == 0:
        wrong.append("there is no postcondition")
    if len(found) != expected:
        wrong.append(f"{len(found)} verdicts on {expected} postconditions")
    return wrong


def main(seconds: str, module: str, *names: str) -> None:
    """Of the functions with those names, or of all."""
    there = functions(importlib.import_module(module))
    for function in [there[name] for name in names or there]:
        found = [function.__name__, verdicts(function, float(seconds))]
        sys.stdout.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
