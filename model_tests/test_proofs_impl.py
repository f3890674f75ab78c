"""The production's own rules are proved: its protocol answers as the specification does, its numbers fit.

As in `test_proofs.py`, CrossHair must confirm every postcondition of every contract. What stands between pre and post
is production code as it is imported; edits to it must be refuted.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

import pytest

from hotswap._protocol import HotReloadProtocol
from proofs import impl_asks, impl_protocol, impl_real, impl_twins
from proofs._check import objections
from proofs._contracts import functions, lines
from proofs._process import verdicts_on
from proofs.impl_asks import ANYBODY, OWNER, REFUSALS, TIMEOUTS, Ask, differences
from proofs.impl_cases import Case, every_case
from proofs.impl_twins import Twin
from proofs.upgrade import Place

MODULES = (impl_protocol, impl_real)
PROOFS = [
    (module, function) for module in MODULES for function in functions(module).values() if lines(function, "post")
]
SECONDS = "100"  # for one postcondition; the slowest needs 15
PROCESSES = 2
TABLES: dict[str, dict[str, Ask]] = {
    "anybody_asks": ANYBODY,
    "the_owner_asks": OWNER,
    "the_drain_timeout_passes": TIMEOUTS,
}


@pytest.fixture(scope="module")
def crosshair() -> Iterator[dict[ModuleType, Future[Any]]]:
    """All runs, begun at once and done a few at a time."""
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield {module: pool.submit(verdicts_on, module, SECONDS) for module in MODULES}
        pool.shutdown(cancel_futures=True)


def name_of(value: ModuleType | FunctionType) -> str:
    return value.__name__.removeprefix("proofs.")


@pytest.mark.parametrize(("module", "function"), PROOFS, ids=name_of)
def test_confirmed(crosshair: Any, module: ModuleType, function: FunctionType) -> None:
    assert objections(function, crosshair[module].result()[function.__name__]) == []


# The protocol, once more without a prover: every case, with a few numbers. ------------------------------------


@cache
def cases() -> list[Case]:
    return list(every_case())


def test_there_are_as_many_cases_as_were_counted() -> None:
    """A prover that followed fewer would have been told of fewer; the numbers are not among them."""
    fixed = {
        (s.place, s.exclusive, s.closed, s.current, s.old, s.new, s.at if alive else None, s.inside)
        for s, alive in cases()
    }
    assert len(fixed) == 96


@pytest.mark.parametrize("contract", TABLES)
def test_every_case_is_answered_as_the_specification_does(contract: str) -> None:
    """Enumerated: the same comparison that CrossHair makes, and so the twins below need no prover."""
    assert wrong(contract) == []


def wrong(contract: str, *, all_: bool = True) -> list[str]:
    found = list[str]()
    for case in cases():
        if contract != "the_drain_timeout_passes" or case.state.place == Place.DRAINING:
            found += differences(case, TABLES[contract])
            if found and not all_:
                break
    return found


def test_what_is_asked_is_granted_in_some_case_and_refused_in_another() -> None:
    """No contract holds only because nothing is ever asked. Who never refuses or never grants is listed."""
    answers: dict[str, set[bool]] = {}
    for table in (ANYBODY, OWNER):
        for name, ask in table.items():
            said = {ask.says(case.state)[0] for case in cases() if ask.when(case.state)}
            answers.setdefault(name, set()).update(one not in REFUSALS for one in said)
    always = {name for name, one in answers.items() if one == {True}}
    never = {name for name, one in answers.items() if one == {False}}
    assert all(answers.values())
    assert never == {name for name in ANYBODY if name.endswith((" when closed", "what is lost"))}
    steps = {"offer", "offer it", "confirm", "fail", "overlap", "exclude", "publish", "drain", "commit"}
    assert always == (steps - ANYBODY.keys()) | {"close", "finish", "finish what is another's"}


def test_there_is_a_contract_for_all_that_decides() -> None:
    public = {name for name in vars(HotReloadProtocol) if not name.startswith("_")}
    lambdas = [ask.does for table in TABLES.values() for ask in table.values()]
    asking = [one for one in [*lambdas, *functions(impl_asks).values()] if isinstance(one, FunctionType)]
    called = {name for one in asking for name in one.__code__.co_names}
    assert public - called == {"abandon"}  # nobody is inside a plugin that is dropped


def twins(table: dict[str, dict[str, Twin]]) -> list[Any]:
    return [pytest.param(contract, one, id=name) for contract, all_ in table.items() for name, one in all_.items()]


@pytest.mark.parametrize(("contract", "twin"), twins(impl_twins.PROTOCOL))
def test_an_edit_to_the_protocol_is_noticed_in_some_case(contract: str, twin: Twin) -> None:
    with twin.instead():
        assert wrong(contract, all_=False) != []
