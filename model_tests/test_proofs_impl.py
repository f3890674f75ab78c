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
from proofs import impl_asks, impl_compat, impl_limits, impl_protocol, impl_real, impl_twins
from proofs._check import Verdict, objections
from proofs._contracts import functions, lines
from proofs._process import output, verdicts_on
from proofs.impl_asks import ANYBODY, LOST, OWNER, REFUSALS, TIMEOUTS, Ask, differences
from proofs.impl_cases import Case, every_case
from proofs.impl_twins import Twin
from proofs.upgrade import Place

MODULES = (impl_protocol, impl_compat, impl_limits, impl_real)
SLOW = {"who_has_lost_it_asks", "goes_on", "functions_follow", "permission_takes_nothing_away"}
LONGEST = "anybody_asks"
SECONDS = "250"  # for one postcondition; the slowest needs 20
PROCESSES = 2
TABLES: dict[str, dict[str, Ask]] = {
    "anybody_asks": ANYBODY,
    "who_has_lost_it_asks": LOST,
    "the_owner_asks": OWNER,
    "the_drain_timeout_passes": TIMEOUTS,
}


def contracts(module: ModuleType) -> dict[str, FunctionType]:
    """Without the functions that have none and only help; none may have half a contract."""
    there = functions(module)
    assert all(lines(one, "post") for one in there.values() if lines(one, "pre"))
    return {name: one for name, one in there.items() if lines(one, "post")}


PROOFS = [
    pytest.param(module, one, marks=[pytest.mark.slow] * (name in SLOW), id=name)
    for module in MODULES
    for name, one in contracts(module).items()
]
EDITS = {
    impl_protocol: ("PROTOCOL", impl_twins.PROTOCOL),
    impl_compat: ("COMPAT", impl_twins.COMPAT),
    impl_limits: ("LIMITS", impl_twins.LIMITS),
}


class Runs:
    """CrossHair's runs: the quick ones begin when the first is asked for, the others each by itself."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._begun: dict[str, Future[dict[str, list[Verdict]]]] = {}

    def of(self, module: ModuleType, name: str) -> list[Verdict]:
        if not self._begun:
            for one in MODULES:
                quick = contracts(one).keys() - SLOW - {LONGEST}
                for names in [{LONGEST} & contracts(one).keys(), quick]:
                    self._begin(one, *names)
        if name not in self._begun:
            self._begin(module, name)
        return self._begun[name].result()[name]

    def _begin(self, module: ModuleType, *names: str) -> None:
        """In one process, since it takes a second to begin."""
        if names:
            self._begun.update(dict.fromkeys(names, self._pool.submit(verdicts_on, module, SECONDS, *names)))


@pytest.fixture(scope="module")
def crosshair() -> Iterator[Runs]:
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield Runs(pool)
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("module", "function"), PROOFS)
def test_confirmed(crosshair: Runs, module: ModuleType, function: FunctionType) -> None:
    assert objections(function, crosshair.of(module, function.__name__)) == []


def refuted(module: ModuleType, *names: str) -> dict[str, list[str]]:
    """What CrossHair objects to the contracts while the production is edited, by the edit's name."""
    table, _ = EDITS[module]
    return {name: against for _, name, against in output("_twins", "60", module.__name__, table, *names)}


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (impl_protocol, ("interrupts and detaches",)),
        (impl_compat, ("ignores the permission to go back", "takes no fuel for no fuel", "counts tables only")),
        (impl_limits, ("wraps the largest", "lets one too many in", "asks too late", "reads one byte beyond")),
    ],
)
def test_an_edit_to_the_production_is_refuted(module: ModuleType, names: tuple[str, ...]) -> None:
    found = refuted(module, *names)
    assert {name for name, against in found.items() if against[0].startswith("POST_FAIL")} == set(names)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("module", EDITS)
def test_every_edit_to_the_production_is_refuted(module: ModuleType) -> None:
    found = refuted(module)
    assert len(found) == sum(map(len, EDITS[module][1].values()))
    assert [name for name, against in found.items() if not against or "CANNOT_CONFIRM" in against[0]] == []


@pytest.mark.parametrize("module", EDITS)
def test_every_contract_has_an_edit_that_it_must_notice(module: ModuleType) -> None:
    assert EDITS[module][1].keys() == contracts(module).keys()


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
    for table in (ANYBODY, LOST, OWNER):
        for name, ask in table.items():
            said = {ask.says(case.state)[0] for case in cases() if ask.when(case.state)}
            answers.setdefault(name, set()).update(one not in REFUSALS for one in said)
    always = {name for name, one in answers.items() if one == {True}}
    never = {name for name, one in answers.items() if one == {False}}
    assert all(answers.values())
    assert never == LOST.keys() - {"finish what is another's"}
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
