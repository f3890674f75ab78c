"""The production's rules of what may follow what, over version numbers without a bound and some functions.

The rules themselves are called, with real signatures and real semantic versions whose numbers the prover chooses.
`Claim` stands for a manifest, which is a C struct that a prover cannot look into, and `Amount` for a limit, since to
write an unknown number out is to try every number. Any number of functions or names of tables: Hypothesis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from semver import Version

from hotswap._compat import ModuleFacts, Permissions, module_problems, upgrade_problems
from hotswap._manifest import PluginManifest
from hotswap._signature import Signature
from proofs._logic import among, either, from_to, implies, no
from proofs.impl_cases import sure

SAME, OTHER = Signature(("i32",), ("i32",)), Signature((), ())
ABSENT, KEPT, CHANGED = range(3)


class Metadata(NamedTuple):
    name: str
    version: str
    semver: Version


class Exports(NamedTuple):
    signatures: Mapping[str, str]


class Amount(NamedTuple):
    """A limit of any size, which is compared as an int and told without its value."""

    number: int

    def __eq__(self, other: object) -> bool:
        return self.number == (other.number if isinstance(other, Amount) else other)

    def __ne__(self, other: object) -> bool:
        return no(self == other)

    def __gt__(self, other: object) -> bool:
        assert isinstance(other, Amount)
        return self.number > other.number

    def __format__(self, spec: str) -> str:
        return "some"

    def __reduce_ex__(self, protocol: object) -> str:
        """A copy of it is itself: what is to be told is copied by the prover, which would choose a number for that."""
        return "Amount"


ONE = Amount(1)


class Resources(NamedTuple):
    memory_limit_mb: Amount = ONE
    fuel_limit: Amount = ONE
    timeout_ms: Amount = ONE
    max_instances: Amount = ONE
    max_module_kb: Amount = ONE
    max_functions: Amount = ONE


class Capabilities(NamedTuple):
    can_read_table: tuple[str, ...] = ()
    can_write_table: tuple[str, ...] = ()
    can_vector_search: bool = False
    can_index_search: bool = False
    can_call_plugin: tuple[str, ...] = ()


class Claim(NamedTuple):
    plugin: Metadata
    named: frozenset[str] = frozenset()
    exports: Exports = Exports({})
    capabilities: Capabilities = Capabilities()
    resources: Resources = Resources()

    def functions_named(self) -> frozenset[str]:
        return self.named


def subjects(problems: list[str]) -> list[str]:
    """What each problem is about: the text begins with it."""
    heads = [problem.partition(":")[0].removeprefix("function ").strip("'") for problem in problems]
    return [head.removeprefix("[resources] ").removeprefix("[capabilities] ") for head in heads]


class Number(NamedTuple):
    """A version: three numbers, and is it before its release?"""

    major: int
    minor: int
    patch: int
    early: bool


def proper(a: Number) -> bool:
    return (a.major >= 0) & (a.minor >= 0) & (a.patch >= 0)


def less(a: Number, b: Number) -> bool:
    """SemVer's precedence, as far as these numbers go."""
    patch = (a.patch < b.patch) | ((a.patch == b.patch) & a.early & no(b.early))
    minor = (a.minor < b.minor) | ((a.minor == b.minor) & patch)
    return (a.major < b.major) | ((a.major == b.major) & minor)


def listed(**wrong: bool) -> list[str]:
    return [name for name, one in wrong.items() if sure(one)]


def problems_of(a: Number, b: Number, same_bytes: bool, *, downgrade: bool = False, rebuild: bool = False) -> list[str]:
    """What stands against version `b` after `a`, by the subject of each problem."""
    old, new = (
        Claim(Metadata("p", "x", Version(one.major, one.minor, one.patch, "rc.1" if sure(one.early) else None)))
        for one in (a, b)
    )
    digests = ("aa", "aa" if sure(same_bytes) else "bb")
    return told(
        old, new, ModuleFacts(digests[0], {}), ModuleFacts(digests[1], {}), downgrade=downgrade, rebuild=rebuild
    )


def told(
    old: Claim,
    new: Claim,
    was: ModuleFacts,
    now: ModuleFacts,
    *,
    downgrade: bool = True,
    rebuild: bool = True,
    escalation: bool = False,
) -> list[str]:
    before, after = (cast(PluginManifest, old), was), (cast(PluginManifest, new), now)
    allow: Permissions = {
        "allow_downgrade": sure(downgrade),
        "allow_rebuild": sure(rebuild),
        "allow_escalation": sure(escalation),
    }
    return subjects(upgrade_problems(before, after, **allow))


def versions(a: Number, b: Number, same_bytes: bool, downgrade: bool, rebuild: bool) -> list[str]:
    """
    The one problem, or none: exactly if a clause is violated.

    pre: proper(a) & proper(b)
    post: _ == listed(version=no(less(a, b)) & no(either(less(b, a), downgrade, same_bytes | rebuild)))
    """
    return problems_of(a, b, same_bytes, downgrade=downgrade, rebuild=rebuild)


def a_version_follows_itself(a: Number, same_bytes: bool) -> tuple[list[str], list[str]]:
    """
    pre: proper(a)
    post: (_[0] == []) and ((_[1] == []) == same_bytes)
    """
    return problems_of(a, a, same_bytes, rebuild=True), problems_of(a, a, same_bytes)


def who_follows_is_not_followed(a: Number, b: Number) -> bool:
    """
    pre: proper(a) & proper(b)
    post: _ == (less(a, b) | less(b, a))
    """
    return (problems_of(a, b, False) == []) != (problems_of(b, a, False) == [])


def permission_takes_nothing_away(a: Number, b: Number, same_bytes: bool, downgrade: bool, rebuild: bool) -> bool:
    """
    pre: proper(a) & proper(b)
    post: _
    """
    without = problems_of(a, b, same_bytes)
    return without != [] or problems_of(a, b, same_bytes, downgrade=downgrade, rebuild=rebuild) == []


def functions_follow(f_named: bool, f: int, g_named: bool, g: int, still_named: bool) -> list[str]:
    """
    Of two functions that the old module exports: what is named is kept as it was, whatever else comes or goes.

    pre: from_to(f, ABSENT, CHANGED) & from_to(g, ABSENT, CHANGED)
    post: _ == listed(f=f_named & (f != KEPT), g=g_named & (g != KEPT))
    """
    fates = {"f": f, "g": g}
    named = frozenset(name for name, one in (("f", f_named), ("g", g_named)) if sure(one))
    now = {name: SAME if sure(fate == KEPT) else OTHER for name, fate in fates.items() if not sure(fate == ABSENT)}
    was = dict.fromkeys(fates, SAME)
    old = Claim(Metadata("p", "1.0.0", Version(1)), named)
    new = Claim(Metadata("p", "2.0.0", Version(2)), named if sure(still_named) else frozenset())
    return told(old, new, ModuleFacts("aa", was), ModuleFacts("bb", now))


NO_FACTS = ModuleFacts("aa", {})
FIRST, SECOND = Metadata("p", "1.0.0", Version(1)), Metadata("p", "2.0.0", Version(2))


def a_limit_grows(which: int, before: int, after: int, allowed: bool) -> list[str]:
    """
    Of the limits, any one, and the others stay: it may not grow, but for a grant. No fuel means no limit.

    pre: from_to(which, 0, 5) & (before >= 0) & (after >= 0)
    post: _ == chosen(which, Resources._fields, no(allowed) & grows(which == 1, before, after))
    """
    old = Resources(**{name: Amount(before) for at, name in enumerate(Resources._fields) if sure(which == at)})
    new = Resources(**{name: Amount(after) for at, name in enumerate(Resources._fields) if sure(which == at)})
    return told(Claim(FIRST, resources=old), Claim(SECOND, resources=new), NO_FACTS, NO_FACTS, escalation=allowed)


def grows(fuel: bool, before: int, after: int) -> bool:
    return either(fuel, (before != 0) & ((after == 0) | (after > before)), after > before)


def chosen(which: int, names: tuple[str, ...], wrong: bool) -> list[str]:
    return [name for at, name in enumerate(names) if sure(which == at) and sure(wrong)]


NAMED = ("can_read_table", "can_write_table", "can_call_plugin")


def a_capability_grows(which: int, had_t: bool, has_t: bool, had_u: bool, has_u: bool, allowed: bool) -> list[str]:
    """
    Of two tables that a plugin could name under any one key: none may come, either may go.

    pre: from_to(which, 0, 2)
    post: _ == chosen(which, NAMED, no(allowed) & ((has_t & no(had_t)) | (has_u & no(had_u))))
    """
    old, new = naming(which, had_t, had_u), naming(which, has_t, has_u)
    return told(Claim(FIRST, capabilities=old), Claim(SECOND, capabilities=new), NO_FACTS, NO_FACTS, escalation=allowed)


def naming(which: int, t: bool, u: bool) -> Capabilities:
    tables: Any = tuple(listed(t=t, u=u))
    return Capabilities(**{name: tables for at, name in enumerate(NAMED) if sure(which == at)})


def a_search_is_asked_for(vector: bool, vectors: bool, index: bool, indexes: bool, allowed: bool) -> list[str]:
    """
    Each of the two capabilities that are yes or no, before and after.

    post: _ == listed(can_vector_search=no(allowed | vector) & vectors, can_index_search=no(allowed | index) & indexes)
    """
    old, new = (
        Capabilities(can_vector_search=sure(one), can_index_search=sure(other))
        for one, other in ((vector, index), (vectors, indexes))
    )
    return told(Claim(FIRST, capabilities=old), Claim(SECOND, capabilities=new), NO_FACTS, NO_FACTS, escalation=allowed)


def promises(named: bool, declared: int, exported: int, init: int) -> list[str]:
    """
    A function that the manifest names, and may declare; and one that is ours, and may be there.

    pre: from_to(declared, ABSENT, CHANGED) & from_to(exported, ABSENT, CHANGED) & from_to(init, ABSENT, CHANGED)
    pre: implies(declared != ABSENT, named)
    post: _ == listed(f=broken(named, declared, exported), hotswap_init=init == CHANGED)
    """
    texts = {"f": str(SAME if sure(declared == KEPT) else OTHER)} if not sure(declared == ABSENT) else {}
    there = {"f": SAME if sure(exported == KEPT) else OTHER} if not sure(exported == ABSENT) else {}
    if not sure(init == ABSENT):
        there["hotswap_init"] = Signature((), ("i32",)) if sure(init == KEPT) else OTHER
    claim = Claim(Metadata("p", "1.0.0", Version(1)), frozenset({"f"} if sure(named) else ()), Exports(texts))
    problems = module_problems(cast(PluginManifest, claim), ModuleFacts("aa", there))
    return subjects(problems)


def broken(named: bool, declared: int, exported: int) -> bool:
    return either(exported == ABSENT, named, no(among(declared, ABSENT, exported)))
