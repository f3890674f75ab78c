"""Compilation in a child process that can be killed: within limits of CPU time, memory and time, so many at once.

wasmtime cannot be told to give up on a module, and a module of a few kilobytes can be written so that it compiles for
minutes, or takes all memory. So the process that serves does not compile: it starts one that does, and reads the
compiled code from a pipe. What can go wrong with a child is in `_child_process.py`, who takes turns here, and what is
told of it in `_child_errors.py`.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Literal

from hotswap._errors import Overloaded
from hotswap._runtime._child_errors import cannot_start, code_of, no_turn
from hotswap._runtime._child_process import request, run

if TYPE_CHECKING:
    from hotswap._runtime._admit import Admitted

Phase = Literal["waiting", "starting", "compiling", "done"]
TELL_EVERY_S: Final = 1.0
REAP_S: Final = 10.0
"""How long a caller that gives up waits to see its child gone."""


@dataclass(frozen=True, slots=True)
class CompileProgress:
    """How far one compilation is."""

    origin: str
    """What messages call the module."""
    phase: Phase
    """`waiting` for its turn, `starting` a child, `compiling`, `done`. One that is over quickly may not be seen."""
    seconds: float
    """Since it was asked for."""
    module_bytes: int
    code_bytes: int
    """Of the compiled code; 0 until it is done."""


class ChildCompiler:
    """Compiles each module in a process of its own. Thread-safe; for `use_compiler`.

    `cpu_s` and `address_space_mb` are what a child may use, `wall_s` how long it may take, `at_once` how many there may
    be at a time; a compilation waits for its turn `queue_timeout` seconds at most. `on_progress` is called with a
    `CompileProgress` by whoever waits for the module, when the phase changes and each second; if it raises, the child
    is killed, and the exception goes on. `python` is the interpreter, if `sys.executable` is none.
    """

    def __init__(
        self,
        *,
        cpu_s: int = 20,
        address_space_mb: int = 1024,
        wall_s: float = 120.0,
        at_once: int = 2,
        queue_timeout: float = 60.0,
        on_progress: Callable[[CompileProgress], None] | None = None,
        python: str | None = None,
    ) -> None:
        for name, value in (("cpu_s", cpu_s), ("address_space_mb", address_space_mb), ("at_once", at_once)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: expected a whole number, 1 or more, found {value!r}")
        for name, seconds in (("wall_s", wall_s), ("queue_timeout", queue_timeout)):
            if not 0 <= seconds <= threading.TIMEOUT_MAX:
                raise ValueError(f"{name}: expected 0 to {threading.TIMEOUT_MAX:g} seconds, found {seconds!r}")
        self.cpu_s, self.address_space_mb, self.wall_s = cpu_s, address_space_mb, wall_s
        self.at_once, self.queue_timeout = at_once, queue_timeout
        self.on_progress, self.python = on_progress, python
        self._turns, self._process = Turns(at_once), os.getpid()

    @property
    def turns(self) -> Turns:
        """A forked process has turns of its own: in its parent's, somebody may be who does not exist here."""
        if self._process != os.getpid():
            self._turns, self._process = Turns(self.at_once), os.getpid()
        return self._turns

    def compile(self, admitted: Admitted, settings: Mapping[str, object]) -> bytes:
        """The compiled code, serialized. Raises `ModuleRejected` and its kinds, and `Overloaded`.

        Whatever strikes while this waits, Ctrl-C above all: the child is gone when it goes on.
        """
        job = Job(self, admitted, settings)
        try:
            job.start()
            return job.followed()
        finally:
            try:
                job.close()
            except BaseException:
                job.close()
                raise


class Turns:
    """So many at once, first come, first served. Used on the threads of jobs only, where nothing strikes."""

    def __init__(self, at_once: int) -> None:
        self._lock, self._free = threading.Lock(), at_once
        self._waiting: deque[SimpleQueue[bool]] = deque()

    def enter(self, called: SimpleQueue[bool], timeout: float) -> bool:
        """Whether it is this one's turn now. Anything put into `called` ends the wait."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            self._waiting.append(called)
        try:
            called.get(timeout=timeout)
        except Empty:
            pass
        with self._lock:
            if called not in self._waiting:  # handed over, at the last moment perhaps
                return True
            self._waiting.remove(called)
            return False

    def leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().put(True)
            else:
                self._free += 1


class Job:
    """One compilation: what its thread does, and what the caller does meanwhile."""

    def __init__(self, compiler: ChildCompiler, admitted: Admitted, settings: Mapping[str, object]) -> None:
        self._compiler, self._admitted, self._settings = compiler, admitted, settings
        self._since = time.monotonic()
        self._news: SimpleQueue[Phase] = SimpleQueue()
        self._called: SimpleQueue[bool] = SimpleQueue()
        self._until: socket.socket | None = None
        self._begun = self._given_up = self._over = False
        self._code = b""
        self._error: BaseException | None = None

    # -- on the caller's thread ------------------------------------------------------------------------------

    def start(self) -> None:
        try:
            threading.Thread(target=self._run, name="hotswap-compile", daemon=True).start()
        except RuntimeError as error:
            raise Overloaded(
                f"{self._admitted.origin}: expected a thread for its compilation, and none can be started: {error}"
            ) from error

    def followed(self) -> bytes:
        """The code, when it is done; meanwhile, tell how far it is."""
        tell, phase = self._compiler.on_progress, None
        while phase != "done":
            try:
                phase = self._news.get(timeout=TELL_EVERY_S if tell and phase else None)
            except Empty:
                pass
            if tell and phase and not self._error:
                seconds = time.monotonic() - self._since
                tell(CompileProgress(self._admitted.origin, phase, seconds, len(self._admitted.wasm), len(self._code)))
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._code

    def close(self) -> None:
        """Nothing is left afterwards, and may be done again."""
        self._given_up = True
        if not self._begun:
            return  # and it will see that before it does anything
        self._called.put(False)
        while not self._over:
            self._hang_up()
            try:
                self._news.get(timeout=REAP_S)
            except Empty:
                return
        self._hang_up()

    def _hang_up(self) -> None:
        """Shut down too, since a process that was forked meanwhile has the same socket."""
        if self._until is not None:
            with suppress(OSError):
                self._until.shutdown(socket.SHUT_RDWR)
            self._until.close()

    # -- on its own thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        self._begun = True
        try:
            if not self._given_up:
                self._take_turn()
        except BaseException as error:  # noqa: BLE001  raised again by `followed`
            self._error = error
        finally:
            self._over = True
            self._news.put("done")

    def _take_turn(self) -> None:
        compiler = self._compiler
        turns = compiler.turns
        self._news.put("waiting")
        if not turns.enter(self._called, compiler.queue_timeout):
            raise no_turn(self._admitted.origin, compiler)
        try:
            if self._given_up:
                return
            mine, theirs = socket.socketpair()
            with mine:
                self._until = theirs
                self._compile(mine)
        except OSError as error:
            raise cannot_start(self._admitted.origin, compiler.python or sys.executable, str(error)) from error
        finally:
            turns.leave()

    def _compile(self, until: socket.socket) -> None:
        compiler, admitted = self._compiler, self._admitted
        python = compiler.python or sys.executable
        if not python:
            raise cannot_start(admitted.origin, "", "sys.executable is empty")
        self._news.put("starting")
        ended = run(
            python,
            request(admitted.wasm, self._settings, compiler.cpu_s, compiler.address_space_mb),
            until,
            compiler.wall_s,
            compiler.address_space_mb << 20,
            lambda: self._news.put("compiling"),
        )
        self._code = code_of(ended, admitted.origin, python, compiler)
