"""Runs a script of this folder in a process of its own: CrossHair traces Python, and so does who measures coverage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from proofs._check import Verdict

SECONDS_OF_A_RUN = 280  # a minute on a quiet machine


def output(script: str, *arguments: str, seconds: float = SECONDS_OF_A_RUN) -> list[Any]:
    """What a script prints, each line of it one value."""
    command, here = [sys.executable, "-m", f"proofs.{script}", *arguments], Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=here, timeout=seconds)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def verdicts_on(module: ModuleType, seconds: str, *names: str) -> dict[str, list[Verdict]]:
    """CrossHair's verdicts on a module's functions (those, or all), by name; `seconds` for each postcondition."""
    found = output("_check", seconds, module.__name__, *names)
    return {name: [Verdict(*one) for one in verdicts] for name, verdicts in found}
