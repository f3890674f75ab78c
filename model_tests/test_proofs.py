"""S1, S3 to S7, and of S2 that EXCLUSIVE runs one version at a time, are proved for any number of everything.

CrossHair must confirm every postcondition of every contract in `proofs/`. Whatever else it says, or if it says
nothing, is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import FunctionType, ModuleType
from typing import Any

import pytest

from proofs import (
    admission,
    admission_claims,
    admission_operator,
    admission_steps,
    broken,
    upgrade,
    upgrade_claims,
    upgrade_ends,
    upgrade_steps,
)
from proofs._check import CONFIRMED, Verdict, objections
from proofs._contracts import INVARIANT, functions, lines
from proofs._process import output, verdicts_on
from proofs._weaker import conjuncts

STEPS = (upgrade_ends, admission_steps, upgrade_steps, admission_operator)
CLAIMS = (upgrade_claims, admission_claims)
LEVELS = {
    upgrade: (upgrade_claims, upgrade_ends, upgrade_steps),
    admission: (admission_claims, admission_steps, admission_operator),
}
PROOFS = [(module, function) for module in STEPS + CLAIMS for function in functions(module).values()]
TWINS = {
    **dict.fromkeys(functions(broken), "POST_FAIL"),
    "cannot_be_decided": "CANNOT_CONFIRM",
    "can_never_be_done": "PRE_UNSAT",
    "has_no_postcondition": "there is no postcondition",
    "raises": "EXEC_ERR",
}
SECONDS = "60"  # for one postcondition; the slowest needs 2
SECONDS_OF_A_TWIN = "3"  # one of them is never decided
PROCESSES = 2

Verdicts = dict[str, list[Verdict]]


def run(module: ModuleType) -> Verdicts:
    """CrossHair's verdicts on a module, by function."""
    return verdicts_on(module, SECONDS_OF_A_TWIN if module is broken else SECONDS)


def weaken(level: ModuleType) -> dict[str, list[str]]:
    """What is objected to the proofs without a conjunct of a level's invariant, by conjunct."""
    found = output("_weaker", level.__name__, *(module.__name__ for module in LEVELS[level]))
    return {name: objections for name, _, objections in found}


@pytest.fixture(scope="module")
def crosshair() -> Iterator[dict[ModuleType, Future[Any]]]:
    """All runs, begun at once and done a few at a time."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        checks = {module: pool.submit(run, module) for module in (*STEPS, *CLAIMS, broken)}
        yield {**checks, **{level: pool.submit(weaken, level) for level in LEVELS}}
        pool.shutdown(cancel_futures=True)  # those that no chosen test has asked for


def name_of(value: ModuleType | FunctionType) -> str:
    return value.__name__.removeprefix("proofs.")


@pytest.mark.parametrize(("module", "function"), PROOFS, ids=name_of)
def test_confirmed(crosshair: Any, module: ModuleType, function: FunctionType) -> None:
    assert objections(function, crosshair[module].result()[function.__name__]) == []


@pytest.mark.parametrize(("module", "function"), PROOFS, ids=name_of)
def test_a_contract_is_about_the_invariant(module: ModuleType, function: FunctionType) -> None:
    """A step keeps it, and whoever is inside there (S1), or changes nothing; a claim follows from it."""
    before, after = lines(function, "pre"), lines(function, "post")
    if function.__name__ == "start":
        assert INVARIANT not in before
        assert after == ["invariant(_)"]
    elif module in CLAIMS:
        assert (before, after) == ([INVARIANT], ["_"])
    else:
        assert before[0] == INVARIANT
        assert after == ["_ == s"] or (after[0] == "invariant(_)" and re.match(r"(keeps|stay)\(s\b", after[1]))


# The check can fail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("twin", "says"), TWINS.items())
def test_what_is_broken_is_not_confirmed(crosshair: Any, twin: str, says: str) -> None:
    against = objections(functions(broken)[twin], crosshair[broken].result()[twin])
    assert [one for one in against if one.startswith(says)]


@pytest.mark.parametrize(("level", "conjunct"), [(level, one) for level in LEVELS for one in conjuncts(level)])
def test_no_conjunct_of_an_invariant_is_decoration(crosshair: Any, level: ModuleType, conjunct: str) -> None:
    """Without it CrossHair finds a counterexample to some contract."""
    assert [one for one in crosshair[level].result()[conjunct] if one.startswith("POST_FAIL")]


def test_a_verdict_that_is_missing_counts_against_it() -> None:
    fail, good = functions(upgrade_steps)["fail"], Verdict(CONFIRMED, "")
    assert objections(fail, [good] * 3) == []
    assert objections(fail, [good] * 2) == ["2 verdicts on 3 postconditions"]
    assert objections(fail, []) == ["0 verdicts on 3 postconditions"]
    assert objections(fail, [good] * 4) != []


def test_a_run_that_breaks_off_proves_nothing() -> None:
    with pytest.raises(AssertionError, match="ModuleNotFoundError"):
        run(ModuleType("proofs.nothing"))
