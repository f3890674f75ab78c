"""What runs in the child that compiles. `_child_process.py` starts this file as a script, and is its only reader.

It imports wasmtime and the standard library, and nothing of hotswap: that halves its start. All that it needs to know
comes through its standard input: a head in JSON (where to find wasmtime, the settings of the engine, the limits), then
the module, each after its length. It answers in frames of a kind, a length and the contents, on its standard output.

The limits are in force before the first byte of the module is read.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from typing import BinaryIO, Final

FRAME: Final = struct.Struct("<cQ")
LENGTH: Final = struct.Struct("<Q")
READY: Final = b"R"
MODULE: Final = b"M"
REFUSED: Final = b"E"
NO_MEMORY: Final = b"L"
ANSWERS: Final = (MODULE, REFUSED, NO_MEMORY)
FILES_MAX: Final = 16
NICE: Final = 5
"""The calls of plugins that serve come first. It tells within a session only, which is why the child stays in ours."""


def main() -> None:
    import resource  # here, for the parent imports this file too, and may be on a system that has no such thing

    source, answers = sys.stdin.buffer, sys.stdout.buffer
    head = json.loads(_read(source))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, head["cpu_s"], grace=1)
    os.nice(NICE)
    sys.path += head["path"]
    import wasmtime

    config = wasmtime.Config()
    for setting, value in head["settings"].items():
        setattr(config, setting, value)
    engine = wasmtime.Engine(config)
    _limit(resource.RLIMIT_AS, head["address_space_mb"] << 20)
    _limit(resource.RLIMIT_NOFILE, FILES_MAX)
    _limit(resource.RLIMIT_FSIZE, 0)
    _answer(answers, READY, b"")
    wasm = _read(source)
    try:
        kind, contents = MODULE, bytes(wasmtime.Module(engine, wasm).serialize())
    except wasmtime.WasmtimeError as error:
        text = str(error)
        kind, contents = NO_MEMORY if "Cannot allocate memory" in text else REFUSED, text.encode()
    except MemoryError:
        kind, contents = NO_MEMORY, b""
    _answer(answers, kind, contents)


def _limit(what: int, most: int, grace: int = 0) -> None:
    """Never above what this process may have anyway."""
    import resource

    ceiling = resource.getrlimit(what)[1]
    if ceiling == resource.RLIM_INFINITY or most + grace < ceiling:
        ceiling = most + grace
    resource.setrlimit(what, (min(most, ceiling), ceiling))


def _read(source: BinaryIO) -> bytes:
    """The next length and what follows it. The parent that has gone away is the end."""
    length = source.read(LENGTH.size)
    if len(length) == LENGTH.size:
        contents = source.read(*LENGTH.unpack(length))
        if len(contents) == LENGTH.unpack(length)[0]:
            return contents
    raise SystemExit(1)


def _answer(answers: BinaryIO, kind: bytes, contents: bytes) -> None:
    answers.write(FRAME.pack(kind, len(contents)))
    answers.write(contents)
    answers.flush()


if __name__ == "__main__":
    main()
