"""The tables of a manifest: they are valid however they are made, and an error names the place and the remedy."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap._errors import ManifestError
from hotswap._manifest import PluginManifest
from hotswap._manifest_toml import (
    Capabilities,
    ConfigField,
    ConfigSchema,
    Exports,
    FrozenTexts,
    Hooks,
    PluginMetadata,
    ResourceLimits,
)

MINIMAL = '[plugin]\nname = "tax"\nversion = "1.0.0"\n'
SIGNED = MINIMAL + '[exports]\nfunctions = ["rate"]\nsignatures = {rate = "(i32) -> i32"}\n'

# What is accepted -----------------------------------------------------------------------------------------


def test_a_whole_number_is_a_fitting_float() -> None:
    default = ConfigField(name="rate", type="float", default=2).default
    assert (default, type(default)) == (2.0, float)


def test_a_function_may_have_any_name_that_wasm_allows() -> None:
    assert Exports(functions=("pkg:tax/rates#of", "größe")).functions == ("pkg:tax/rates#of", "größe")


@pytest.mark.parametrize("name", ["a", "Tax_2-b", "9", "x" * 128])
def test_a_plugin_name_is_letters_digits_hyphens_and_underscores(name: str) -> None:
    assert PluginMetadata(name=name, version="1.0.0").name == name


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("memory_limit_mb", 1, 1024),
        ("fuel_limit", 0, 2**63 - 1),
        ("timeout_ms", 1, 60_000),
        ("max_instances", 1, 1024),
        ("max_module_kb", 1, 65_536),
        ("max_functions", 1, 200_000),
    ],
)
def test_a_limit_may_lie_on_its_bounds_and_not_beyond(key: str, least: int, most: int) -> None:
    for value in (least, most):
        assert getattr(ResourceLimits(**{key: value}), key) == value
    for value, bound in ((least - 1, f">= {least}"), (most + 1, f"<= {most}")):
        with pytest.raises(ManifestError) as refusal:
            ResourceLimits(**{key: value})
        assert str(refusal.value) == f"[resources] {key}: expected int {bound}; the value is {value}"


# What an error says ---------------------------------------------------------------------------------------


WRONG = [
    # unknown and missing keys
    ("[resurces]\n", "[resurces]: unknown key; expected one of plugin, capabilities, resources, exports, hooks, "),
    # a pin
    *(
        (f"{MINIMAL}module_sha256 = {pin!r}\n", "[plugin] module_sha256: expected str")
        for pin in ("", "0" * 63, "0" * 65, "A" * 64, "g" * 64, f" {'0' * 63}", "sha256:" + "0" * 64, 0)
    ),
    (f'{MINIMAL}module_sha256 = """{"0" * 64}\n"""\n', "[plugin] module_sha256: expected str"),
    ('[plugin]\nname = "tax"\n', "[plugin] version: expected a value, found none; "),
    ('[plugin]\nversion = "1.0.0"\n', "[plugin] name: expected a value, found none; "),
    ("", "[plugin]: expected a value, found none; "),
    (MINIMAL + 'nmae = "x"', "[plugin] nmae: unknown key; expected one of name, version, description, author, "),
    (MINIMAL + "[capabilities]\ncan_fly = true", "[capabilities] can_fly: unknown key; expected one of can_read_"),
    (MINIMAL + "[resources]\nfuel = 1", "[resources] fuel: unknown key; expected one of memory_limit_mb, fuel_limit, "),
    (MINIMAL + "[exports]\nfunction = []", "[exports] function: unknown key; expected one of functions, signatures"),
    (MINIMAL + "[hooks]\non_insert = []", "[hooks] on_insert: unknown key; expected one of before_insert, after_"),
    (MINIMAL + "[config_schema]\nfield = []", "[config_schema] field: unknown key; expected one of fields"),
    (
        MINIMAL + '[[config_schema.fields]]\nname = "a"\ntyp = "list"',
        "[config_schema.fields] typ: unknown key; expected one of name, type, required, default, description",
    ),
    (MINIMAL + '[[config_schema.fields]]\nname = "a"', "[config_schema.fields] type: expected a value, found none; "),
    # wrong types
    ("plugin = 3", "[plugin]: expected table, found int; the value is 3"),
    ('[plugin]\nname = "tax"\nversion = 1.0', "[plugin] version: expected str, found float; the value is 1.0"),
    ('[plugin]\nname = "tax"\nversion = 2020-01-01', "[plugin] version: expected str, found date; "),
    ("[plugin]\nname = true\nversion = '1.0.0'", "[plugin] name: expected str, found bool; the value is True"),
    (MINIMAL + "license = 2", "[plugin] license: expected str, found int; the value is 2"),
    (MINIMAL + "[capabilities]\ncan_vector_search = 1", "[capabilities] can_vector_search: expected bool, found int; "),
    (MINIMAL + '[capabilities]\ncan_read_table = "t"', "[capabilities] can_read_table: expected array, found str; "),
    (MINIMAL + "[resources]\nfuel_limit = 'x'", "[resources] fuel_limit: expected int, found str; the value is 'x'"),
    (MINIMAL + "[resources]\nfuel_limit = true", "[resources] fuel_limit: expected int, found bool; "),
    (MINIMAL + "[resources]\nfuel_limit = 1.0", "[resources] fuel_limit: expected int, found float; "),
    (MINIMAL + "[exports]\nfunctions = ['a', 1]", "[exports] functions: expected str, found int - at $[1]; "),
    (MINIMAL + "[exports]\nsignatures = ['a']", "[exports] signatures: expected table, found array; "),
    (MINIMAL + "[config_schema]\nfields = 1", "[config_schema] fields: expected array, found int; "),
    (MINIMAL + "[config_schema]\nfields = [1]", "[config_schema] fields: expected table, found int - at $[0]; "),
    # wrong values
    ('[plugin]\nname = "t x"\nversion = "1.0.0"', "[plugin] name: expected str matching regex "),
    (
        '[plugin]\nname = "tax"\nversion = "1.0"',
        "[plugin] version: expected a semantic version such as 1.4.0, found '1.0'",
    ),
    (MINIMAL + "[exports]\nfunctions = ['']", "[exports] functions: expected str of length >= 1 - at $[0]; "),
    (
        MINIMAL + "[exports]\nfunctions = ['a', 'b', 'a', 'b']",
        "[exports] functions: expected each name once, found several of 'a', 'b'",
    ),
    (
        MINIMAL + "[exports]\nfunctions = ['a']\n[hooks]\nafter_update = ['a', 'a']",
        "[hooks] after_update: expected each name once, found several of 'a'",
    ),
    (
        MINIMAL + "[capabilities]\ncan_call_plugin = ['a', 'a']",
        "[capabilities] can_call_plugin: expected each name once, found several of 'a'",
    ),
    (
        MINIMAL + "[exports]\nfunctions = ['a']\nsignatures = {b = '() -> ()'}",
        "[exports] signatures.b: expected a listed function, found 'b'; add it to functions",
    ),
    (
        MINIMAL + "[exports]\nfunctions = ['a']\nsignatures = {a = '(int) -> i32'}",
        "[exports] signatures.a: expected the types i32, i64, f32, f64, found 'int' in '(int) -> i32'",
    ),
    (
        MINIMAL + "[exports]\nfunctions = ['a']\n[hooks]\nbefore_delete = ['a', 'b']",
        "[hooks] before_delete: expected an exported function, found 'b'; add it to [exports] functions",
    ),
    (
        MINIMAL + '[[config_schema.fields]]\nname = "a"\ntype = "int"',
        "[config_schema.fields] type: expected one of string, integer, float, boolean, list, found 'int'",
    ),
    (
        MINIMAL + '[[config_schema.fields]]\nname = "a b"\ntype = "list"',
        "[config_schema.fields] name: expected str matching regex ",
    ),
    (
        MINIMAL + "[config_schema]\nfields = [{name = 'a', type = 'list'}, {name = 'a', type = 'float'}]",
        "[config_schema] fields: expected each name once, found several of 'a'",
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_an_error_names_the_section_and_the_key(text: str, message: str) -> None:
    with pytest.raises(ManifestError) as refusal:
        PluginManifest.from_toml(text)
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize("name", ["", "t x", "tax\n", "größe", "a.b", "x" * 129])
def test_another_plugin_name_is_refused(name: str) -> None:
    with pytest.raises(ManifestError, match=r"\[plugin\] name: expected str matching regex"):
        PluginMetadata(name=name, version="1.0.0")


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("string", 1),
        ("string", ["a"]),
        ("integer", True),
        ("integer", 1.0),
        ("integer", 2**63),
        ("float", "1.0"),
        ("float", False),
        ("float", float("nan")),
        ("float", float("inf")),
        ("boolean", 0),
        ("list", "ab"),
        ("list", [["nested"]]),
        ("list", [float("nan")]),
    ],
)
def test_a_default_must_fit_its_type(kind: Any, default: Any) -> None:
    with pytest.raises(ManifestError, match=r"^\[config_schema\.fields\] default( of 'size')?: expected "):
        ConfigField(name="size", type=kind, default=default)


def test_an_error_about_an_endless_value_stays_short() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    for name, fields in (deep, []), ("é" * 5000, []), ("tax", [{"name": "a", "type": deep}]):
        table = {"plugin": {"version": "1.0.0", "name": name}, "config_schema": {"fields": fields}}
        with pytest.raises(ManifestError, match=r"(name|type): expected ") as refusal:
            PluginManifest.from_table(table)
        assert len(str(refusal.value)) < 200


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
places = [
    (section.name, key) for section in msgspec.structs.fields(PluginManifest) for key in section.type.__struct_fields__
]


@given(place=st.sampled_from(places), value=values)
def test_any_value_in_any_place_is_accepted_or_a_manifest_error(place: tuple[str, str], value: object) -> None:
    section, key = place
    document: dict[str, dict[str, object]] = {"plugin": {"name": "tax", "version": "1.0.0"}}
    document.setdefault(section, {})[key] = value
    try:
        manifest = PluginManifest.from_table(document)
    except ManifestError:
        return
    assert PluginManifest.from_toml(manifest.to_toml()) == manifest


@given(key=st.sampled_from(ConfigField.__struct_fields__), value=values)
def test_any_value_in_a_config_field_is_accepted_or_a_manifest_error(key: str, value: object) -> None:
    with suppress(ManifestError):
        ConfigField.from_table({"name": "size", "type": "list", key: value})


# However it is made, it is valid and stays so -------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: PluginMetadata(name="tax", version="one"),
        lambda: Capabilities(can_index_search=1),  # type: ignore[arg-type]
        lambda: ResourceLimits(timeout_ms="100"),  # type: ignore[arg-type]
        lambda: Exports(functions=("a", "a")),
        lambda: Hooks(before_insert="rate"),  # type: ignore[arg-type]
        lambda: ConfigField(name="a", type=[]),  # type: ignore[arg-type]
        lambda: ConfigSchema(fields=(ConfigField(name="a", type="list"), ConfigField(name="a", type="float"))),
        lambda: PluginManifest(plugin=None),  # type: ignore[arg-type]
        lambda: PluginManifest(plugin=PluginMetadata(name="tax", version="1.0.0"), hooks=Hooks(after_insert=("rate",))),
        lambda: msgspec.structs.replace(ResourceLimits(), max_instances=0),
        lambda: msgspec.convert({"plugin": {"name": "tax", "version": "1"}}, PluginManifest),
    ],
)
def test_python_cannot_make_an_invalid_manifest(make: Callable[[], object]) -> None:
    with pytest.raises(ManifestError, match=r"^\[\w+(\.fields)?\]"):
        make()


def test_lists_given_by_python_are_kept_as_tuples() -> None:
    functions = ["rate"]
    signatures = {"rate": "() -> ()"}
    exports = Exports(functions=functions, signatures=signatures)  # type: ignore[arg-type]
    functions.append("log")
    signatures["log"] = "nonsense"
    assert exports == Exports(functions=("rate",), signatures={"rate": "() -> ()"})
    assert repr(exports) == "Exports(functions=('rate',), signatures={'rate': '() -> ()'})"
    assert len(exports.signatures) == 1


def test_frozen_texts_do_not_follow_their_source() -> None:
    source = {"rate": "() -> ()"}
    texts = FrozenTexts(source)
    source.clear()
    assert texts == {"rate": "() -> ()"}


def test_a_manifest_cannot_be_changed() -> None:
    manifest = PluginManifest.from_toml(SIGNED)
    with pytest.raises(AttributeError):
        manifest.resources.fuel_limit = -1  # type: ignore[misc]
    with pytest.raises(TypeError):
        manifest.exports.signatures["rate"] = "nonsense"  # type: ignore[index]


def test_equal_manifests_hash_alike_and_survive_copying() -> None:
    manifest = PluginManifest.from_toml(SIGNED)
    for twin in (PluginManifest.from_toml(SIGNED), copy.deepcopy(manifest), pickle.loads(pickle.dumps(manifest))):
        assert twin == manifest
        assert hash(twin) == hash(manifest)
        assert repr(twin) == repr(manifest)
    assert manifest != PluginManifest.from_toml(SIGNED.replace("(i32) -> i32", "(i64) -> i32"))
