"""A manifest's text is read in bounded work, whatever it is: each of these texts took minutes once, or escaped.

Where work is done in C, nothing counts it: such a text is so long that the test's time limit tells.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hotswap import ManifestError, PluginManifest
from hotswap._manifest_text import TEXT_MAX, document
from hotswap._signature import Signature
from wasm_reading import calls_made

MINIMAL = '[plugin]\nname = "p"\nversion = "1.0.0"\n'
LONG = TEXT_MAX // 8


def refusal(text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        PluginManifest.from_toml(text)
    return str(caught.value)


# Numbers of any size ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (MINIMAL + "[resources]\nfuel_limit = {}", "[resources] fuel_limit: expected int <= 9223372036854775807"),
        ("[plugin]\nversion = '1.0.0'\nname = {}", "[plugin] name: expected str, found int"),
        (MINIMAL + "[[config_schema.fields]]\nname = 'a'\ntype = {}", "[config_schema.fields] type: expected one of"),
        (
            MINIMAL + "[[config_schema.fields]]\nname = 'a'\ntype = 'list'\ndefault = [{}]",
            "[config_schema.fields] default: expected int <= 9223372036854775807 - at $[0]",
        ),
    ],
)
def test_a_number_that_python_does_not_print_is_refused_like_any_other(text: str, place: str) -> None:
    said = refusal(text.format("0x" + "f" * 5_000))
    assert said.startswith(place)
    assert "<a number of 20000 bits>" in said


# Keys of any length ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        ".".join("a" * LONG),
        " \t. ".join("a" * LONG),
        ".".join(['"."'] * LONG),
        ".".join(["'a b'", "c-d"] * LONG),
        f"{'.'.join('a' * LONG)} = 1 # '\"",
    ],
    ids=["bare", "with blanks", "quoted", "mixed", "before a comment"],
)
@pytest.mark.parametrize(
    "form",
    ["{} = 1", "[{}]", "[[{}]]", "[plugin]\nname = '''\n'''\n[x]\n{} = 1", 'a = {{b = """x""""", {} = 1}}', "{}"],
    ids=["key", "table", "array of tables", "after a text", "inline", "alone"],
)
def test_an_overlong_key_is_refused_before_it_is_read(key: str, form: str) -> None:
    text = form.format(key)[:TEXT_MAX]
    work = calls_made(lambda: refusal(text))
    assert work < 100
    assert refusal(text).startswith("expected keys of at most 64 parts, found one that begins with ")


def test_a_key_of_as_many_parts_as_may_be_is_read() -> None:
    assert refusal(".".join("a" * 64) + " = 1").startswith("[a]: unknown key")
    assert "keys of at most 64 parts" in refusal(".".join("a" * 65) + " = 1")


@pytest.mark.parametrize(
    "quote", ['"{}"', "'{}'", '"""{}"""', "'''\n{}'''", '"""{}"""""', '"\\"{}"', '"""\\""\\"{}"""']
)
def test_dots_in_texts_and_comments_are_no_keys(quote: str) -> None:
    dots = "a." * 1_000
    text = f"# {dots}\n{MINIMAL}description = {quote.format(dots)} # {dots}'\"\nauthor = 'A'"
    assert dots in PluginManifest.from_toml(text).plugin.description
    manifest = PluginManifest.from_toml(text)
    assert PluginManifest.from_toml(manifest.to_toml()) == manifest


def test_many_numbers_on_a_line_are_no_key() -> None:
    text = f"{MINIMAL}[[config_schema.fields]]\nname = 'a'\ntype = 'list'\ndefault = [{'1.5, ' * 500}]"
    assert PluginManifest.from_toml(text).config_schema.fields[0].default == (1.5,) * 500


# Any text, up to a length ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        " ",
        "a ",
        '"',
        "'",
        '"""',
        "'''",
        "\\",
        '"""\n\\',
        '"\\',
        "'\n",
        "#",
        "[",
        "{",
        "=",
        "a.\n",
        '""""',
        "é",
        "\r",
    ],
)
def test_the_longest_texts_of_one_piece_are_refused(piece: str) -> None:
    assert refusal((piece * TEXT_MAX)[:TEXT_MAX])


def test_longer_texts_are_not_read(tmp_path: Path) -> None:
    text = MINIMAL + "#" * TEXT_MAX
    assert refusal(text) == (f"expected at most {TEXT_MAX} characters of TOML, found {len(text)}; write a shorter text")
    file = tmp_path / "p.toml"
    file.write_text(text[:TEXT_MAX])
    assert PluginManifest.from_file(file).plugin.name == "p"
    for path in (file, Path("/dev/zero")):
        file.write_text(text[: TEXT_MAX - 1] + "é")
        with pytest.raises(ManifestError, match=f"{path}: expected at most {TEXT_MAX} bytes of TOML, found more"):
            PluginManifest.from_file(path)


def test_a_whole_text_is_what_the_parser_says() -> None:
    assert document("a = 1\n[b]\nc.d = '''x'''") == {"a": 1, "b": {"c": {"d": "x"}}}


# What a text holds many of ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [f"() -> {' ' * LONG}(", f"() ->{' ' * LONG}", f"(){' ' * LONG}i32", f"{' ' * LONG}(", f"() -> i32{' ' * LONG}("],
)
def test_blanks_in_a_signature_cost_no_more_than_they_are(text: str) -> None:
    """With the cube of their number, once."""
    with pytest.raises(ValueError, match="expected a signature"):
        Signature.parse(text)


def test_blanks_in_a_signature_do_not_count() -> None:
    blanks = " \t" * 5_000
    for text in ("({0}i32{0},{0}i64{0}){0}->{0}f64{0}", "{0}(i32,i64){0}->{0}({0}f64{0}){0}"):
        assert Signature.parse(text.format(blanks)) == Signature(("i32", "i64"), ("f64",))


def test_many_exports_with_signatures_and_hooks_are_looked_up_at_once() -> None:
    """In a list, once: with the square of their number."""
    names = [f"f{number}" for number in range(25_000)]
    signatures = ", ".join(f'{name} = "() -> ()"' for name in reversed(names))
    text = (
        f"{MINIMAL}[exports]\nfunctions = {names}\nsignatures = {{{signatures}}}\n[hooks]\nafter_insert = {names[::-1]}"
    )
    manifest = PluginManifest.from_toml(text)
    assert len(manifest.exports.signatures) == len(manifest.hooks.after_insert) == 25_000
