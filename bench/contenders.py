"""Who makes the same calls, from C down to other ways to run plugins: each answers the same, or is not measured.

What can be compared is in the notes: engines with and without checks for deadlines, interpreters, native Python.
"""

from __future__ import annotations

import functools
import importlib
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import wasmtime

from hotswap import HotReloadablePlugin, ManifestBuilder
from measuring import Block, Elsewhere, statement
from modules import FOR_EXTISM, OURS, binary
from native import Calls, Missing, no_op

ADD, LOOP, UPPER, CHECKSUM = WORKLOADS = ("i32 add", "loop of 10 us", "1 KiB upper-case", "1 MiB checksum")
TEXT: Final = b"Upgraded while they are called. " * 32
DATA: Final = bytes(range(256)) * 4096
LOOP_S: Final = 10e-6
BODIES: Final = {"1 us": 1e-6, "10 us": 10e-6, "100 us": 100e-6, "1 ms": 1e-3, "5 ms": 5e-3}


@dataclass(frozen=True)
class Contender:
    """Blocks by workload; and what one must know to compare them."""

    blocks: Mapping[str, Block]
    note: str


def spun(rounds: int) -> int:
    """What the loop answers."""
    value = 0
    for left in range(rounds, 0, -1):
        value = (value * 1664525 + left) & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


@functools.cache
def spins(seconds: float) -> int:
    """So many rounds of the loop take that long here, when nothing is checked."""
    call, rounds = bare_function("spin"), 200_000
    best = min(statement("call(rounds)", {"call": call, "rounds": rounds})(1) for _ in range(10))
    return max(1, round(rounds * seconds / best))


def answers(rounds: int) -> dict[str, object]:
    return {
        ADD: 42,
        LOOP: spun(rounds),
        UPPER: TEXT.upper(),
        CHECKSUM: zlib.adler32(DATA).to_bytes(4, "little"),
    }


def python(note: str, names: Mapping[str, Any], statements: Mapping[str, str], rounds: int) -> Contender:
    """A contender that is called by statements, whose answers are checked first."""
    known = {"TEXT": TEXT, "DATA": DATA, "ROUNDS": rounds, **names}
    for workload, text in statements.items():
        found = eval(text, known)
        assert found == answers(rounds)[workload], f"{workload}: {text} answered {found!r:.60}"
    return Contender({workload: statement(text, known) for workload, text in statements.items()}, note)


NUMERIC = {ADD: "add(20, 22)", LOOP: "spin(ROUNDS)", UPPER: "upper(TEXT)", CHECKSUM: "checksum(DATA)"}
CALL = {
    ADD: "call('add', 20, 22)",
    LOOP: "call('spin', ROUNDS)",
    UPPER: "call_bytes('upper', TEXT)",
    CHECKSUM: "call_bytes('checksum', DATA)",
}


def in_c(rounds: int, ticks: bool = False) -> Contender:
    config = wasmtime.Config()
    config.epoch_interruption = ticks
    engine = wasmtime.Engine(config)
    calls = Calls(engine, wasmtime.Module(engine, binary(OURS)), ticks=ticks)
    made = {
        ADD: calls.numeric("add", 20, 22),
        LOOP: calls.numeric("spin", rounds),
        UPPER: calls.bytes("upper", TEXT),
        CHECKSUM: calls.bytes("checksum", DATA),
    }
    for workload, (answer, _) in made.items():
        assert answer == answers(rounds)[workload], f"{workload} in C answered {answer!r:.60}"
    note = (
        "checks for the tick in its wasm, as ours has" if ticks else "no checks in its wasm: the limit of the machine"
    )
    return Contender({workload: block for workload, (_, block) in made.items()}, note)


def ctypes_no_op(_: int) -> Contender:
    function, arguments, what = no_op()
    return Contender(
        {ADD: statement("function(*arguments)", {"function": function, "arguments": arguments})},
        f"no wasm: {what}, called with 5 prepared arguments; the floor of a call that leaves Python",
    )


def plugin(exits: ExitStack, *, fuel: int = 0, instances: int = 4) -> HotReloadablePlugin:
    builder = ManifestBuilder("bench", "1.0.0").limit("fuel_limit", fuel).limit("timeout_ms", 60_000)
    manifest = builder.limit("max_instances", instances).export("add").build()
    return exits.enter_context(HotReloadablePlugin("bench", binary(OURS), manifest))


def guard(_: int, exits: ExitStack) -> Contender:
    core = plugin(exits)._protocol
    block = statement("release(admit())", {"admit": core.admit, "release": core.release})
    return Contender({ADD: block}, "no wasm: admission and release, which make an upgrade safe")


def ours(rounds: int, exits: ExitStack, fuel: int = 0) -> Contender:
    made = plugin(exits, fuel=fuel)
    note = "guard, deadline, fuel, checked arguments" if fuel else "guard, deadline, checked arguments"
    return python(note, {"call": made.call, "call_bytes": made.call_bytes}, CALL, rounds)


def fallback(rounds: int, exits: ExitStack) -> Contender:
    child = Elsewhere("fallback.py", rounds, HOTSWAP_FASTCALL="0")
    exits.callback(child.close)
    note = "as the unmetered call, with HOTSWAP_FASTCALL=0, in a process of its own"
    return Contender({workload: child.block(workload) for workload in WORKLOADS}, note)


def bare_instance() -> tuple[wasmtime.Store, Any]:
    store = wasmtime.Store(wasmtime.Engine())
    return store, wasmtime.Instance(store, wasmtime.Module(store.engine, binary(OURS)), []).exports(store)


def bare_function(name: str) -> Callable[..., Any]:
    store, exports = bare_instance()
    return functools.partial(exports[name], store)


def bare(rounds: int) -> Contender:
    store, exports = bare_instance()
    memory, alloc, free = (exports[name] for name in ("memory", "hotswap_alloc", "hotswap_free"))
    upper, checksum = exports["upper"], exports["checksum"]

    def exchange(func: wasmtime.Func, data: bytes) -> bytes:
        at = alloc(store, len(data))
        memory.write(store, data, at)
        packed = func(store, at, len(data))
        reply, size = packed >> 32, packed & 0xFFFFFFFF
        result = bytes(memory.read(store, reply, reply + size))
        free(store, at, len(data))
        free(store, reply, size)
        return result

    names = {"add": exports["add"], "spin": exports["spin"], "store": store, "exchange": exchange}
    statements = {
        ADD: "add(store, 20, 22)",
        LOOP: "spin(store, ROUNDS)",
        UPPER: "exchange(upper, TEXT)",
        CHECKSUM: "exchange(checksum, DATA)",
    }
    note = "no guard, deadline or limit; no checks in its wasm"
    return python(note, names | {"upper": upper, "checksum": checksum}, statements, rounds)


def peer(name: str) -> Any:
    """Raises `Missing`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise Missing(f"{name} is not installed or does not load: {error}") from error


def extism_plugin(wasm: bytes) -> Any:
    """Its cache of compiled modules is off, as ours and wasmtime's are. Raises `Missing`."""
    os.environ["EXTISM_CACHE_CONFIG"] = ""
    return peer("extism").Plugin(wasm)


def extism(rounds: int) -> Contender:
    call = extism_plugin(binary(FOR_EXTISM)).call
    one, two = struct.Struct("<i"), struct.Struct("<ii")
    names = {"call": call, "one": one.pack, "two": two.pack, "of": one.unpack}
    statements = {
        ADD: "of(call('add', two(20, 22)))[0]",
        LOOP: "of(call('spin', one(ROUNDS)))[0]",
        UPPER: "call('upper', TEXT)",
        CHECKSUM: "call('checksum', DATA)",
    }
    return python("its own wasmtime; numbers travel as bytes, as its interface has it", names, statements, rounds)


def wasm3(rounds: int) -> Contender:
    module = peer("wasm3")
    environment = module.Environment()
    runtime = environment.new_runtime(64 * 1024)
    runtime.load(environment.parse_module(binary(OURS)))
    alloc, free, upper, checksum = map(runtime.find_function, ("hotswap_alloc", "hotswap_free", "upper", "checksum"))

    def exchange(func: Callable[[int, int], int], data: bytes) -> bytes:
        at = alloc(len(data))
        memory = runtime.get_memory(0)
        memory[at : at + len(data)] = data
        packed = func(at, len(data))
        reply, size = packed >> 32, packed & 0xFFFFFFFF
        result = bytes(memory[reply : reply + size])
        free(at, len(data))
        free(reply, size)
        return result

    names = {
        "add": runtime.find_function("add"),
        "spin": runtime.find_function("spin"),
        "upper": functools.partial(exchange, upper),
        "checksum": functools.partial(exchange, checksum),
        "kept": (environment, runtime),
    }
    return python("an interpreter: no compiled code to enter, and slow once inside; no limits", names, NUMERIC, rounds)


def pluggy(rounds: int) -> Contender:
    module = peer("pluggy")
    spec, hook = module.HookspecMarker("bench"), module.HookimplMarker("bench")

    def add(a: int, b: int) -> int:
        return a + b

    def spin(rounds: int) -> int:
        return spun(rounds)

    def upper(data: bytes) -> bytes:
        return data.upper()

    def checksum(data: bytes) -> bytes:
        return zlib.adler32(data).to_bytes(4, "little")

    manager = module.PluginManager("bench")
    functions = {each.__name__: staticmethod(each) for each in (add, spin, upper, checksum)}
    for each in (add, spin, upper, checksum):
        spec(firstresult=True)(each)
    manager.add_hookspecs(type("Spec", (), functions))
    for each in (add, spin, upper, checksum):
        hook(each)
    manager.register(type("Hooks", (), functions)())
    statements = {
        ADD: "add(a=20, b=22)",
        LOOP: "spin(rounds=ROUNDS)",
        UPPER: "upper(data=TEXT)",
        CHECKSUM: "checksum(data=DATA)",
    }
    names = {name: getattr(manager.hook, name) for name in functions}
    return python("no wasm, no sandbox: native Python, and C where bytes are worked on", names, statements, rounds)


LADDER: Final[dict[str, Callable[[int, ExitStack], Contender]]] = {
    "C": lambda rounds, _: in_c(rounds),
    "C, with ticks": lambda rounds, _: in_c(rounds, ticks=True),
    "ctypes no-op": lambda rounds, _: ctypes_no_op(rounds),
    "hotswap: guard alone": guard,
    "hotswap: call": ours,
    "hotswap: metered call": lambda rounds, exits: ours(rounds, exits, fuel=1_000_000_000),
    "hotswap: fallback": fallback,
    "bare wasmtime-py": lambda rounds, _: bare(rounds),
    "extism": lambda rounds, _: extism(rounds),
    "pywasm3": lambda rounds, _: wasm3(rounds),
    "pluggy": lambda rounds, _: pluggy(rounds),
}
