"""Manifests as a whole: what they mean, that they survive being written, and how they are loaded and built."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap._errors import ManifestError
from hotswap._manifest import (
    Capabilities,
    ConfigField,
    ConfigSchema,
    Exports,
    Hooks,
    ManifestBuilder,
    PluginManifest,
    PluginMetadata,
    ResourceLimits,
    load_manifest,
)

MINIMAL = '[plugin]\nname = "tax"\nversion = "1.0.0"\n'
FULL = """
[plugin]
name = "tax"
version = "1.1.0-rc.1+7"
description = "Rates"
author = "Ada"
license = "MIT"
module_sha256 = "00000000000000000000000000000000000000000000000000000000000000af"

[capabilities]
can_read_table = ["orders", "rates"]
can_write_table = ["audit"]
can_vector_search = true
can_index_search = true
can_call_plugin = ["toll"]

[resources]
memory_limit_mb = 32
fuel_limit = 0
timeout_ms = 250
max_instances = 8
max_module_kb = 512
max_functions = 400

[exports]
functions = ["rate", "log"]
signatures = { rate = "(i32) -> i32" }

[hooks]
before_insert = ["rate"]
after_delete = ["log", "rate"]

[[config_schema.fields]]
name = "country"
type = "string"
required = true
description = "ISO code"

[[config_schema.fields]]
name = "bands"
type = "list"
default = [1, 2.5, "top", true]
"""


# What a manifest says -------------------------------------------------------------------------------------


def test_the_sections_are_attributes() -> None:
    manifest = PluginManifest.from_toml(FULL)
    assert manifest == PluginManifest(
        plugin=PluginMetadata(
            name="tax",
            version="1.1.0-rc.1+7",
            description="Rates",
            author="Ada",
            license="MIT",
            module_sha256="af".rjust(64, "0"),
        ),
        capabilities=Capabilities(
            can_read_table=("orders", "rates"),
            can_write_table=("audit",),
            can_vector_search=True,
            can_index_search=True,
            can_call_plugin=("toll",),
        ),
        resources=ResourceLimits(
            memory_limit_mb=32,
            fuel_limit=0,
            timeout_ms=250,
            max_instances=8,
            max_module_kb=512,
            max_functions=400,
        ),
        exports=Exports(functions=("rate", "log"), signatures={"rate": "(i32) -> i32"}),
        hooks=Hooks(before_insert=("rate",), after_delete=("log", "rate")),
        config_schema=ConfigSchema(
            fields=(
                ConfigField(name="country", type="string", required=True, description="ISO code"),
                ConfigField(name="bands", type="list", default=(1, 2.5, "top", True)),
            )
        ),
    )
    assert manifest.plugin.semver.prerelease == "rc.1"
    assert manifest.functions_named() == {"rate", "log"}


def test_what_is_left_out_has_the_documented_default() -> None:
    manifest = PluginManifest.from_toml(MINIMAL)
    assert msgspec.to_builtins(manifest, enc_hook=dict) == {
        "plugin": dict.fromkeys(("description", "author", "license"), "")
        | {"name": "tax", "version": "1.0.0", "module_sha256": None},
        "capabilities": dict.fromkeys(("can_read_table", "can_write_table", "can_call_plugin"), ())
        | {"can_vector_search": False, "can_index_search": False},
        "resources": {
            "memory_limit_mb": 16,
            "fuel_limit": 1_000_000,
            "timeout_ms": 100,
            "max_instances": 4,
            "max_module_kb": 4_096,
            "max_functions": 10_000,
        },
        "exports": {"functions": (), "signatures": {}},
        "hooks": {f"{side}_{act}": () for side in ("before", "after") for act in ("insert", "update", "delete")},
        "config_schema": {"fields": ()},
    }
    field = ConfigField(name="country", type="string")
    assert (field.required, field.default, field.description) == (False, None, "")


# TOML and back --------------------------------------------------------------------------------------------


names = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
listed = st.lists(st.text(min_size=1), unique=True, max_size=4).map(tuple)
versions = st.from_regex(
    r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]?)\.(0|[1-9][0-9]?)(-[a-z]{1,4}(\.[1-9])?)?(\+[0-9a-z]{1,4})?", fullmatch=True
)
integers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
defaults: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(),
    "integer": integers,
    "float": floats | integers,
    "boolean": st.booleans(),
    "list": st.lists(st.text() | integers | floats | st.booleans(), max_size=4),
}


@st.composite
def config_fields(draw: st.DrawFn) -> ConfigField:
    kind: Any = draw(st.sampled_from(sorted(defaults)))
    default = draw(st.none() | defaults[kind])
    return ConfigField(
        name=draw(names), type=kind, required=draw(st.booleans()), default=default, description=draw(st.text())
    )


metadata = st.builds(
    PluginMetadata,
    name=names,
    version=versions,
    description=st.text(),
    author=st.text(),
    license=st.text(),
    module_sha256=st.none() | st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
)
capabilities = st.builds(
    Capabilities,
    **dict.fromkeys(("can_read_table", "can_write_table", "can_call_plugin"), listed),
    **dict.fromkeys(("can_vector_search", "can_index_search"), st.booleans()),
)
limits = st.builds(
    ResourceLimits,
    memory_limit_mb=st.integers(1, 1024),
    fuel_limit=st.integers(0, 2**63 - 1),
    timeout_ms=st.integers(1, 60_000),
    max_instances=st.integers(1, 1024),
    max_module_kb=st.integers(1, 65_536),
    max_functions=st.integers(1, 200_000),
)
signatures = st.sampled_from(["() -> ()", "(i32,i64) -> f32", "( f64 ) -> (i32, i32)"])
schemas = st.builds(
    ConfigSchema, fields=st.lists(config_fields(), max_size=3, unique_by=lambda field: field.name).map(tuple)
)


@st.composite
def manifests(draw: st.DrawFn) -> PluginManifest:
    functions = draw(listed)
    some = st.lists(st.sampled_from(functions), unique=True).map(tuple) if functions else st.just(())
    return PluginManifest(
        plugin=draw(metadata),
        capabilities=draw(capabilities),
        resources=draw(limits),
        exports=Exports(functions=functions, signatures={name: draw(signatures) for name in draw(some)}),
        hooks=Hooks(**{when: draw(some) for when in Hooks.__struct_fields__}),
        config_schema=draw(schemas),
    )


@given(manifest=manifests())
def test_what_is_written_reads_back_equal(manifest: PluginManifest) -> None:
    read = PluginManifest.from_toml(manifest.to_toml())
    assert read == manifest
    assert repr(read) == repr(manifest)  # tells 1 from 1.0 and True, which are equal


def test_defaults_are_written_too() -> None:
    written = tomllib.loads(PluginManifest.from_toml(MINIMAL).to_toml())
    assert written["resources"]["fuel_limit"] == 1_000_000
    assert set(written) == set(PluginManifest.__struct_fields__)
    assert "module_sha256" not in written["plugin"], "TOML has no word for no pin"


@pytest.mark.parametrize("text", ["[plugin", "name = ", MINIMAL + MINIMAL, "a = " + "[" * 9999, "a = " + "1" * 9999])
def test_text_that_is_no_toml_is_refused_with_its_cause(text: str) -> None:
    with pytest.raises(ManifestError, match="expected a TOML document") as refusal:
        PluginManifest.from_toml(text)
    assert isinstance(refusal.value.__cause__, ValueError | RecursionError)


# Files ----------------------------------------------------------------------------------------------------


def test_a_manifest_is_loaded_from_a_path_or_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "größe.toml"
    path.write_bytes(FULL.replace("Rates", "Größe").encode())
    manifest = PluginManifest.from_file(path)
    assert manifest.plugin.description == "Größe"
    assert load_manifest(path) == load_manifest(str(path)) == manifest
    assert load_manifest(manifest) is manifest


@pytest.mark.parametrize(
    ("content", "cause", "what"),
    [
        (None, FileNotFoundError, "expected the path of a UTF-8 TOML file"),
        (b"\xff", UnicodeDecodeError, "expected the path of a UTF-8 TOML file"),
        (b"[plugin", tomllib.TOMLDecodeError, "expected a TOML document"),
        (MINIMAL.encode() + b"[resources]\nfuel_limit = 'x'", msgspec.ValidationError, "[resources] fuel_limit: "),
    ],
)
def test_a_file_that_is_no_manifest_is_named(
    tmp_path: Path, content: bytes | None, cause: type[Exception], what: str
) -> None:
    path = tmp_path / "tax.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ManifestError) as refusal:
        load_manifest(path)
    assert str(refusal.value).startswith(f"{path}: {what}")
    assert isinstance(refusal.value.__cause__, cause)


def test_a_path_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ManifestError, match=r"TOML text is for PluginManifest\.from_toml"):
        load_manifest(MINIMAL + "\0")


@pytest.mark.parametrize("other", [None, b"tax.toml", {"plugin": {}}])
def test_only_a_manifest_or_a_path_can_be_loaded(other: Any) -> None:
    with pytest.raises(ManifestError, match=r"expected a PluginManifest or the path .*, found \w+$"):
        load_manifest(other)


# The builder ----------------------------------------------------------------------------------------------


def test_the_builder_makes_what_the_toml_says() -> None:
    builder = (
        ManifestBuilder("tax", "1.1.0-rc.1+7")
        .describe(description="Rates", author="Ada")
        .describe(license="MIT")
        .pin("af".rjust(64, "0"))
        .capability("can_read_table", ["orders", "rates"])
        .capability("can_write_table", ["audit"])
        .capability("can_vector_search", True)
        .capability("can_index_search", True)
        .capability("can_call_plugin", ["toll"])
        .limit("memory_limit_mb", 32)
        .limit("fuel_limit", 0)
        .limit("timeout_ms", 250)
        .limit("max_instances", 8)
        .limit("max_module_kb", 512)
        .limit("max_functions", 400)
        .hook("before_insert", "rate")
        .hook("after_delete", "log")
        .hook("after_delete", "rate")
        .export("rate", "(i32) -> i32")
        .export("log")
        .config("country", "string", required=True, description="ISO code")
        .config("bands", "list", default=[1, 2.5, "top", True])
    )
    assert builder.build() == PluginManifest.from_toml(FULL)


def test_a_builder_that_goes_on_leaves_what_it_built() -> None:
    builder = ManifestBuilder("tax", "1.0.0").export("rate")
    built = builder.build()
    assert builder.export("log", "() -> ()").build() != built
    assert built.exports == Exports(functions=("rate",))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            lambda builder: builder.hook("on_insert", "rate"),
            "[hooks] on_insert: unknown key; expected one of before_insert, after_insert, before_update, after_",
        ),
        (lambda builder: builder.capability("can_fly", True), "[capabilities] can_fly: unknown key; "),
        (lambda builder: builder.limit("fuel", 1), "[resources] fuel: unknown key; "),
    ],
)
def test_the_builder_refuses_an_unknown_key_at_its_step(
    step: Callable[[ManifestBuilder], object], message: str
) -> None:
    with pytest.raises(ManifestError) as refusal:
        step(ManifestBuilder("tax", "1.0.0"))
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize(
    ("builder", "place"),
    [
        (ManifestBuilder("t x", "1.0.0"), "[plugin] name: "),
        (ManifestBuilder("tax", "1"), "[plugin] version: "),
        (ManifestBuilder("tax", "1.0.0").pin("af"), "[plugin] module_sha256: "),
        (ManifestBuilder("tax", "1.0.0").export("a").export("a"), "[exports] functions: "),
        (ManifestBuilder("tax", "1.0.0").export("a", "i32"), "[exports] signatures.a: "),
        (ManifestBuilder("tax", "1.0.0").hook("before_insert", "a"), "[hooks] before_insert: "),
        (ManifestBuilder("tax", "1.0.0").limit("timeout_ms", 0), "[resources] timeout_ms: "),
        (ManifestBuilder("tax", "1.0.0").capability("can_read_table", "t"), "[capabilities] can_read_table: "),
        (
            ManifestBuilder("tax", "1.0.0").config("a", "integer", default=True),
            "[config_schema.fields] default of 'a': ",
        ),
    ],
)
def test_the_builder_builds_nothing_invalid(builder: ManifestBuilder, place: str) -> None:
    with pytest.raises(ManifestError) as refusal:
        builder.build()
    assert str(refusal.value).startswith(place)
