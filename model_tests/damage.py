"""What happens to bytes on their way: by chance, and the same by the same chance."""

from __future__ import annotations

import random
from collections.abc import Sequence


def flip(data: bytes, at: int, chance: random.Random) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << chance.randint(0, 7)]) + data[at + 1 :]


def remove(data: bytes, at: int, chance: random.Random) -> bytes:
    return data[:at] + data[at + chance.randint(1, 4) :]


def repeat(data: bytes, at: int, chance: random.Random) -> bytes:
    end = at + chance.randint(1, 16)
    return data[:end] + data[at:end] * chance.randint(1, 3) + data[end:]


def cut(data: bytes, at: int, chance: random.Random) -> bytes:
    return data[:at]


def swap(data: bytes, at: int, chance: random.Random) -> bytes:
    """Two stretches beside each other."""
    first, second = at + chance.randint(1, 40), at + chance.randint(41, 80)
    return data[:at] + data[first:second] + data[at:first] + data[second:]


_KINDS = (flip, flip, remove, repeat, cut, swap)


def damaged(data: bytes, chance: random.Random, pieces: Sequence[bytes]) -> bytes:
    """Other bytes, mostly; `pieces` are such as mean something there."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 10))):
        at = chance.randint(0, len(data))
        if at < len(data) and chance.random() < 0.6:
            data = chance.choice(_KINDS)(data, at, chance)
        else:
            data = data[:at] + chance.choice(pieces) + data[at + chance.choice((0, 0, 1, 5)) :]
    return data
