"""Faults where the product calls the system and wasmtime: in each of its files, what it calls is put behind a stand-in.

A stand-in for a module or a class looks like it, and each call of what it has is a step, found when it is made. So a
call that is new in the product is a step at once, and the catalogue of the test that uses this must know it. Names of
steps are those of the calls: `os.open`, `file.read`, `Module.deserialize`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

import pytest

from faults import OP, Faults

PURE: Final = frozenset(
    {
        *("os.fspath", "os.geteuid", "os.getpid", "os.environ", "os.path", "file.fileno", "entry.name"),
        *("wasmtime.Func", "wasmtime.Memory", "capi.TickCallback"),
    }
)
"""They tell what the process knows, or are no calls; nothing strikes there."""
OBJECTS: Final = {"os.fdopen": "file", "Path.open": "file", "os.scandir": "files"}
"""What is returned is called in its turn, and under this name."""
CLOCKS: Final = {"time.time", "time.monotonic"}


class StandIn:
    """For a module, a file or the like."""

    def __init__(self, faults: Faults, name: str, real: Any, **others: Any) -> None:
        """`others` are there instead of what the module has by their names."""
        self._faults, self._name, self._real = faults, name, real
        self.__dict__.update(others)

    def __getattr__(self, attribute: str) -> Any:
        found, name = getattr(self._real, attribute), f"{self._name}.{attribute}"
        if name in PURE or not callable(found) or _is_an_error(found):
            return found
        return stepping(self._faults, name, found)

    def __enter__(self) -> Any:
        self._real.__enter__()
        return self

    def __exit__(self, *failure: object) -> Any:
        return stepping(self._faults, f"{self._name}.__exit__", self._real.__exit__)(*failure)

    def __iter__(self) -> Iterator[StandIn]:
        for each in self._real:
            yield StandIn(self._faults, "entry", each)


def stepping(faults: Faults, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a step."""

    def call(*args: Any, **kwargs: Any) -> Any:
        faults.at(f"before {name}")
        result = real(*args, **kwargs)
        if name in CLOCKS:
            result += faults.jumped_s
        faults.at(f"after {name}")
        return StandIn(faults, OBJECTS[name], result) if name in OBJECTS else result

    return call


def stepping_class(faults: Faults, real: type, *methods: str) -> type:
    """A class like it; to make one is a step, if `__init__` is among these methods."""
    return type(real.__name__, (real,), {name: _method(faults, real, name) for name in methods})


def _method(faults: Faults, real: type, name: str) -> Any:
    step = f"{real.__name__.removeprefix('Posix')}.{name.strip('_')}"
    if isinstance(real.__dict__.get(name), classmethod):
        bound = real.__dict__[name].__func__
        return classmethod(lambda cls, *args: stepping(faults, step, bound)(cls, *args))
    unbound = getattr(real, name)
    return lambda self, *args, **kwargs: stepping(faults, step, unbound)(self, *args, **kwargs)


def _is_an_error(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, BaseException)


@contextmanager
def stand_ins(
    faults: Faults, patches: Callable[[pytest.MonkeyPatch, Faults], None], thread: str = ""
) -> Iterator[None]:
    """Meanwhile they are there. Steps are counted on threads of this name too, and else by `struck` only."""
    with pytest.MonkeyPatch.context() as patch:
        if thread:
            _count_on(patch, faults, thread)
        patches(patch, faults)
        yield


def struck(faults: Faults, work: Callable[[], object]) -> BaseException | None:
    """What it has raised."""
    with faults.lane(OP):
        try:
            work()
        except BaseException as error:  # noqa: BLE001  looked at by the test
            return error
    return None


def _count_on(patch: pytest.MonkeyPatch, faults: Faults, name: str) -> None:
    run = threading.Thread.run

    def counted(thread: threading.Thread) -> None:
        if thread.name != name:
            run(thread)
            return
        with faults.lane(name):
            run(thread)

    patch.setattr(threading.Thread, "run", counted)


def module(patch: pytest.MonkeyPatch, faults: Faults, user: ModuleType, name: str) -> None:
    """In this file of the product, a module is a stand-in."""
    patch.setattr(user, name, StandIn(faults, name.lstrip("_"), getattr(user, name)))
