"""Calls from the wasm to functions of the host.

wasmtime-py has a way of its own, which cannot be used: it keeps the last exception in one place for the whole process,
so that threads get each other's, and a Ctrl-C that strikes before its function has reached its `try` aborts the
process. This one is made as `_deadline.py` makes its callback, and for the same reasons: wasmtime calls the builtin
`min`, which executes no bytecode, with a suspended generator as its key, and whatever strikes, strikes in that
generator's `try`.

`min` sees five items, a 0 of ours and the four arguments of the callback, and the key of each is 0; so the answer is
always the first, which tells wasmtime to go on. That holds after a failure too: the trap would have to be chosen before
the arguments are seen. Instead the exception is kept where a Ctrl-C is kept, the store's tick deadline is set to now,
and no other function of the host runs: at its next loop or call the wasm is stopped, and the caller gets the exception
however it ends. Until then it runs on in an instance that is thrown away, where nobody can see what it does.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Generator
from functools import partial
from struct import Struct, calcsize
from typing import Any, Final, NamedTuple

import wasmtime

from hotswap._errors import ModuleRejected
from hotswap._host import INSIDE, HostFunction, Imports
from hotswap._runtime import _capi
from hotswap._runtime._deadline import Deadline, Delegate
from hotswap._runtime._values import FORMATS, convert_results
from hotswap._signature import Signature
from hotswap._wasm import ModuleShape

_SLOTS, _ITEMS = 3, 5  # the position of the address of the arguments, and how many items there are
_TYPES: Final = {
    "i32": wasmtime.ValType.i32,
    "i64": wasmtime.ValType.i64,
    "f32": wasmtime.ValType.f32,
    "f64": wasmtime.ValType.f64,
}


class Link(NamedTuple):
    """One import of a module, and what is granted for it."""

    name: str
    host: HostFunction
    type: wasmtime.FuncType


def link(shape: ModuleShape, imports: Imports) -> tuple[Link, ...]:
    """What each import is linked to, in the module's order. Raises `ModuleRejected` for one that is not granted."""
    links, problems = list[Link](), list[str]()
    for item in shape.imports:
        name = item.full_name
        host = imports.granted.get(name)
        if host is None:
            problems.append(f"{name}, a {item.kind} {item.type}: not granted")
        elif item.type != host.type:
            problems.append(f"{name}: expected {item.type}, found a grant of {host.type}")
        else:
            links.append(Link(name, host, _type(host.type)))
    if problems:
        granted = ", ".join(f"{name}{each.type}" for name, each in sorted(imports.granted.items())) or "nothing"
        more = f"\n  - and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise ModuleRejected(
            "\n  - ".join([f"the module imports what it cannot have; granted is: {granted}", *problems[:10]])
            + f"{more}\nBuild it without WASI; grant a function by name with imports=, when the plugin is made"
        )
    return tuple(links)


class HostCall:
    """One granted function in one store. Knows neither the store nor the instance; keep it while the store is there."""

    __slots__ = ("_callback", "func", "rounds")

    def __init__(self, granted: Link, imports: Imports, store: wasmtime.Store, deadline: Deadline) -> None:
        run = _runner(granted, imports)
        self.rounds = _rounds(run, granted.name, deadline, _capi.stopper(store))
        next(self.rounds)
        self._callback = _capi.HostCallback(partial(min, 0, key=self.rounds.send))
        self.func = _capi.new_func(store, granted.type, self._callback)


def close_all(calls: list[HostCall]) -> None:
    """Those of a store, which is closed.

    A traceback that passed through a generator keeps its frame, and that keeps the frames which close it. So none of
    these may know the generator: the cycle would keep what they hold, a lease for one, until the collector comes.
    """
    while calls:
        calls.pop().rounds.close()


def _rounds(
    run: Callable[[int], None], name: str, deadline: Deadline, stop: Callable[[], object]
) -> Generator[int, Any, None]:
    """Receives the five items of each round, one at a time, and yields their keys.

    As in `Deadline`, no signal handler runs in an `except` here: its body calls nothing.
    """
    go_on = Delegate(itertools.repeat(0))
    go_on.send = partial(operator.is_, object())
    position, inside = 0, False
    try:
        while True:
            item = yield 0
            if position == _SLOTS and deadline.exception is None:
                inside = True
                run(item)
                inside = False
            position = (position + 1) % _ITEMS
    except BaseException as error:  # noqa: BLE001  kept, and raised when the call is out of the wasm
        if error.__class__ is GeneratorExit and not inside:
            return  # closed
        if deadline.exception is None:
            deadline.exception, deadline.host = error, name
    try:
        stop()
    except BaseException:  # noqa: BLE001, S110  a second Ctrl-C: the first one is raised, and the tick stops the wasm
        pass
    yield from go_on


def _runner(granted: Link, imports: Imports) -> Callable[[int], None]:
    """A function that takes the arguments from the slots at an address, and puts the results there.

    No view of the slots is kept, not even by a frame in a traceback: they lie on the stack.
    """
    name, signature, function = granted.name, granted.host.type, granted.host.function
    arguments, results = _struct(signature.params), _struct(signature.results)

    def run(address: int) -> None:
        values = arguments.unpack_from(_capi.view_of(address, arguments.size)) if arguments.size else ()
        outside = INSIDE.innermost
        INSIDE.innermost = imports, outside
        try:
            value = function(*values)
        finally:
            INSIDE.innermost = outside
        converted = convert_results(name, signature, value)
        if converted:
            results.pack_into(_capi.view_of(address, results.size), 0, *converted)

    return run


def _struct(types: tuple[str, ...]) -> Struct:
    """Values one a slot, each at the start of its slot."""
    return Struct("=" + "".join(f"{FORMATS[kind]}{_capi.SLOT_BYTES - calcsize(FORMATS[kind])}x" for kind in types))


def _type(signature: Signature) -> wasmtime.FuncType:
    params, results = ([_TYPES[kind]() for kind in kinds] for kinds in (signature.params, signature.results))
    return wasmtime.FuncType(params, results)
