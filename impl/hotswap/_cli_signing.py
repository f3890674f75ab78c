"""The commands that make keys, sign plugins and verify them. They need the extra `signing`, and only they import it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hotswap._cli_options import PATH, errors_shown, json_option, manifest_option, plugin_argument
from hotswap._errors import SignatureError
from hotswap._manifest import LARGEST

_signature = click.option("--signature", type=PATH, help="The signature's file; default: PLUGIN with .sig added.")


@click.command()
@click.argument("name")
@click.option("--folder", type=PATH, default=Path(), help="Where to; default: the current folder.")
@click.option("--encrypt", is_flag=True, help="Ask for a passphrase that protects the private key.")
@json_option
def keygen(name: str, folder: Path, encrypt: bool, as_json: bool) -> None:
    """Make a key pair.

    NAME.key is the private key, readable for you only: keep it secret. NAME.pem is the public key: it goes into the
    trust stores of those who shall believe what you sign. Neither file is ever overwritten.
    """
    from hotswap.signing import SigningKey, TrustStore

    with errors_shown(as_json):
        key = SigningKey.generate()
        # A name that no store would take is refused now, and not by those who get the key.
        TrustStore({name: key.public_pem()}, origin="the name given")
        phrase = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True) if encrypt else None
        private, public = folder / f"{name}.key", folder / f"{name}.pem"
        key.save(private, public, None if phrase is None else phrase.encode())
    if as_json:
        click.echo(json.dumps({"private": str(private), "public": str(public), "key": key.fingerprint}))
    else:
        click.echo(f"private key  {private} (keep it secret)\npublic key   {public}\nSHA-256      {key.fingerprint}")


@click.command()
@plugin_argument
@click.option("--key", "key_file", type=PATH, required=True, help="The private key, NAME.key of hotswap keygen.")
@manifest_option
@_signature
@json_option
def sign(plugin: Path, key_file: Path, manifest: Path | None, signature: Path | None, as_json: bool) -> None:
    """Sign a plugin: a .wasm file and its manifest, together.

    The signature is written beside the module; one that was there is replaced.
    """
    from hotswap.signing._files import replace_file
    from hotswap.signing._keys import SigningKey, is_encrypted, private_pem_of
    from hotswap.signing._verify import PluginFiles
    from hotswap.signing._verify import sign as signed

    files = PluginFiles.of(plugin, manifest, signature)
    with errors_shown(as_json):
        toml, wasm = files.read_manifest(), files.read_module(LARGEST.max_module_kb)
        pem = private_pem_of(key_file)
        phrase = click.prompt("Passphrase", hide_input=True, err=True).encode() if is_encrypted(pem) else None
        key = SigningKey.from_pem(pem, phrase, origin=f"key file {str(key_file)!r}")
        content = signed(wasm, toml, key)
        try:
            replace_file(files.signature, content)
        except OSError as error:
            raise SignatureError(f"{files.signature}: the signature cannot be written: {error}") from error
    if as_json:
        click.echo(json.dumps({"signature": str(files.signature), "key": key.fingerprint}))
    else:
        click.echo(f"signed: {files.module} and {files.manifest} -> {files.signature}")


@click.command()
@plugin_argument
@click.option("--trust", "folder", type=PATH, required=True, help="A folder of public keys, NAME.pem.")
@manifest_option
@_signature
@json_option
def verify(plugin: Path, folder: Path, manifest: Path | None, signature: Path | None, as_json: bool) -> None:
    """Has somebody in a trust store signed this plugin?

    Exit status 0 if so, 1 if not. Nothing of the plugin is compiled or run.
    """
    from hotswap.signing import TrustStore, verified

    with errors_shown(as_json, "refused", verified=False):
        found = verified(plugin, TrustStore.from_directory(folder), manifest=manifest, signature=signature)
    metadata = found.manifest.plugin
    if as_json:
        facts = {"verified": True, "signer": found.wasm.signer, "name": metadata.name, "version": metadata.version}
        click.echo(json.dumps(facts))
    else:
        click.echo(f"verified: {metadata.name} {metadata.version}, signed by {found.wasm.signer}")
