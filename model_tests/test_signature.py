"""Signatures as text: one canonical form, which parses back; anything else is refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap._signature import Signature

value_types = st.lists(st.sampled_from(["i32", "i64", "f32", "f64"]), max_size=5).map(tuple)


@given(params=value_types, results=value_types)
def test_the_canonical_text_parses_back(params: tuple[str, ...], results: tuple[str, ...]) -> None:
    signature = Signature(params, results)
    assert Signature.parse(str(signature)) == signature


@pytest.mark.parametrize(
    ("text", "params", "results", "canonical"),
    [
        ("() -> ()", (), (), "() -> ()"),
        ("(i32, i32) -> i32", ("i32", "i32"), ("i32",), "(i32, i32) -> i32"),
        ("(i64) -> (i32, i64)", ("i64",), ("i32", "i64"), "(i64) -> (i32, i64)"),
        ("(f32) -> (f64)", ("f32",), ("f64",), "(f32) -> f64"),
        ("( )->( )", (), (), "() -> ()"),
        (" ( i32,i64 )->\tf64 ", ("i32", "i64"), ("f64",), "(i32, i64) -> f64"),
    ],
)
def test_a_text_is_read_and_written_canonically(
    text: str, params: tuple[str, ...], results: tuple[str, ...], canonical: str
) -> None:
    signature = Signature.parse(text)
    assert (signature.params, signature.results) == (params, results)
    assert str(signature) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "i32", "(i32)", "(i32) ->", "-> i32", "i32 -> i32", "(i32 -> i32", "(i32) -> i32)", "((i32)) -> i32"],
)
def test_a_text_of_another_shape_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a signature such as .*, found ") as refusal:
        Signature.parse(text)
    assert repr(text) in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(int) -> i32", "'int'"),
        ("(i32,) -> i32", "''"),
        ("(I32) -> i32", "'I32'"),
        ("(i32) -> i32, i32", "'i32, i32'"),
        ("() -> externref", "'externref'"),
        ("(funcref) -> ()", "'funcref'"),
    ],
)
def test_another_type_is_refused_with_the_types_there_are(text: str, found: str) -> None:
    with pytest.raises(ValueError, match=f"expected the types i32, i64, f32, f64, found {found} in "):
        Signature.parse(text)


def test_a_reference_type_of_a_real_module_can_be_held_and_shown() -> None:
    assert str(Signature(("funcref",), ("externref",))) == "(funcref) -> externref"
