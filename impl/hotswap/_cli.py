"""The entry point of the command `hotswap`. Its commands need the extra `cli`; without it, this says so."""

from __future__ import annotations

import sys

_EXTRA = {"click", "rich"}


def main() -> None:
    """Run the command line; ends the process with its exit status."""
    try:
        from hotswap._cli_commands import cli

        cli(prog_name="hotswap")
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in _EXTRA:
            raise
        print("the command line needs click and rich: pip install 'hotswap[cli]'", file=sys.stderr)
        sys.exit(1)
