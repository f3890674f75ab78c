"""From what an embedder hands over (bytes, a path, or WAT text) to bytes, of which no more are read than allowed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import wasmtime

from hotswap._errors import ModuleRejected
from hotswap._wasm import too_large

_MAGIC = b"\0asm"


class Source(NamedTuple):
    """Bytes that may be a module, and what messages call them."""

    wasm: bytes
    origin: str


def read_wasm(wasm: object, max_module_kb: int) -> Source:
    """The bytes. A str that starts, after blanks, with `(` or `;;` is WAT; any other str is a path.

    Raises `ModuleRejected` for what cannot be read, and `LimitExceeded` for what is larger, in binary or as text.
    """
    limit = max_module_kb << 10
    if isinstance(wasm, bytes | bytearray | memoryview):
        size, origin = memoryview(wasm).nbytes, "the bytes given"
        if size > limit:
            raise too_large(origin, max_module_kb, f"{size} bytes")
        return Source(bytes(wasm), origin)
    if isinstance(wasm, str) and wasm.lstrip().startswith(("(", ";;")):
        origin = "the WAT given"
        if len(wasm) > limit:
            raise too_large(origin, max_module_kb, f"{len(wasm)} characters")
        return Source(_from_wat(wasm), origin)
    if isinstance(wasm, str | os.PathLike):
        return Source(_from_file(Path(wasm), max_module_kb), f"file {os.fspath(wasm)!r}")
    raise ModuleRejected(f"wasm: expected bytes, a path or WAT text, found {type(wasm).__name__}")


def _from_wat(text: str) -> bytes:
    try:
        return bytes(wasmtime.wat2wasm(text))
    except (wasmtime.WasmtimeError, UnicodeEncodeError) as error:
        raise ModuleRejected(f"the WAT given does not parse: {error}") from error


def _from_file(path: Path, max_module_kb: int) -> bytes:
    limit = max_module_kb << 10
    try:
        with path.open("rb") as file:
            code = file.read(limit + 1)  # a file that grows, or has no end, is not read to its end
    except (OSError, ValueError) as error:
        raise ModuleRejected(f"file {str(path)!r} cannot be read: {error}; expected a .wasm or .wat file") from error
    if len(code) > limit:
        raise too_large(f"file {str(path)!r}", max_module_kb, "more")
    if code[:4] != _MAGIC and path.suffix == ".wat" and code.strip():  # a blank file is WAT too, but hardly meant
        try:
            return _from_wat(code.decode())
        except UnicodeDecodeError as error:
            raise ModuleRejected(f"file {str(path)!r}: expected WAT in UTF-8, found other bytes: {error}") from error
    return code
