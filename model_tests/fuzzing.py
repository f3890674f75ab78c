"""Examples by the number, each looked at in a child that it may kill or hang; and one again, to see what it does.

    PYTHONPATH=model_tests python -m fuzzing manifest_fuzz 1234

A fuzz is a module with a function `fuzz(first, count, current)`, which is `examine` with what that module knows. The
same number is the same example, whatever came before it.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from runtime_modules import alone

hangs_after_s = 60.0
AT_ONCE: Final = 100
"""So many examples take less than that, on the slowest machine."""


def examine(
    fates: Callable[[int], Iterable[str]], told: Callable[[int], str], first: str, count: str, current: str
) -> str:
    """What became of so many examples. Their fates raise for what does not hold; `told` shows such an example.

    The number of the one at work is in the file `current`, for the case that it kills. One that hangs is killed, and
    its traceback is on stderr.
    """
    became, note = Counter[str](), os.open(current, os.O_WRONLY | os.O_CREAT)
    try:
        for number in range(int(first), int(first) + int(count)):
            if (number - int(first)) % AT_ONCE == 0:
                faulthandler.dump_traceback_later(hangs_after_s, exit=True, file=2)
            os.pwrite(note, b"%20d" % number, 0)
            try:
                became.update(fates(number))
            except Exception as error:
                raise AssertionError(f"example {number}: {error!r}\n{told(number)}") from error
    finally:
        faulthandler.cancel_dump_traceback_later()
        os.close(note)
    return json.dumps(became)


def hold(fuzz: Callable[[str, str, str], str], first: int, count: int, note: Path) -> Counter[str]:
    """What became of so many examples; fails if something does not hold, or the child dies or hangs."""
    try:
        child = alone(fuzz, str(first), str(count), str(note), timeout=3_000)
        end = f"exit {child.returncode}"
    except subprocess.TimeoutExpired:
        child, end = None, "no end"
    if child is None or child.returncode != 0:
        number = note.read_text().strip() if note.exists() else "of none"
        raise AssertionError(
            f"{end} at example {number}: {child.stderr[-3000:] if child else ''}\n"
            f"again: PYTHONPATH=model_tests python -m fuzzing {fuzz.__module__} {number}"
        )
    output, survived, _ = child.stdout.partition("[survived]")
    assert survived
    return Counter(json.loads(output))


def main(fuzz: str, *numbers: str) -> None:
    os.environ.setdefault("HOTSWAP_COMPILE", "inprocess")
    for number in numbers:
        sys.stdout.write(f"{number}: {importlib.import_module(fuzz).fuzz(number, '1', os.devnull)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
