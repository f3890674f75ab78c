"""Arguments and results of numeric calls: i32, i64, f32 and f64, checked, never wrapped.

wasmtime-py wraps an i32 argument of 2**40 to 0 without a word; here every value that the type cannot hold is a
`BadArgument`. Integers are signed, as wasm's text format prints them. A bool is no number.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable
from typing import Final, Literal, SupportsFloat, SupportsIndex, cast

from hotswap._errors import BadArgument
from hotswap._ports import Number
from hotswap._signature import Signature


def _integer(bits: int) -> Callable[[object], int]:
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def convert(value: object) -> int:
        number = value if type(value) is int else _index(value)
        if not low <= number <= high:
            raise _outside(bits, number)
        return number

    return convert


def _index(value: object) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"an int, found {type(value).__name__}")
    return operator.index(cast(SupportsIndex, value))


def _outside(bits: int, number: int) -> ValueError:
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return ValueError(f"a signed {bits}-bit value ({low} to {high}), found {number}")


def _float(value: object) -> float:
    if isinstance(value, bool | str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(f"a float or an int, found {type(value).__name__}")
    try:
        return float(cast(SupportsFloat, value))
    except OverflowError:
        raise ValueError(f"a value that a 64-bit float can hold, found {value}") from None


def _single(value: object) -> float:
    number = _float(value)
    try:
        struct.pack("<f", number)  # the native "f" makes an infinity of it
    except OverflowError:
        raise ValueError(f"a value that a 32-bit float can hold, found {number}") from None
    return number


FORMATS: Final[dict[str, Literal["i", "q", "f", "d"]]] = {"i32": "i", "i64": "q", "f32": "f", "f64": "d"}
"""How each type lies in memory, in the terms of `struct` and `memoryview`."""

Converter = Callable[[object], Number]

CONVERTERS: dict[str, Converter] = {"i32": _integer(32), "i64": _integer(64), "f32": _single, "f64": _float}


def converters_for(signature: Signature) -> tuple[Converter, ...] | None:
    """One converter a parameter; None if the function has values that a numeric call cannot express."""
    if not CONVERTERS.keys() >= {*signature.params, *signature.results}:
        return None
    return tuple(CONVERTERS[kind] for kind in signature.params)


def convert_arguments(
    func: str, signature: Signature, converters: tuple[Converter, ...], args: tuple[object, ...]
) -> list[Number]:
    """The arguments as wasm takes them. Raises `BadArgument`, which names the argument and the signature."""
    if len(args) != len(converters):
        raise BadArgument(f"{func}{signature}: expected {len(converters)} arguments, found {len(args)}")
    converted = []
    for convert, value in zip(converters, args, strict=True):
        try:
            converted.append(convert(value))
        except (TypeError, ValueError) as error:
            position = len(converted)
            kind = signature.params[position]
            raise BadArgument(f"{func}{signature}: argument {position + 1} ({kind}): expected {error}") from None
    return converted


def convert_results(name: str, signature: Signature, value: object) -> list[Number]:
    """What a function of the host returned, as wasm takes it. Raises `TypeError` or `ValueError`, which say why not."""
    expected = signature.results
    values = value if len(expected) > 1 else () if value is None and not expected else (value,)
    if not isinstance(values, tuple | list) or len(values) != len(expected):
        shape = ("None", "a number")[len(expected)] if len(expected) < 2 else f"a tuple of {len(expected)}"
        raise TypeError(f"{name}{signature}: expected it to return {shape}, found {value!r}")
    converted = []
    for position, (kind, one) in enumerate(zip(expected, values, strict=True), 1):
        try:
            converted.append(CONVERTERS[kind](one))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}{signature}: result {position} ({kind}): expected {error}") from None
    return converted
