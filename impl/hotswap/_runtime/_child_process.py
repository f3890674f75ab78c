"""One child that compiles one module: started, fed, listened to, and seen gone, whatever happens meanwhile.

All of this is done on a thread of its own, where no signal handler runs: Ctrl-C can strike whoever waits, and never
the lines that reap the child and close the pipes. The caller holds one end of a pair of sockets; once that is closed,
by hand or because the caller is no more, the child is killed. So no lock is shared between the caller and the thread.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

import wasmtime

from hotswap._runtime._child_main import ANSWERS, FRAME, LENGTH, READY

SCRIPT: Final = Path(__file__).resolve().with_name("_child_main.py")
OPTIONS: Final = ("-S", "-s", "-P", "-B")
"""No site, no user's site, no folder of the script, no bytecode: where to look for wasmtime is told instead."""
NEEDED: Final = ("LD_LIBRARY_PATH", "PYTHONHOME")
"""Of the environment: without them some interpreters do not start."""
PIPE_BYTES: Final = 1 << 20
"""Each read waits for the interpreter, so fewer are better; where the system gives less, less will do."""
WAIT_S_MAX: Final = 3_600.0
"""`poll` counts milliseconds in 31 bits; whoever waits for longer waits again."""
COMPLAINT_BYTES_MAX: Final = 4_000


class Ended(NamedTuple):
    """How it went."""

    status: int
    """As of `Popen.returncode`: a signal is negative."""
    ready: bool
    """Whether it came as far as reading the module."""
    kind: bytes
    """Of its answer; empty if there is none, or none that can be understood."""
    contents: bytes
    complaint: str
    """The end of what it wrote to its standard error."""
    overdue: bool = False
    garbled: bool = False
    """Whether it answered what nobody understands, and was killed."""


class Answer:
    """The frames that a child writes, as they come in."""

    def __init__(self, bytes_max: int) -> None:
        self._came, self._bytes_max = bytearray(), bytes_max
        self.ready, self.garbled, self.kind = False, False, b""

    @property
    def over(self) -> bool:
        return self.garbled or bool(self.kind)

    @property
    def contents(self) -> bytes:
        return bytes(memoryview(self._came)[FRAME.size :])

    def add(self, came: bytes) -> None:
        self._came += came
        if not self.ready and len(self._came) >= FRAME.size:
            self.ready = self._came.startswith(FRAME.pack(READY, 0))
            self.garbled = not self.ready
            del self._came[: FRAME.size]
        if self.ready and len(self._came) >= FRAME.size:
            kind, length = FRAME.unpack_from(self._came)
            beyond = len(self._came) - FRAME.size - length
            self.garbled = kind not in ANSWERS or length > self._bytes_max or beyond > 0
            self.kind = kind if beyond == 0 else b""


def request(wasm: bytes, settings: Mapping[str, object], cpu_s: int, address_space_mb: int) -> list[bytes]:
    """What the child is sent.

    It looks for wasmtime where this process has found it. A path that is not absolute may have led elsewhere then: to
    folders that others write to, now.
    """
    found = str(Path(wasmtime.__file__).parent.parent)
    head = {
        "path": [found, *(each for each in sys.path if isinstance(each, str) and Path(each).is_absolute())],
        "settings": dict(settings),
        "cpu_s": cpu_s,
        "address_space_mb": address_space_mb,
    }
    text = json.dumps(head).encode()
    return [LENGTH.pack(len(text)) + text + LENGTH.pack(len(wasm)), wasm]


def run(
    python: str, sent: list[bytes], until: socket.socket, wall_s: float, answer_max: int, ready: Callable[[], None]
) -> Ended:
    """Run a child to its end, at most so long, or until the other end of that socket is closed. Raises `OSError`."""
    process = subprocess.Popen(  # noqa: S603
        [python, *OPTIONS, str(SCRIPT)],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: os.environ[name] for name in NEEDED if name in os.environ},
        process_group=0,  # Ctrl-C at a terminal is not for it
    )
    with process:
        try:
            return _Talk(process, sent, Answer(answer_max)).to_its_end(until, wall_s, ready)
        finally:
            process.kill()


class _Talk:
    def __init__(self, process: subprocess.Popen[bytes], sent: list[bytes], answer: Answer) -> None:
        self._process, self._answer, self._complaint = process, answer, b""
        pipes = process.stdin, process.stdout, process.stderr
        self._in, self._out, self._err = (pipe for pipe in pipes if pipe is not None)  # all three were asked for
        self._left = [memoryview(each) for each in sent]

    def to_its_end(self, until: socket.socket, wall_s: float, ready: Callable[[], None]) -> Ended:
        deadline, overdue, told = time.monotonic() + wall_s, False, False
        with selectors.PollSelector() as selector:
            for file, events, work in (
                (self._in, selectors.EVENT_WRITE, self._write),
                (self._out, selectors.EVENT_READ, self._read),
                (self._err, selectors.EVENT_READ, self._listen),
            ):
                _prepare(file)
                selector.register(file, events, work)
            selector.register(until, selectors.EVENT_READ)
            open_ = {self._out, self._err}
            while open_ and not self._answer.over:
                left = deadline - time.monotonic()
                overdue = left <= 0
                if overdue:
                    break
                for key, _ in selector.select(min(left, WAIT_S_MAX)):
                    if key.data is None:
                        return self._ended(False)
                    if not key.data():
                        selector.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]
                        open_ -= {key.fileobj}
                if self._answer.ready and not told:
                    told = True
                    ready()
        if not self._answer.over and not overdue:  # it has closed its pipes: it is dead, or will be
            try:
                self._process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                overdue = True
        return self._ended(overdue)

    def _ended(self, overdue: bool) -> Ended:
        """Killing it first changes nothing for one that has ended."""
        self._process.kill()
        status, answer = self._process.wait(), self._answer
        complaint = self._complaint.decode(errors="replace").strip()
        kind = b"" if answer.garbled else answer.kind
        contents = answer.contents if kind else b""
        return Ended(status, answer.ready, kind, contents, complaint, overdue, answer.garbled)

    def _write(self) -> bool:
        """Each of these three says whether there is more to come."""
        try:
            written = os.write(self._in.fileno(), self._left[0])
        except BlockingIOError:
            return True
        except BrokenPipeError:  # how it ended says more
            return False
        self._left[0] = self._left[0][written:]
        if not self._left[0]:
            del self._left[0]
        return bool(self._left)

    def _read(self) -> bool:
        came = os.read(self._out.fileno(), PIPE_BYTES)
        self._answer.add(came)
        return bool(came)

    def _listen(self) -> bool:
        came = os.read(self._err.fileno(), PIPE_BYTES)
        self._complaint = (self._complaint + came)[-COMPLAINT_BYTES_MAX:]
        return bool(came)


def _prepare(pipe: IO[bytes]) -> None:
    os.set_blocking(pipe.fileno(), False)
    with suppress(ImportError, OSError, AttributeError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
