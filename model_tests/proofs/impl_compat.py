"""The production's rules of what may follow what, over version numbers without a bound and some functions.

The rules themselves are called, with real signatures and real semantic versions whose numbers the prover chooses.
`Claim` stands for a manifest, which is a C struct that a prover cannot look into. Any number of functions: Hypothesis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

from semver import Version

from hotswap._compat import ModuleFacts, module_problems, upgrade_problems
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


class Claim(NamedTuple):
    plugin: Metadata
    named: frozenset[str] = frozenset()
    exports: Exports = Exports({})

    def functions_named(self) -> frozenset[str]:
        return self.named


def subjects(problems: list[str]) -> list[str]:
    """What each problem is about: the text begins with it."""
    return [problem.partition(":")[0].removeprefix("function ").strip("'") for problem in problems]


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
    old: Claim, new: Claim, was: ModuleFacts, now: ModuleFacts, *, downgrade: bool = True, rebuild: bool = True
) -> list[str]:
    before, after = (cast(PluginManifest, old), was), (cast(PluginManifest, new), now)
    problems = upgrade_problems(before, after, allow_downgrade=sure(downgrade), allow_rebuild=sure(rebuild))
    return subjects(problems)


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
