"""Runs CrossHair with the invariant weakened by each of its conjuncts: `python -m proofs._weaker LEVEL MODULE...`.

Each must be missed by some contract of the modules, which are tried in order until one is refuted. Prints the
conjunct, that contract and what is objected, and nothing for a conjunct that nobody misses.
"""

from __future__ import annotations

import importlib
import json
import sys
from types import FunctionType, ModuleType
from unittest import mock

from proofs._check import objections, verdicts
from proofs._contracts import functions

SECONDS = 20


def conjuncts(level: ModuleType) -> tuple[str, ...]:
    """The functions that a level's invariant calls."""
    return tuple(functions(level)["invariant"].__code__.co_names)


def nothing(_: object) -> bool:
    """What is left of a conjunct that is taken out."""
    return True


def main(level: str, *modules: str) -> None:
    there = importlib.import_module(level)
    contracts = [one for name in modules for one in functions(importlib.import_module(name)).values()]
    for name in conjuncts(there):
        with mock.patch.object(there, name, nothing):
            if missed := missing(contracts):
                sys.stdout.write(f"{json.dumps([name, *missed])}\n")


def missing(contracts: list[FunctionType]) -> tuple[str, list[str]] | None:
    for function in contracts:
        if against := objections(function, verdicts(function, SECONDS)):
            return function.__name__, against
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
