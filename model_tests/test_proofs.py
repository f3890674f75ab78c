"""S1, S3, S4, S5, S6 and S7 are proved for any number of callers, upgraders, versions and instances.

CrossHair must confirm every postcondition of every contract in `proofs/`. Whatever else it says, or if it says
nothing, is a failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from proofs import (
    admission_claims,
    admission_operator,
    admission_steps,
    broken,
    upgrade_claims,
    upgrade_ends,
    upgrade_steps,
)
from proofs._check import CONFIRMED, Verdict, objections
from proofs._contracts import INVARIANT, functions, lines

STEPS = (upgrade_ends, admission_steps, upgrade_steps, admission_operator)
CLAIMS = (upgrade_claims, admission_claims)
PROOFS = [(module, function) for module in STEPS + CLAIMS for function in functions(module).values()]
TWINS = {
    **dict.fromkeys(functions(broken).keys() - {"forgetful"}, "POST_FAIL"),
    "cannot_be_decided": "CANNOT_CONFIRM",
    "can_never_be_done": "PRE_UNSAT",
    "has_no_postcondition": "there is no postcondition",
    "raises": "EXEC_ERR",
}
SECONDS = "60"  # for one postcondition; the slowest needs 2
SECONDS_OF_A_TWIN = "3"  # one of them is never decided
SECONDS_OF_A_MODULE = 110
PROCESSES = 2

Verdicts = dict[str, list[Verdict]]


def run(module: ModuleType) -> Verdicts:
    """CrossHair's verdicts on a module, by function, from a process of its own."""
    seconds = SECONDS_OF_A_TWIN if module is broken else SECONDS
    command = [sys.executable, "-m", "proofs._check", seconds, module.__name__]
    here = Path(__file__).parent
    done = subprocess.run(command, capture_output=True, text=True, cwd=here, timeout=SECONDS_OF_A_MODULE)
    assert done.returncode == 0, done.stderr
    found = map(json.loads, done.stdout.splitlines())
    return {name: [Verdict(*one) for one in verdicts] for name, verdicts in found}


@pytest.fixture(scope="module")
def crosshair() -> Iterator[dict[ModuleType, Future[Verdicts]]]:
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield {module: pool.submit(run, module) for module in (*STEPS, *CLAIMS, broken)}


def name_of(value: ModuleType | FunctionType) -> str:
    return value.__name__.removeprefix("proofs.")


@pytest.mark.parametrize(("module", "function"), PROOFS, ids=name_of)
def test_confirmed(crosshair: Any, module: ModuleType, function: FunctionType) -> None:
    assert objections(function, crosshair[module].result()[function.__name__]) == []


@pytest.mark.parametrize(("module", "function"), PROOFS, ids=name_of)
def test_a_contract_is_about_the_invariant(module: ModuleType, function: FunctionType) -> None:
    """A step keeps it, or changes nothing; a claim follows from it; only the start has nothing before it."""
    assert (INVARIANT in lines(function, "pre")) == (function.__name__ != "start")
    assert lines(function, "post")[0] in (["_"] if module in CLAIMS else ["invariant(_)", "_ == s"])


# The check can fail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("twin", "says"), TWINS.items())
def test_what_is_broken_is_not_confirmed(crosshair: Any, twin: str, says: str) -> None:
    against = objections(functions(broken)[twin], crosshair[broken].result()[twin])
    assert [one for one in against if one.startswith(says)]


def test_a_verdict_that_is_missing_counts_against_it() -> None:
    fail, good = functions(upgrade_steps)["fail"], Verdict(CONFIRMED, "")
    assert objections(fail, [good] * 3) == []
    assert objections(fail, [good] * 2) == ["2 verdicts on 3 postconditions"]
    assert objections(fail, []) == ["0 verdicts on 3 postconditions"]
    assert objections(fail, [good] * 4) != []


def test_a_run_that_breaks_off_proves_nothing() -> None:
    with pytest.raises(AssertionError, match="ModuleNotFoundError"):
        run(ModuleType("proofs.nothing"))
