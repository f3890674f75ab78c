"""Runs CrossHair on a contract while the production code is edited: `python -m proofs._twins SECONDS MODULE TABLE`.

Prints, for each of the twins in that table of `impl_twins.py`, its contract, its name and what is objected.
"""

from __future__ import annotations

import importlib
import json
import sys

from proofs import impl_twins
from proofs._check import objections, verdicts


def main(seconds: str, module: str, table: str, *names: str) -> None:
    there = importlib.import_module(module)
    for contract, twins in getattr(impl_twins, table).items():
        for name, twin in twins.items():
            if not names or name in names:
                with twin.instead():
                    function = getattr(there, contract)
                    against = objections(function, verdicts(function, float(seconds)))
                sys.stdout.write(f"{json.dumps([contract, name, against])}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
