"""The contracts of a module's functions, read from their docstrings, without the prover's help.

A contract is lines of `pre: condition` and `post: condition` (PEP 316), each on one line. Guards of steps are read
from them too, so that what the prover assumes and what is compared with the specification is one text.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import product
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

INVARIANT = "invariant(s)"


def functions(module: ModuleType) -> dict[str, FunctionType]:
    """The functions that a module defines itself."""
    found = inspect.getmembers(module, inspect.isfunction)
    return {name: function for name, function in found if function.__module__ == module.__name__}


def lines(function: FunctionType, kind: str) -> list[str]:
    """The conditions of one kind, `pre` or `post`, in order."""
    stripped = (line.strip() for line in (function.__doc__ or "").splitlines())
    return [line.removeprefix(f"{kind}:").strip() for line in stripped if line.startswith(f"{kind}:")]


class Way(NamedTuple):
    """One way in which a step can happen: its arguments beside the state, all of them yes or no."""

    name: str
    chosen: dict[str, bool]
    can: Callable[[Any], bool]
    does: Callable[[Any], Any]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in self.chosen.items())})"


def ways(function: FunctionType) -> Iterator[Way]:
    """Every way of a step, `can` being its precondition without the invariant.

    Conditions that do not name the state say which ways there are.
    """
    name, (first, *more) = function.__name__, inspect.signature(function).parameters
    conditions = [compile(line, f"<{name}>", "eval") for line in lines(function, "pre") if line != INVARIANT]
    guards = [one for one in conditions if first in one.co_names]
    others = [one for one in conditions if first not in one.co_names]
    for values in product((False, True), repeat=len(more)):
        chosen = dict(zip(more, values, strict=True))

        def can(s: Any, chosen: dict[str, bool] = chosen) -> bool:
            return all(eval(guard, function.__globals__, {first: s, **chosen}) for guard in guards)

        def does(s: Any, chosen: dict[str, bool] = chosen) -> Any:
            return function(s, **chosen)

        if all(eval(other, function.__globals__, chosen) for other in others):
            yield Way(name, chosen, can, does)
