"""The rules for a module and for an upgrade: each problem alone, and that nothing else is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import pytest

from hotswap._compat import ModuleFacts, escalations, module_problems, require, upgrade_problems
from hotswap._errors import IncompatibleUpgrade
from hotswap._manifest import Capabilities, ManifestBuilder, PluginManifest, ResourceLimits
from hotswap._signature import Signature

RATE = {"rate": "(i32) -> i32"}


def facts(functions: Mapping[str, str] = RATE, digest: str = "aa") -> ModuleFacts:
    return ModuleFacts(digest, {name: Signature.parse(text) for name, text in functions.items()})


def manifest(version: str = "1.1.0", *, name: str = "tax", exports: tuple[str, ...] = ("rate",)) -> PluginManifest:
    builder = ManifestBuilder(name, version)
    for function in exports:
        builder.export(function)
    return builder.build()


def problems_of_upgrade(
    new: PluginManifest,
    new_facts: ModuleFacts | None = None,
    *,
    allow_downgrade: bool = False,
    allow_rebuild: bool = False,
    allow_escalation: bool = False,
) -> list[str]:
    """From version 1.1.0, which exports `rate` and, without naming it, `helper`."""
    old = manifest(), facts(RATE | {"helper": "() -> ()"})
    new_facts = new_facts or facts(digest="bb")
    return upgrade_problems(
        old,
        (new, new_facts),
        allow_downgrade=allow_downgrade,
        allow_rebuild=allow_rebuild,
        allow_escalation=allow_escalation,
    )


# The module and its manifest ------------------------------------------------------------------------------


def test_a_module_that_keeps_every_promise_has_no_problem() -> None:
    ours = {
        "hotswap_init": "() -> i32",
        "hotswap_probe": "() -> i32",
        "hotswap_alloc": "(i32) -> i32",
        "hotswap_free": "(i32, i32) -> ()",
    }
    built = ManifestBuilder("tax", "1.0.0").export("rate", "(i32)->i32").export("log").hook("after_insert", "log")
    assert module_problems(built.build(), facts(RATE | {"log": "() -> ()"} | ours)) == []


def test_a_named_function_must_be_exported() -> None:
    (problem,) = module_problems(manifest(exports=("rate", "refund")), facts())
    assert problem.startswith("function 'refund': expected it among the module's exports, found rate; ")


def test_a_module_without_exports_is_described_as_such() -> None:
    (problem,) = module_problems(manifest(), facts({}))
    assert "found none" in problem


def test_a_declared_signature_must_be_the_modules() -> None:
    declared = ManifestBuilder("tax", "1.0.0").export("rate", "(i64) -> i32").build()
    (problem,) = module_problems(declared, facts())
    assert problem.startswith(
        "function 'rate': expected (i64) -> i32, as the manifest declares, found (i32) -> i32; change the "
    )


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        ("hotswap_init", "() -> i32"),
        ("hotswap_probe", "() -> i32"),
        ("hotswap_alloc", "(i32) -> i32"),
        ("hotswap_free", "(i32, i32) -> ()"),
    ],
)
def test_an_export_of_ours_must_have_our_signature(ours: str, expected: str) -> None:
    (problem,) = module_problems(manifest(), facts(RATE | {ours: "(i64) -> i64"}))
    assert problem.startswith(
        f"function '{ours}': expected {expected}, as hotswap calls it, found (i64) -> i64; change the module"
    )


def test_all_problems_of_a_module_are_told_at_once() -> None:
    declared = ManifestBuilder("tax", "1.0.0").export("rate", "() -> ()").export("b").export("a").build()
    problems = module_problems(declared, facts(RATE | {"hotswap_init": "() -> ()"}))
    assert [problem.partition(":")[0] for problem in problems] == [
        "function 'a'",
        "function 'b'",
        "function 'rate'",
        "function 'hotswap_init'",
    ]


# The upgrade ----------------------------------------------------------------------------------------------


def test_a_newer_version_that_keeps_what_was_named_may_follow() -> None:
    added = facts(RATE | {"refund": "() -> ()"}, "bb")
    assert problems_of_upgrade(manifest("1.2.0", exports=("rate", "refund")), added) == []


def test_a_function_that_no_manifest_named_may_change_or_go() -> None:
    assert problems_of_upgrade(manifest("1.2.0")) == []
    assert problems_of_upgrade(manifest("1.2.0"), facts(RATE | {"helper": "(i32) -> ()"}, "bb")) == []


def test_a_function_may_leave_the_manifest_while_the_module_keeps_it() -> None:
    assert problems_of_upgrade(manifest("1.2.0", exports=())) == []


def test_the_plugin_keeps_its_name() -> None:
    (problem,) = problems_of_upgrade(manifest("1.2.0", name="toll"))
    assert problem.startswith("plugin name: expected 'tax', found 'toll'; ")


def test_a_named_function_may_not_disappear() -> None:
    (problem,) = problems_of_upgrade(manifest("1.2.0", exports=()), facts({}, "bb"))
    assert problem.startswith("function 'rate': expected (i32) -> i32, as in version 1.1.0, found no such export; ")


def test_a_named_function_keeps_its_real_signature() -> None:
    (problem,) = problems_of_upgrade(manifest("1.2.0"), facts({"rate": "(i32, i32) -> i32"}, "bb"))
    assert "expected (i32) -> i32, as in version 1.1.0, found (i32, i32) -> i32; " in problem


@pytest.mark.parametrize("older", ["1.0.9", "1.1.0-rc.1", "0.9.0"])
def test_an_older_version_must_be_asked_for(older: str) -> None:
    (problem,) = problems_of_upgrade(manifest(older), allow_rebuild=True)
    assert problem.startswith(f"version: expected 1.1.0 or newer, found {older}; ")
    assert "allow_downgrade=True" in problem
    assert problems_of_upgrade(manifest(older), allow_downgrade=True) == []


@pytest.mark.parametrize("newer", ["1.1.1", "1.2.0-alpha", "1.10.0", "2.0.0"])
def test_a_newer_version_needs_no_permission(newer: str) -> None:
    assert problems_of_upgrade(manifest(newer)) == []


@pytest.mark.parametrize("same", ["1.1.0", "1.1.0+build.2"])
def test_the_same_version_with_other_bytes_must_be_asked_for(same: str) -> None:
    (problem,) = problems_of_upgrade(manifest(same), allow_downgrade=True)
    assert problem.startswith("version: expected the bytes of 1.1.0 (SHA-256 aa), found others (bb); ")
    assert "allow_rebuild=True" in problem
    assert problems_of_upgrade(manifest(same), allow_rebuild=True) == []


def test_the_same_version_with_the_same_bytes_may_follow() -> None:
    assert problems_of_upgrade(manifest("1.1.0+other"), facts(digest="aa")) == []


def test_all_problems_of_an_upgrade_are_told_at_once() -> None:
    problems = problems_of_upgrade(manifest("1.0.0", name="toll", exports=()), facts({}, "bb"))
    assert [problem.partition(":")[0] for problem in problems] == ["plugin name", "function 'rate'", "version"]


# What it may have -----------------------------------------------------------------------------------------

Change = Callable[[ManifestBuilder], ManifestBuilder]
MORE: list[tuple[Change, str]] = [
    (
        lambda builder: builder.capability("can_read_table", ["rates", "users"]),
        "[capabilities] can_read_table: expected no more than 'rates', as in version 1.1.0, found also 'users'; ",
    ),
    (
        lambda builder: builder.capability("can_write_table", ["rates"]),
        "[capabilities] can_write_table: expected no more than nothing, as in version 1.1.0, found also 'rates'; ",
    ),
    (
        lambda builder: builder.capability("can_call_plugin", ["a", "b"]),
        "[capabilities] can_call_plugin: expected no more than nothing, as in version 1.1.0, found also 'a', 'b'; ",
    ),
    (
        lambda builder: builder.capability("can_vector_search", True),
        "[capabilities] can_vector_search: expected false, as in version 1.1.0, found true; ",
    ),
    (
        lambda builder: builder.capability("can_index_search", True),
        "[capabilities] can_index_search: expected false, as in version 1.1.0, found true; ",
    ),
    (
        lambda builder: builder.limit("fuel_limit", 0),
        "[resources] fuel_limit: expected at most 1000000, as in version 1.1.0, found 0, which is unmetered; ",
    ),
]
MORE += [
    (
        lambda builder, limit=limit, most=most: builder.limit(limit, most + 1),  # type: ignore[misc]
        f"[resources] {limit}: expected at most {most}, as in version 1.1.0, found {most + 1}; ",
    )
    for limit, most in msgspec.to_builtins(ResourceLimits()).items()
]


def of_tables(version: str) -> ManifestBuilder:
    return ManifestBuilder("tax", version).capability("can_read_table", ["rates"])


@pytest.mark.parametrize(
    ("change", "said"), MORE, ids=lambda one: one.partition(":")[0] if isinstance(one, str) else ""
)
def test_more_than_before_must_be_granted(change: Change, said: str) -> None:
    was, now = of_tables("1.1.0").build(), change(of_tables("1.2.0")).build()
    (problem,) = escalations(was, now)
    assert problem == f"{said}ask for less, or grant it with allow_escalation=True"
    assert escalations(now, was) == [], "less is never refused"
    assert escalations(now, now) == []
    before, after = (was, facts()), (now, facts(digest="bb"))
    for allowed in (False, True):
        found = upgrade_problems(before, after, allow_downgrade=False, allow_rebuild=False, allow_escalation=allowed)
        assert found == ([] if allowed else [problem])


def test_every_capability_and_every_limit_is_looked_at() -> None:
    """One that is added to the manifest later is compared too, and belongs into the list above."""
    asked = {said.partition(":")[0].split()[-1] for _, said in MORE}
    assert asked == {*Capabilities.__struct_fields__, *ResourceLimits.__struct_fields__}


def test_other_permissions_grant_nothing() -> None:
    more = ManifestBuilder("tax", "1.2.0").export("rate").limit("timeout_ms", 200).build()
    assert len(problems_of_upgrade(more, allow_downgrade=True, allow_rebuild=True)) == 1
    (problem,) = problems_of_upgrade(manifest("1.0.0"), allow_escalation=True)
    assert "allow_downgrade" in problem


def test_all_that_is_more_is_told_at_once() -> None:
    more = ManifestBuilder("tax", "1.2.0").limit("memory_limit_mb", 17).limit("timeout_ms", 101)
    problems = problems_of_upgrade(more.capability("can_call_plugin", ["b", "a"]).build())
    assert [problem.partition(":")[0] for problem in problems] == [
        "[capabilities] can_call_plugin",
        "[resources] memory_limit_mb",
        "[resources] timeout_ms",
    ]


# The error ------------------------------------------------------------------------------------------------


def test_no_problem_raises_nothing() -> None:
    require([], IncompatibleUpgrade, "never seen")


def test_problems_are_raised_as_one_error_that_lists_them() -> None:
    with pytest.raises(IncompatibleUpgrade) as raised:
        require(["too old", "too new"], IncompatibleUpgrade, "tax 1.0.0 may not follow 1.1.0")
    assert str(raised.value) == "tax 1.0.0 may not follow 1.1.0:\n  - too old\n  - too new"
