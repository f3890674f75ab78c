"""Numbers go into wasm and come out unchanged, or are refused; none is wrapped."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hotswap
from hotswap._ports import Number
from hotswap._runtime._instance import WasmInstance
from hotswap._runtime._values import convert_arguments, converters_for
from hotswap._signature import Signature
from runtime_modules import running

pytestmark = pytest.mark.usefixtures("call_path")

KINDS = ("i32", "i64", "f32", "f64")
IDENTITIES = "".join(f'(func (export "{kind}") (param {kind}) (result {kind}) local.get 0)' for kind in KINDS)
SEVERAL = """
  (func (export "none") (param i32))
  (func (export "swap") (param i32 f64) (result f64 i32) local.get 1 local.get 0)
  (func (export "mixed") (result i32 i64 f32 f64) i32.const -1 i64.const -2 f32.const 0.5 f64.const -0.25)"""

I32_MIN, I32_MAX = -(2**31), 2**31 - 1
I64_MIN, I64_MAX = -(2**63), 2**63 - 1
F32_MAX = 3.4028234663852886e38


class Seven:
    def __index__(self) -> int:
        return 7


@pytest.fixture(scope="module")
def wasm() -> Iterator[WasmInstance]:
    with running(f"(module {IDENTITIES} {SEVERAL})") as instance:
        yield instance


def single(value: float) -> float:
    """The nearest 32-bit float."""
    nearest: float = struct.unpack("f", struct.pack("f", value))[0]
    return nearest


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        *(("i32", value, value) for value in (0, -1, I32_MIN, I32_MAX)),
        *(("i64", value, value) for value in (0, -1, I32_MAX + 1, I64_MIN, I64_MAX)),
        *(("f64", value, value) for value in (0, 1, -2.5, 5e-324, 1.7976931348623157e308, math.inf, -math.inf)),
        *(("f32", value, value) for value in (0, 1, -2.5, F32_MAX, -F32_MAX, math.inf, -math.inf)),
        ("f32", 0.1, single(0.1)),
        ("f32", 1e-60, 0.0),
        ("f64", 2**53, 2.0**53),
        ("f64", Decimal("0.25"), 0.25),
        ("f32", Fraction(1, 4), 0.25),
        ("i32", Seven(), 7),
        ("i64", Seven(), 7),
    ],
)
def test_a_number_that_the_type_holds_goes_through(
    wasm: WasmInstance, kind: str, value: Number, result: Number
) -> None:
    returned = wasm.call(kind, (value,))
    assert returned == result
    assert type(returned) is (int if kind[0] == "i" else float)


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_nan_and_the_sign_of_zero_go_through(wasm: WasmInstance, kind: str) -> None:
    nan, zero = wasm.call(kind, (math.nan,)), wasm.call(kind, (-0.0,))
    assert isinstance(nan, float)
    assert math.isnan(nan)
    assert isinstance(zero, float)
    assert math.copysign(1, zero) == -1


@given(st.integers(I64_MIN, I64_MAX))
def test_any_64_bit_integer_goes_through(wasm: WasmInstance, value: int) -> None:
    assert wasm.call("i64", (value,)) == value


@given(st.floats(allow_nan=False, width=32))
def test_any_32_bit_float_goes_through(wasm: WasmInstance, value: float) -> None:
    assert wasm.call("f32", (value,)) == value


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        *(("i32", value, "a signed 32-bit value") for value in (I32_MAX + 1, I32_MIN - 1, 2**32, 2**40, -(2**40))),
        *(("i64", value, "a signed 64-bit value") for value in (I64_MAX + 1, I64_MIN - 1, 2**64)),
        *((kind, value, "an int, found") for kind in ("i32", "i64") for value in (True, 1.0, "1", b"1", None, [1])),
        *(("f32", value, "a 32-bit float") for value in (1e39, -1e39, 3.5e38, 2**128)),
        *((kind, 10**400, "a 64-bit float") for kind in ("f32", "f64")),
        *((kind, value, "a float or") for kind in ("f32", "f64") for value in (True, "1", b"1", None, 1j)),
        ("f64", Decimal("sNaN"), "NaN"),
    ],
)
def test_a_value_that_the_type_cannot_hold_is_refused(
    wasm: WasmInstance, kind: str, value: Number, expected: str
) -> None:
    with pytest.raises(hotswap.BadArgument, match=expected) as caught:
        wasm.call(kind, (value,))
    assert f"{kind}({kind}) -> {kind}: argument 1 ({kind})" in str(caught.value)
    assert not wasm.broken


def test_the_argument_at_fault_is_named(wasm: WasmInstance) -> None:
    with pytest.raises(hotswap.BadArgument, match=r"swap\(i32, f64\) -> \(f64, i32\): argument 2 \(f64\)"):
        wasm.call("swap", (1, "2"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("func", "args", "result"),
    [("none", (1,), None), ("swap", (3, 0.5), (0.5, 3)), ("mixed", (), (-1, -2, 0.5, -0.25))],
)
def test_no_result_is_none_and_several_are_a_tuple(
    wasm: WasmInstance, func: str, args: tuple[Number, ...], result: object
) -> None:
    returned = wasm.call(func, args)
    assert returned == result
    assert type(returned) is type(result)


@pytest.mark.parametrize("signature", [Signature(("funcref",), ()), Signature(("i32",), ("externref",))], ids=str)
def test_a_function_of_references_has_no_converters(signature: Signature) -> None:
    assert converters_for(signature) is None


def test_nothing_is_converted_unless_the_number_of_arguments_is_right() -> None:
    signature = Signature(("i32", "i32"), ())
    converters = converters_for(signature)
    assert converters is not None
    assert convert_arguments("f", signature, converters, (1, 2)) == [1, 2]
    for args in ((), (1,), (1, 2, 3)):
        with pytest.raises(hotswap.BadArgument, match=rf"expected 2 arguments, found {len(args)}"):
            convert_arguments("f", signature, converters, args)
