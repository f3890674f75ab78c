"""From what an embedder hands over (bytes, a path, or WAT text) to the bytes of a module."""

from __future__ import annotations

import os
from pathlib import Path

import wasmtime

from hotswap._errors import ModuleRejected

_MAGIC = b"\0asm"
_MODULE = b"\1\0\0\0"
_COMPONENT = b"\x0d\0\1\0"


def read_wasm(wasm: object) -> bytes:
    """The module's bytes. A str that starts, after blanks, with `(` or `;;` is WAT; any other str is a path.

    Raises `ModuleRejected` for what cannot be read, is no module, or is a component.
    """
    if isinstance(wasm, bytes | bytearray | memoryview):
        code, origin = bytes(wasm), "the bytes given"
    elif isinstance(wasm, str) and wasm.lstrip().startswith(("(", ";;")):
        code, origin = _from_wat(wasm), "the WAT given"
    elif isinstance(wasm, str | os.PathLike):
        code, origin = _from_file(Path(wasm)), f"file {os.fspath(wasm)!r}"
    else:
        raise ModuleRejected(f"wasm: expected bytes, a path or WAT text, found {type(wasm).__name__}")
    if code[:4] != _MAGIC:
        found = f"{len(code)} bytes that start with {code[:4]!r}" if code else "nothing"
        raise ModuleRejected(f"{origin}: expected a wasm module, which starts with {_MAGIC!r}, found {found}")
    if code[4:8] == _COMPONENT:
        raise ModuleRejected(f"{origin}: expected a core wasm module, found a component; build it as a module")
    if code[4:8] != _MODULE:
        raise ModuleRejected(f"{origin}: expected wasm version 1, found the version bytes {code[4:8]!r}")
    return code


def _from_wat(text: str) -> bytes:
    try:
        return bytes(wasmtime.wat2wasm(text))
    except (wasmtime.WasmtimeError, UnicodeEncodeError) as error:
        raise ModuleRejected(f"the WAT given does not parse: {error}") from error


def _from_file(path: Path) -> bytes:
    try:
        code = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ModuleRejected(f"file {str(path)!r} cannot be read: {error}; expected a .wasm or .wat file") from error
    if code[:4] != _MAGIC and path.suffix == ".wat" and code.strip():  # a blank file is WAT too, but hardly meant
        try:
            return _from_wat(code.decode())
        except UnicodeDecodeError as error:
            raise ModuleRejected(f"file {str(path)!r}: expected WAT in UTF-8, found other bytes: {error}") from error
    return code
