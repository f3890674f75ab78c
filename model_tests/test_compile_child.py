"""Compilation in a child: the same code, every way to die told, and nothing left of a child, whatever strikes."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import pytest
import wasmtime

import hotswap
from hotswap import ChildCompiler, CompileCache, CompileProgress, InProcess
from hotswap._runtime import _child, _child_process, _compiled
from hotswap._runtime._admit import Admitted, admit
from hotswap._runtime._child_errors import SWITCH
from hotswap._runtime._child_main import FRAME, LENGTH, MODULE, NO_MEMORY, READY, REFUSED
from hotswap._runtime._engine import engine, settings
from hotswap._runtime._inspect import inspect_module
from hotswap._runtime._source import read_wasm
from runtime_modules import ANSWER, BYTES, CALLS, load, resources, running, survive
from test_docs import ROOT, blocks
from test_interrupts import Strike
from worlds import Runner, eventually

SMALL: Final = f"(module {ANSWER})"
LARGE: Final = f'(module (memory 64) (data (i32.const 0) "{"0123456789abcdef" * 200_000}") {ANSWER})'
"""Larger than any pipe."""


def bomb(locals_: int = 500, loops: int = 500) -> bytes:
    """Eight kilobytes that take minutes: each loop has a parameter for each local that changes."""
    changes = "".join(
        f"(local.set {n} (i32.add (local.get {n}) (local.get {(n + 1) % locals_})))" for n in range(locals_)
    )
    inner = "(loop (br_if 0 (local.get 0)))" * loops
    return bytes(wasmtime.wat2wasm(f"(module (func (local {'i32 ' * locals_}) (loop {inner} {changes} (br 0))))"))


BOMB: Final = bomb()


def children() -> set[int]:
    """The processes that this one has started and not reaped."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_the_name = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(after_the_name[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def files() -> set[str]:
    """The open ones; not the one that lists them."""
    return {str(file) for file in Path("/proc/self/fd").iterdir() if os.path.lexists(file)}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No process, no zombie, no open file; what this file sets is unset, and what other tests compiled is not there."""
    _compiled._modules.clear()
    before = children(), files()
    yield
    hotswap.use_compiler(None)
    assert (children(), files()) == before


def use(**options: Any) -> ChildCompiler:
    compiler = ChildCompiler(**{"wall_s": 60, **options})
    hotswap.use_compiler(compiler)
    return compiler


def script(folder: Path, text: str, interpreter: str = "/bin/sh") -> str:
    """Something that is started as an interpreter, and is none."""
    path = folder / "python"
    path.write_text(f"#!{interpreter}\n{text}\n")
    path.chmod(0o700)
    return str(path)


def answering(folder: Path, answer: bytes, end: str = "") -> str:
    """A child that reads all it is sent, gives this answer, and ends so."""
    text = f"import os, sys\nsys.stdin.buffer.read()\nos.write(1, {answer!r})\n{end}"
    return script(folder, text, f"{sys.executable} -S")


# The same code ---------------------------------------------------------------------------------------------


def in_process(wasm: object, metered: bool) -> bytes:
    return bytes(wasmtime.Module(engine(metered), read_wasm(wasm, 4_096).wasm).serialize())


def in_a_child(wasm: object, metered: bool) -> bytes:
    limits = resources(memory_limit_mb=4).resources
    return ChildCompiler().compile(admit(read_wasm(wasm, 4_096), limits), settings(metered))


@pytest.mark.parametrize("metered", [False, True], ids=["unmetered", "metered"])
@pytest.mark.parametrize("wasm", [CALLS, BYTES, SMALL, LARGE, "(module)"], ids=["calls", "bytes", "small", "large", ""])
def test_the_code_is_that_of_this_process(wasm: str, metered: bool) -> None:
    assert in_a_child(wasm, metered) == in_process(wasm, metered)


@pytest.mark.parametrize("cached", [False, True], ids=["no cache", "cache"])
@pytest.mark.parametrize("fuel_limit", [0, 100_000], ids=["unmetered", "metered"])
def test_it_runs_as_compiled_here(tmp_path: Path, fuel_limit: int, cached: bool) -> None:
    use()
    hotswap.use_compile_cache(CompileCache(tmp_path / "cache", tmp_path / "key") if cached else None)
    try:
        for _ in range(2):  # the second time it comes from the folder, if there is one
            with running(CALLS, fuel_limit=fuel_limit) as instance:
                assert instance.call("divide", (84, 2)) == 42
                with pytest.raises(hotswap.CallTrapped, match="abyss"):
                    instance.call("nested", ())
            with running(BYTES, fuel_limit=fuel_limit) as instance:
                assert instance.call_bytes("upper", b"hello") == b"HELLO"
    finally:
        hotswap.use_compile_cache(None)


@pytest.mark.parametrize(
    ("wasm", "kind"),
    [
        ("(module (func (result i32) i64.const 1))", hotswap.ModuleRejected),
        ("(module (func (drop (i8x16.splat (i32.const 1)))))", hotswap.UnsupportedModule),
    ],
)
def test_what_does_not_compile_is_told_alike(wasm: str, kind: type[hotswap.HotswapError]) -> None:
    hotswap.use_compiler(InProcess())
    with pytest.raises(kind) as here:
        load(wasm)
    use()
    with pytest.raises(kind) as there:
        load(wasm)
    assert (type(there.value), str(there.value)) == (type(here.value), str(here.value))


def test_what_the_cache_has_needs_no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use()
    cache = CompileCache(tmp_path / "cache", tmp_path / "key")
    hotswap.use_compile_cache(cache)
    try:
        load(SMALL)
        gc.collect()
        monkeypatch.setattr(_child, "run", lambda *_: pytest.fail("a child was started"))
        load(SMALL)
    finally:
        hotswap.use_compile_cache(None)
    assert (cache.stats.stored, cache.stats.hits) == (1, 1)


def test_what_the_process_has_needs_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    use()
    kept = load(SMALL)
    monkeypatch.setattr(_child, "run", lambda *_: pytest.fail("a child was started"))
    assert load(SMALL)._module is kept._module


# Who compiles ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [None, "", "Inprocess", "0"])
def test_unless_told_otherwise_a_child_does(monkeypatch: pytest.MonkeyPatch, said: str | None) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    if said is not None:
        monkeypatch.setenv(SWITCH, said)
    monkeypatch.setattr(_compiled, "compile_module", lambda *_: pytest.fail("this process compiled"))
    load(SMALL)


@pytest.mark.parametrize("way", ["environment", "call"])
def test_this_process_compiles_if_it_is_told_to(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setenv(SWITCH, "inprocess" if way == "environment" else "child")
    hotswap.use_compiler(None if way == "environment" else InProcess())
    monkeypatch.setattr(_child, "run", lambda *_: pytest.fail("a child was started"))
    load(SMALL)


def test_what_is_only_looked_at_is_compiled_in_the_child_too() -> None:
    told: list[str] = []
    use(on_progress=lambda progress: told.append(progress.phase))
    assert list(inspect_module(SMALL).functions) == ["answer"]
    assert "compiling" in told


def test_the_example_of_the_readme_runs_with_a_child() -> None:
    (example,) = blocks(ROOT / "README.md", "python")
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    command = [sys.executable, "-W", "error", "-c", example]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.stdout.splitlines()[-1]) == ("", "ModuleRejected 40")


# Limits and deaths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "expected"),
    [
        ({"cpu_s": 1}, hotswap.LimitExceeded, "in 1 s of CPU time, .*raise cpu_s of hotswap.ChildCompiler"),
        ({"address_space_mb": 100}, hotswap.LimitExceeded, "in 100 MB of address space, .*raise address_space_mb"),
        ({"address_space_mb": 10}, hotswap.LimitExceeded, "in 10 MB of address space"),
        ({"wall_s": 0.2}, hotswap.Overloaded, "within 0.2 s, found it not done.*raise wall_s"),
        ({"wall_s": 0}, hotswap.Overloaded, "within 0 s, found it not done"),
        ({"python": "/nowhere/python"}, hotswap.Overloaded, "'/nowhere/python' to start and .*No such file.*InProcess"),
        ({"python": "/bin/false"}, hotswap.Overloaded, "it ended with status 1"),
    ],
)
def test_a_limit_ends_it_and_is_named(options: dict[str, Any], kind: type[hotswap.HotswapError], expected: str) -> None:
    use(**options)
    with pytest.raises(kind, match=f"(?s)^the bytes given: expected .*{expected}"):
        load(BOMB)


R: Final = FRAME.pack(READY, 0)
DIE: Final = "os.kill(os.getpid(), {})"
DEATHS: Final[dict[str, tuple[bytes, str, type[hotswap.HotswapError], str]]] = {
    "a crash": (R, DIE.format("11"), hotswap.ModuleRejected, "found that it ended with SIGSEGV. Do not use"),
    "an odd signal": (R, DIE.format("40"), hotswap.ModuleRejected, "found that it ended with signal 40"),
    "killed by the system": (R, DIE.format("9"), hotswap.Overloaded, "killed from outside.*when memory is short"),
    "out of CPU": (R, DIE.format("24"), hotswap.LimitExceeded, "20 s of CPU time"),
    "an abort": (R, "sys.exit('odd')", hotswap.ModuleRejected, "ended with status 1, saying 'odd'"),
    "no memory": (R, "sys.exit('memory allocation of 9 bytes failed')", hotswap.LimitExceeded, "of address space"),
    "no memory in Python": (R, "raise MemoryError", hotswap.LimitExceeded, "of address space"),
    "no memory, it says": (R + FRAME.pack(NO_MEMORY, 0), "", hotswap.LimitExceeded, "of address space"),
    "before it began": (b"", "sys.exit('no wasmtime')", hotswap.Overloaded, "did not: .* saying 'no wasmtime'"),
    "half an answer": (R + FRAME.pack(MODULE, 9) + b"half", "", hotswap.ModuleRejected, "ended with status 0"),
    "half a frame": (R + FRAME.pack(MODULE, 9)[:5], "", hotswap.ModuleRejected, "ended with status 0"),
    "no answer": (R, "", hotswap.ModuleRejected, "ended with status 0"),
    "not ready": (FRAME.pack(MODULE, 0), "", hotswap.ModuleRejected, "that nobody understands"),
    "an unknown answer": (R + FRAME.pack(b"x", 0), "", hotswap.ModuleRejected, "that nobody understands"),
    "too long": (R + FRAME.pack(MODULE, 1 << 62), "", hotswap.ModuleRejected, "that nobody understands"),
    "more than it said": (R + FRAME.pack(MODULE, 1) + b"ab", "", hotswap.ModuleRejected, "that nobody understands"),
    "garbage": (os.urandom(64).replace(b"R", b"r") * 9, "", hotswap.ModuleRejected, "that nobody understands"),
    "no code": (R + FRAME.pack(MODULE, 7) + b"no code", "", hotswap.ModuleRejected, "cannot be loaded here"),
    "refused": (R + FRAME.pack(REFUSED, 2) + b"no", "", hotswap.ModuleRejected, "does not compile: no"),
}


@pytest.mark.parametrize("what", DEATHS)
def test_a_death_is_told_as_what_it_is(what: str, tmp_path: Path) -> None:
    answer, end, kind, expected = DEATHS[what]
    use(python=answering(tmp_path, answer, end))
    with pytest.raises(hotswap.HotswapError, match=f"(?s){expected}") as caught:
        load(SMALL)
    assert type(caught.value) is kind


def test_whatever_fails_beside_a_child_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(_child_process, "_prepare", refuse)
    use(python=script(tmp_path, "exec sleep 100"))
    with pytest.raises(MemoryError):
        load(SMALL)


def test_a_child_that_closes_its_pipes_and_stays_is_killed(tmp_path: Path) -> None:
    use(python=script(tmp_path, "exec sleep 100 <&- >&- 2>&-"), wall_s=0.5)
    with pytest.raises(hotswap.Overloaded, match=r"within 0.5 s"):
        load(SMALL)


def test_of_what_a_child_complains_the_end_is_kept(tmp_path: Path) -> None:
    python = script(tmp_path, "head -c 300000 /dev/zero | tr '\\0' x >&2; echo the end >&2")
    mine, theirs = socket.socketpair()
    with mine, theirs:
        ended = _child_process.run(python, [b"-"], mine, 60, 0, lambda: None)
    assert ended.complaint.endswith("xxxthe end")
    assert len(ended.complaint) < _child_process.COMPLAINT_BYTES_MAX


def test_a_module_that_does_not_compile_in_time_fails_the_upgrade_and_the_old_one_serves() -> None:
    use(cpu_s=1)
    with hotswap.HotReloadablePlugin("p", SMALL, resources()) as plugin:
        with pytest.raises(hotswap.LimitExceeded):
            plugin.upgrade(BOMB, resources(), allow_rebuild=True)
        assert plugin.call("answer") == 42
        assert plugin.stats().failures == {"LimitExceeded": 1}


@pytest.mark.parametrize(
    "options",
    [
        {"cpu_s": 0},
        {"cpu_s": 1.5},
        {"address_space_mb": 0},
        {"at_once": 0},
        {"wall_s": -1},
        {"queue_timeout": -1},
        {"wall_s": float("nan")},
        {"queue_timeout": float("inf")},
    ],
)
def test_an_option_out_of_bounds_is_refused_and_named(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        ChildCompiler(**options)


# What the child is -----------------------------------------------------------------------------------------


class Seen(Exception):
    """What ends a compilation once the child has been looked at."""


def test_the_child_has_its_limits_before_it_is_given_the_module() -> None:
    """Told of them here is the child itself, which says that it is ready and waits."""
    (head, _) = _child_process.request(b"", settings(False), 7, 512)
    command = [sys.executable, *_child_process.OPTIONS, str(_child_process.SCRIPT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(head[: -LENGTH.size])
        assert child.stdout.read(FRAME.size) == FRAME.pack(READY, 0)
        limits = Path(f"/proc/{child.pid}/limits").read_text().splitlines()
    found = {line[:26].strip(): line[26:].split()[:2] for line in limits}
    assert found["Max cpu time"] == ["7", "8"]
    assert found["Max address space"] == [str(512 << 20)] * 2
    assert found["Max core file size"] == found["Max file size"] == ["0", "0"]
    assert found["Max open files"] == ["16", "16"]
    assert child.returncode == 1, "it was given nothing"


def test_the_child_has_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the service")
    shared = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(shared, True)
    before, found = children(), {}

    def look(progress: CompileProgress) -> None:
        if progress.phase == "compiling":
            (child,) = children() - before
            path = Path(f"/proc/{child}")
            found["environment"] = (path / "environ").read_bytes().decode().split("\0")
            found["its group"] = [str(os.getpgid(child) - child)]
            found["its session"] = [str(os.getsid(child) - os.getsid(0))]
            found["files"] = sorted(file.name for file in (path / "fd").iterdir())
            raise Seen

    use(on_progress=look)
    try:
        with pytest.raises(Seen):
            load(BOMB)
    finally:
        os.close(shared)
    assert not [one for one in found["environment"] if one.startswith(("SECRET", "PATH", "HOME"))]
    assert found["its group"] == ["0"], "else Ctrl-C at the terminal ends it"
    assert found["its session"] == ["0"], "else it takes as much of the processors as all calls together"
    assert found["files"] == ["0", "1", "2"]


# Progress --------------------------------------------------------------------------------------------------


def test_progress_is_told_phase_by_phase() -> None:
    told: list[CompileProgress] = []
    use(on_progress=told.append)
    code = load(LARGE, memory_limit_mb=4)
    assert [one.phase for one in told] == ["waiting", "starting", "compiling", "done"]
    assert {(one.origin, one.module_bytes > 3_000_000) for one in told} == {("the WAT given", True)}
    assert [one.code_bytes for one in told] == [0, 0, 0, len(code._module.serialize())]
    assert sorted(told, key=lambda one: one.seconds) == told


def test_progress_is_told_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_child, "TELL_EVERY_S", 0.001)
    told: list[str] = []
    use(on_progress=lambda progress: told.append(progress.phase), wall_s=0.5)
    with pytest.raises(hotswap.Overloaded):
        load(BOMB)
    assert told.count("starting") + told.count("compiling") > 2
    assert "done" not in told


@pytest.mark.parametrize("phase", ["waiting", "starting", "compiling", "done"])
def test_an_exception_of_the_callback_ends_it(phase: str) -> None:
    def refuse(progress: CompileProgress) -> None:
        if progress.phase == phase:
            raise Seen

    use(on_progress=refuse)
    with pytest.raises(Seen):
        load(SMALL)
    use()
    load(SMALL)


# Many at once ----------------------------------------------------------------------------------------------


def test_so_many_are_compiled_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most, lock, run = 0, 0, threading.Lock(), _child_process.run

    def counted(*args: Any) -> object:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        try:
            return run(*args)
        finally:
            with lock:
                inside -= 1

    monkeypatch.setattr(_child, "run", counted)
    use(at_once=3)
    modules = [f'(module (func (export "answer") (result i32) i32.const {n}))' for n in range(9)]
    made = [Runner(load, wasm) for wasm in modules]
    assert len({each.value()._module for each in made}) == 9  # type: ignore[attr-defined]
    assert most == 3


def test_who_waits_too_long_for_a_turn_is_told(tmp_path: Path) -> None:
    compiler = use(at_once=1, queue_timeout=0.1, python=script(tmp_path, "exec sleep 100"), wall_s=60)
    stopped = threading.Event()

    def stop(_: CompileProgress) -> None:
        if stopped.is_set():
            raise Seen

    compiler.on_progress = stop
    first = Runner(load, SMALL)
    eventually(lambda: compiler.turns._free == 0)
    with pytest.raises(hotswap.Overloaded, match=r"within 0.1 s, found 1 others being compiled.*raise at_once"):
        load(BOMB)
    stopped.set()
    first.join()
    assert isinstance(first.error, Seen)
    assert compiler.turns._free == 1


def test_turns_are_taken_in_order_and_given_back() -> None:
    turns = _child.Turns(1)
    assert turns.enter(SimpleQueue(), 0)
    order: list[int] = []

    def take(number: int) -> None:
        assert turns.enter(SimpleQueue(), 20)
        order.append(number)
        turns.leave()

    takers = []
    for number in range(5):
        takers.append(Runner(take, number))
        eventually(lambda number=number: len(turns._waiting) == number + 1)  # type: ignore[misc]
    turns.leave()
    for taker in takers:
        taker.value()
    assert (order, turns._free, len(turns._waiting)) == ([0, 1, 2, 3, 4], 1, 0)


def test_who_leaves_the_queue_takes_no_turn() -> None:
    turns = _child.Turns(1)
    assert turns.enter(SimpleQueue(), 0)
    called: SimpleQueue[bool] = SimpleQueue()
    called.put(False)
    assert not turns.enter(called, 20)
    assert not turns.enter(SimpleQueue(), 0)
    turns.leave()
    assert turns._free == 1


def forked_while_another_compiles() -> str:
    compiler = ChildCompiler(at_once=1)
    compiler.turns.enter(SimpleQueue(), 0)
    child = os.fork()
    if child == 0:
        os._exit(0 if compiler.turns.enter(SimpleQueue(), 0) else 1)
    return str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def test_a_forked_process_has_turns_of_its_own() -> None:
    assert survive(forked_while_another_compiles) == "0"


def test_a_process_that_can_start_no_thread_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    use()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(hotswap.Overloaded, match=r"expected a thread for its compilation.*can't start new thread"):
        load(SMALL)


def test_a_process_that_has_no_files_left_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    compiler = use()
    monkeypatch.setattr(socket, "socketpair", refuse)
    with pytest.raises(hotswap.Overloaded, match="Too many open files"):
        load(SMALL)
    assert compiler.turns._free == compiler.at_once


# Ctrl-C ----------------------------------------------------------------------------------------------------


def give_up(progress: CompileProgress) -> None:
    if progress.phase == "compiling":
        raise Seen


@pytest.mark.parametrize("on_progress", [None, give_up], ids=["while it waits", "while it gives up"])
def test_ctrl_c_anywhere_leaves_no_child(on_progress: Callable[[CompileProgress], None] | None) -> None:
    wasm = SMALL if on_progress is None else BOMB
    admitted, before = admit(read_wasm(wasm, 4_096), resources().resources), (children(), files())
    places = set()
    for point in range(500):
        compiler, strike = ChildCompiler(on_progress=on_progress, wall_s=20), Strike(point)
        kept = strike.hits(lambda compiler=compiler: compiled(compiler, admitted))  # type: ignore[misc]
        assert (kept is None) == (not strike.where)
        eventually(lambda compiler=compiler: compiler.turns._free == compiler.at_once)  # type: ignore[misc]
        assert (children(), files()) == before, strike.where
        places.add(" ".join(strike.where.split()[1:3]))
        if kept is None:
            assert places >= {"start call", "followed c_return", "close call", "close c_return"}
            return
    pytest.fail("the operation does not end")


def compiled(compiler: ChildCompiler, admitted: Admitted) -> None:
    try:
        compiler.compile(admitted, settings(False))
    except Seen:
        pass


def test_who_gives_up_before_it_has_begun_starts_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that was started comes late."""
    monkeypatch.setattr(_child, "run", lambda *_: pytest.fail("a child was started"))
    job = _child.Job(ChildCompiler(), admit(read_wasm(SMALL, 4_096), resources().resources), settings(False))
    job.close()
    job._run()
    assert (job._over, job._error) == (True, None)


def test_who_gives_up_at_the_very_moment_of_its_turn_starts_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_child, "run", lambda *_: pytest.fail("a child was started"))
    compiler = ChildCompiler()
    job = _child.Job(compiler, admit(read_wasm(SMALL, 4_096), resources().resources), settings(False))
    job._given_up = True
    job._take_turn()
    assert compiler.turns._free == compiler.at_once


def test_the_longest_wait_that_is_allowed_is_waited() -> None:
    use(wall_s=threading.TIMEOUT_MAX)
    assert load(SMALL)


def test_what_is_no_compiler_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"expected a ChildCompiler\(\), an InProcess\(\) or None, found <class"):
        hotswap.use_compiler(InProcess)  # type: ignore[arg-type]


def waited_and_interrupted() -> str:
    told = threading.Event()

    def told_of(progress: CompileProgress) -> None:
        if progress.phase == "compiling":
            told.set()

    def interrupt() -> None:
        told.wait()
        os.kill(os.getpid(), signal.SIGINT)

    use(on_progress=told_of)
    before = files()
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        load(BOMB)
    except KeyboardInterrupt:
        return f"{len(children())} children, {len(files() - before)} files"
    return "it was not interrupted"


def test_a_real_ctrl_c_while_waiting_ends_the_child() -> None:
    assert survive(waited_and_interrupted) == "0 children, 0 files"


def given_up_beside_a_fork() -> str:
    forks: list[int] = []

    def fork(progress: CompileProgress) -> None:
        if progress.phase == "compiling":
            forks.append(os.fork())
            if forks == [0]:
                signal.pause()
            raise Seen

    use(on_progress=fork, wall_s=1_000)
    try:
        load(BOMB)
    except Seen:
        left = children() - set(forks)
    os.kill(forks[0], signal.SIGKILL)
    os.waitpid(forks[0], 0)
    return f"{len(left)} children"


def test_a_child_ends_though_a_fork_has_all_its_files() -> None:
    assert survive(given_up_beside_a_fork) == "0 children"


def left_alone() -> str:
    """Ends while a thread compiles: the child's number, and no more."""
    pids: SimpleQueue[int] = SimpleQueue()

    def told_of(progress: CompileProgress) -> None:
        if progress.phase == "compiling":
            pids.put(next(iter(children())))

    use(on_progress=told_of, cpu_s=1)
    threading.Thread(target=load, args=(BOMB,), daemon=True).start()
    return str(pids.get(timeout=30))


def test_a_child_whose_parent_is_gone_ends_by_its_own_limits() -> None:
    child = int(survive(left_alone))
    eventually(lambda: not _alive(child))


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# What is sent ----------------------------------------------------------------------------------------------


def compiled_where_another_wasmtime_lies(folder: str) -> bool:
    os.chdir(folder)
    Path("wasmtime.py").write_text("open('ran', 'w').close()")
    sys.path[:0] = ["", "."]
    use()
    load(SMALL)
    return Path("ran").exists()


def test_what_lies_in_the_current_folder_is_not_run(tmp_path: Path) -> None:
    assert survive(compiled_where_another_wasmtime_lies, str(tmp_path)) == "False"


def test_the_request_says_where_to_look_and_the_modules_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["", "b", "/a", Path("/b")])
    monkeypatch.setattr(wasmtime, "__file__", "/found/wasmtime/__init__.py")
    head, wasm = _child_process.request(b"wasm", {"s": 1}, 2, 3)
    (length,) = LENGTH.unpack_from(head)
    assert head[LENGTH.size : LENGTH.size + length] == (
        b'{"path": ["/found", "/a"], "settings": {"s": 1}, "cpu_s": 2, "address_space_mb": 3}'
    )
    assert (head[LENGTH.size + length :], wasm) == (LENGTH.pack(4), b"wasm")
