"""The entry point of the command `hotswap`. Its commands need the extra `cli`, and three of them `signing`;
without these, this says so."""

from __future__ import annotations

import sys

_EXTRAS = {
    "click": "the command line needs click and rich: pip install 'hotswap[cli]'",
    "rich": "the command line needs click and rich: pip install 'hotswap[cli]'",
    "cryptography": "signing needs cryptography: pip install 'hotswap[signing]'",
}


def main() -> None:
    """Run the command line; ends the process with its exit status."""
    try:
        from hotswap._cli_commands import cli

        cli(prog_name="hotswap")
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing not in _EXTRAS:
            raise
        print(_EXTRAS[missing], file=sys.stderr)
        sys.exit(1)
