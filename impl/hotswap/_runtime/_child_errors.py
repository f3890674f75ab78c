"""What is told of a child that compiles, by how it ended."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from hotswap._errors import HotswapError, LimitExceeded, ModuleRejected, Overloaded
from hotswap._runtime._admit import does_not_compile
from hotswap._runtime._child_main import MODULE, NO_MEMORY, REFUSED

if TYPE_CHECKING:
    from hotswap._runtime._child import ChildCompiler
    from hotswap._runtime._child_process import Ended

SWITCH = "HOTSWAP_COMPILE"
_NO_MEMORY = ("memory allocation of", "MemoryError")
"""What wasmtime says, and what Python does, when there is none."""
_RAISE = "{} of hotswap.ChildCompiler, if you know the module"


def code_of(ended: Ended, origin: str, python: str, limits: ChildCompiler) -> bytes:
    """The compiled code. Raises what the child's end means."""
    if ended.kind == MODULE:
        return ended.contents
    raise _error(ended, origin, python, limits)


def _error(ended: Ended, origin: str, python: str, limits: ChildCompiler) -> HotswapError:
    if ended.kind == REFUSED:
        return does_not_compile(origin, ended.contents.decode(errors="replace"))
    if ended.overdue:
        return Overloaded(
            f"{origin}: expected the module to compile within {limits.wall_s:g} s, found it not done. Try again when "
            f"the machine has less to do, or raise {_RAISE.format('wall_s')}"
        )
    if _out_of_memory(ended):
        return LimitExceeded(
            f"{origin}: expected the module to compile in {limits.address_space_mb} MB of address space, found that it "
            f"takes more. Make its functions smaller, or raise {_RAISE.format('address_space_mb')}"
        )
    if ended.status == -signal.SIGXCPU:
        return LimitExceeded(
            f"{origin}: expected the module to compile in {limits.cpu_s} s of CPU time, found that it takes more. "
            f"Make its functions smaller, or raise {_RAISE.format('cpu_s')}"
        )
    if not ended.ready and not ended.garbled:
        return cannot_start(origin, python, f"it ended with {_end(ended)}{_said(ended)}")
    if ended.status == -signal.SIGKILL and not ended.garbled:
        return Overloaded(
            f"{origin}: the process that compiled the module was killed from outside, as the system does when memory "
            "is short; expected it to end by itself. Try again when there is more, or lower at_once of "
            "hotswap.ChildCompiler"
        )
    found = "an answer that nobody understands" if ended.garbled else f"that it ended with {_end(ended)}"
    return ModuleRejected(
        f"{origin}: expected compiled code from the process that compiles the module, found {found}{_said(ended)}. "
        "Do not use the module: it may have met a defect of the compiler"
    )


def cannot_start(origin: str, python: str, why: str) -> Overloaded:
    return Overloaded(
        f"{origin}: expected {python!r} to start and to import wasmtime, for compiling in a process of its own, and it "
        f"did not: {why}. Name an interpreter as python of hotswap.ChildCompiler, or see what the system lacks; "
        f"hotswap.use_compiler(hotswap.InProcess()), or {SWITCH}=inprocess, compiles modules that you trust without"
    )


def no_turn(origin: str, limits: ChildCompiler) -> Overloaded:
    return Overloaded(
        f"{origin}: expected to be compiled within {limits.queue_timeout:g} s, found {limits.at_once} others being "
        f"compiled all that time. Try again later, or raise {_RAISE.format('at_once or queue_timeout')}"
    )


def _out_of_memory(ended: Ended) -> bool:
    said = any(words in ended.complaint for words in _NO_MEMORY)
    return ended.kind == NO_MEMORY or (ended.status != 0 and said)


def _end(ended: Ended) -> str:
    if ended.status >= 0:
        return f"status {ended.status}"
    try:
        return signal.Signals(-ended.status).name
    except ValueError:
        return f"signal {-ended.status}"


def _said(ended: Ended) -> str:
    return f", saying {ended.complaint[-500:]!r}" if ended.complaint else ""
