"""The commands of `hotswap`: what an author or an operator asks about plugins without writing Python.

Exit status: 0 for yes and done (and for `inspect`, which tells), 1 for a `HotswapError` or a refusal, 2 for a wrong
use of the command line, 130 for a demo that was interrupted. With `--json` the one answer on stdout is JSON,
an error too.
"""

from __future__ import annotations

import json
import sys
import sysconfig
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import click

from hotswap._cli_options import FAILED, PATH, errors_shown, json_option, manifest_option, plugin_argument
from hotswap._cli_plugin import (
    facts_json,
    facts_text,
    find_manifest,
    load_plugin,
    made_manifest,
    parse_arguments,
    try_out,
    value_json,
    value_text,
)
from hotswap._cli_signing import keygen, sign, verify
from hotswap._compat import require, upgrade_problems
from hotswap._errors import HotswapError, IncompatibleUpgrade
from hotswap._runtime._inspect import inspect_module

INTERRUPTED = 130
_LOG_COLUMNS = 100


@click.group()
@click.version_option(package_name="hotswap", message="%(prog)s %(version)s")
def cli() -> None:
    """Upgrade WebAssembly plugins inside a running Python service, without dropping a call."""


@cli.command(context_settings={"ignore_unknown_options": True})  # so that -1 is an argument
@plugin_argument
@click.argument("func")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@manifest_option
@click.option("--bytes", "text", help="Make a bytes call with this text, in UTF-8.")
@click.option("--bytes-file", type=click.File("rb"), help="Make a bytes call with this file's content; - is stdin.")
@click.option("--hex", "as_hex", is_flag=True, help="Write the reply of a bytes call in hexadecimal.")
@json_option
def call(
    plugin: Path,
    func: str,
    args: tuple[str, ...],
    manifest: Path | None,
    text: str | None,
    bytes_file: BinaryIO | None,
    as_hex: bool,
    as_json: bool,
) -> None:
    """Call a plugin's function once.

    PLUGIN is a .wasm or .wat file; ARGS are numbers, as FUNC's signature asks for them. Without a manifest, the
    default limits apply.
    """
    if text is not None and bytes_file is not None:
        raise click.UsageError("--bytes and --bytes-file: give one of them")
    data = text.encode("utf-8", "surrogateescape") if text is not None else bytes_file.read() if bytes_file else None
    if data is not None and args:
        raise click.UsageError(f"a bytes call takes no other arguments, found {' '.join(args)}")
    if data is None and as_hex:
        raise click.UsageError("--hex is for a bytes call: give --bytes or --bytes-file too")
    with errors_shown(as_json):
        code = load_plugin(plugin, find_manifest(plugin, manifest) or made_manifest(plugin))
        with closing(code.instantiate(probe=True)) as instance:
            if data is not None:
                _write_reply(instance.call_bytes(func, data), as_hex, as_json)
                return
            signature = code.facts.functions.get(func)
            numbers = () if signature is None else parse_arguments(func, signature, args)
            value = instance.call(func, numbers)
    if as_json:
        click.echo(json.dumps({"result": value_json(value)}))
    elif value is not None:
        click.echo(value_text(value))


def _write_reply(reply: bytes, as_hex: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"result_hex": reply.hex()}))
    elif as_hex:
        click.echo(reply.hex())
    else:
        click.echo(reply, nl=False)  # raw


@cli.command()
@plugin_argument
@manifest_option
@json_option
def inspect(plugin: Path, manifest: Path | None, as_json: bool) -> None:
    """Show what a plugin is made of.

    Its exports and imports, and whether hotswap would accept it: to find that out, the module is checked against
    its manifest, instantiated, initialised and probed once.
    """
    with errors_shown(as_json):
        report = inspect_module(plugin)
    refusal = None
    try:
        try_out(plugin, manifest)
    except HotswapError as error:
        refusal = error
    click.echo(json.dumps(facts_json(report, refusal)) if as_json else facts_text(report, refusal))


@cli.command()
@click.argument("old", type=PATH)
@click.argument("new", type=PATH)
@click.option("--old-manifest", type=PATH, help="Default: OLD's stem with .toml.")
@click.option("--new-manifest", type=PATH, help="Default: NEW's stem with .toml.")
@click.option("--allow-downgrade", is_flag=True, help="NEW may be an older version.")
@click.option("--allow-rebuild", is_flag=True, help="NEW may be the same version with other bytes.")
@click.option("--allow-escalation", is_flag=True, help="NEW may ask for more capabilities and larger limits.")
@json_option
def check(
    old: Path,
    new: Path,
    old_manifest: Path | None,
    new_manifest: Path | None,
    allow_downgrade: bool,
    allow_rebuild: bool,
    allow_escalation: bool,
    as_json: bool,
) -> None:
    """Would this upgrade be accepted?

    Exit status 0 if so, 1 if not. These are the checks of the upgrade itself; NEW is instantiated, initialised and
    probed once. A plugin without a manifest is taken to have the other's name and version; limits are compared only
    if there are two.
    """
    with errors_shown(as_json, "refused", accepted=False):
        was, now = find_manifest(old, old_manifest), find_manifest(new, new_manifest)
        unknown = was is None or now is None
        was = was or made_manifest(old, like=now)
        now = now or made_manifest(new, like=was)
        old_code, new_code = load_plugin(old, was), load_plugin(new, now)
        problems = upgrade_problems(
            (was, old_code.facts),
            (now, new_code.facts),
            allow_downgrade=allow_downgrade,
            allow_rebuild=allow_rebuild or unknown,
            allow_escalation=allow_escalation or unknown,
        )
        require(problems, IncompatibleUpgrade, f"plugin {was.plugin.name!r}: the upgrade was refused")
        new_code.instantiate(probe=True).close()
    if as_json:
        click.echo(json.dumps({"accepted": True}))
    else:
        click.echo(f"accepted: {was.plugin.name} {was.plugin.version} -> {now.plugin.version}")


@cli.command()
@click.option("--steady", "steady_s", type=click.FloatRange(min=0), default=1.0, show_default=True, metavar="SECONDS")
@click.option(
    "--files",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The files to compute checksums of; default: the standard library of this Python.",
)
def demo(steady_s: float, folder: Path | None) -> None:
    """Upgrade a plugin under load.

    Threads call it without a pause, and every answer is checked. Calls go on for --steady SECONDS before and after
    each upgrade. Exit status 0 if no answer was wrong, no call was dropped, and every upgrade ended as it must.
    """
    try:
        from rich.console import Console

        from hotswap._demo import Settings, read_samples, run_demo

        folder = folder or Path(sysconfig.get_paths()["stdlib"])
        terminal = sys.stdout.isatty()  # a log is none, whatever FORCE_COLOR says
        console = Console(force_terminal=terminal, width=None if terminal else _LOG_COLUMNS)
        samples = read_samples(folder)
        if not samples:
            raise click.UsageError(f"{folder}: expected files of at most 1 MiB, found none; give other --files")
        with errors_shown(as_json=False):
            report = run_demo(console, samples, Settings(steady_s=steady_s))
    except KeyboardInterrupt:
        click.echo("interrupted: the threads have ended and the plugins are closed", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    if report.problems:
        raise click.exceptions.Exit(FAILED)


for command in (keygen, sign, verify):
    cli.add_command(command)
