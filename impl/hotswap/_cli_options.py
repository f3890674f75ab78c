"""What the commands of `hotswap` have in common: arguments, options, and how an error is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from hotswap._cli_plugin import error_json, error_text
from hotswap._errors import HotswapError

FAILED = 1

PATH = click.Path(path_type=Path)  # whether it can be read, hotswap's own errors tell
plugin_argument = click.argument("plugin", type=PATH)
manifest_option = click.option("--manifest", type=PATH, help="The manifest; default: PLUGIN's stem with .toml.")
json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, errors too.")


@contextmanager
def errors_shown(as_json: bool, headline: str = "error", **facts: object) -> Iterator[None]:
    """A `HotswapError` becomes one message, on stderr or as JSON with `facts` on stdout, and exit status 1."""
    try:
        yield
    except HotswapError as error:
        if as_json:
            click.echo(json.dumps({**facts, **error_json(error)}))
        else:
            click.echo(f"{headline}: {error_text(error)}", err=True)
        raise click.exceptions.Exit(FAILED) from error
