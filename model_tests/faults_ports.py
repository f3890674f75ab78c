"""The ports, with faults at each of their steps. What they do otherwise is what the fakes do, on real threads.

An instance here closes itself when nobody holds it any more, as a real one does, and that is counted: it is what is
left of one whose making or closing was struck itself, and a leak of any other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import TypeVar

from faults import OP, Faults
from hotswap._compat import ModuleFacts
from hotswap._host import NO_IMPORTS, Imports
from hotswap._manifest import PluginManifest
from hotswap._ports import Code, Data, Instance, Number, Ports, Value
from hotswap._threads import MONOTONIC, THREADS, ThreadAtomic, ThreadParker
from hotswap.testing import FakeRuntime
from worlds import WAIT_S

T = TypeVar("T")


class FaultyPorts:
    """Makes the ports of one run."""

    def __init__(
        self, faults: Faults, ports: Ports, at_park: Callable[[], None], at_release: Callable[[], None]
    ) -> None:
        """The operation is about to wait; it has let a lock go, or interrupted calls while it held none."""
        self.faults, self.at_park, self.at_release = faults, at_park, at_release
        self.held = 0
        """Locks that the operation holds."""
        self.dropped = 0
        """Instances that were closed by their finalizers."""
        self.stopped = False
        """Whether calls have been interrupted."""
        self.threads: list[threading.Thread] = []
        self.failures: list[BaseException] = []
        """What has ended a thread of the product, and was no fault."""
        self.ports = replace(
            ports, runtime=_Runtime(self, ports.runtime), sync=_Sync(self), clock=_Clock(faults), trace=self._trace
        )
        self._told = ports.trace

    def _trace(self, event: str, **facts: object) -> None:
        self.faults.at("before trace")
        self._told(event, **facts)
        self.faults.at("after trace")

    def join(self) -> None:
        for thread in self.threads:
            thread.join(WAIT_S)
            assert not thread.is_alive(), f"{thread.name} hangs"


class _Sync:
    """Implements the port `Sync`."""

    def __init__(self, made: FaultyPorts) -> None:
        self._made, self._at = made, made.faults.at

    def lock(self) -> _Lock:
        return self._new("lock", lambda: _Lock(self._made))

    def parker(self) -> _Parker:
        return self._new("parker", lambda: _Parker(self._made))

    def atomic(self, value: T) -> ThreadAtomic[T]:
        return self._new("atomic", lambda: THREADS.atomic(value))

    def bag(self, items: Iterable[T]) -> list[T]:
        return self._new("bag", lambda: THREADS.bag(items))

    def _new(self, what: str, make: Callable[[], T]) -> T:
        self._at(f"before sync.{what}")
        made = make()
        self._at(f"after sync.{what}")
        return made

    def spawn(self, work: Callable[[], None], name: str) -> None:
        """Returns when the thread waits or has ended, so that its steps come in the same order each time."""
        self._at("before sync.spawn")
        self._made.threads.append(_Started(self._made, work, name))
        self._at("after sync.spawn")


class _Started(threading.Thread):
    """A thread of the product."""

    def __init__(self, made: FaultyPorts, work: Callable[[], None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._made, self._work = made, work
        self.settled = threading.Event()
        self.start()
        assert self.settled.wait(WAIT_S), f"{name} hangs"

    def run(self) -> None:
        faults = self._made.faults
        try:
            with faults.lane(self.name):
                self._work()
        except BaseException as error:  # noqa: BLE001  kept for the test
            if not any(error is one for one in faults.raised):
                self._made.failures.append(error)
        finally:
            self.settled.set()


class _Lock:
    """Implements the port `Lock`."""

    def __init__(self, made: FaultyPorts) -> None:
        self._lock, self._made = threading.Lock(), made

    def __enter__(self) -> bool:
        self._made.faults.at("before lock.enter")
        entered = self._lock.__enter__()
        self._made.held += self._made.faults.counted == OP
        return entered

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)
        if self._made.faults.counted == OP:
            self._made.held -= 1
            self._made.at_release()
        self._made.faults.at("after lock.exit")


class _Parker(ThreadParker):
    """Implements the port `Parker`."""

    __slots__ = ("_made",)

    def __init__(self, made: FaultyPorts) -> None:
        super().__init__()
        self._made = made

    def park(self, timeout: float | None) -> bool:
        self._made.faults.at("before parker.park")
        thread = threading.current_thread()
        if self._made.faults.counted == OP:
            self._made.at_park()
        elif isinstance(thread, _Started):
            thread.settled.set()
        woken = super().park(timeout)
        self._made.faults.at("after parker.park")
        return woken

    def unpark(self) -> None:
        self._made.faults.at("before parker.unpark")
        super().unpark()
        self._made.faults.at("after parker.unpark")


class _Clock:
    """Implements the port `Clock`."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def now(self) -> float:
        self._faults.at("before clock.now")
        now = MONOTONIC.now() + self._faults.jumped_s
        self._faults.at("after clock.now")
        return now


class _Runtime:
    """Implements the port `Runtime`."""

    def __init__(self, made: FaultyPorts, runtime: object) -> None:
        assert isinstance(runtime, FakeRuntime)
        self._made, self._runtime = made, runtime

    def load(self, wasm: object, manifest: PluginManifest, imports: Imports = NO_IMPORTS) -> _Code:
        self._made.faults.at("before runtime.load")
        code = _Code(self._made, self._runtime.load(wasm, manifest, imports))
        self._made.faults.at("after runtime.load")
        return code


class _Code:
    """Implements the port `Code`."""

    def __init__(self, made: FaultyPorts, code: Code) -> None:
        self._made, self._code = made, code
        self.facts: ModuleFacts = code.facts

    def instantiate(self, *, probe: bool) -> _Instance:
        self._made.faults.at("before code.instantiate")
        instance = _Instance(self._made, self._code.instantiate(probe=probe))
        self._made.faults.at("after code.instantiate")
        return instance

    def interrupt(self, stop: bool) -> None:
        self._made.faults.at("before code.interrupt")
        self._code.interrupt(stop)
        self._made.stopped |= stop
        if self._made.faults.counted == OP and not self._made.held:
            self._made.at_release()
        self._made.faults.at("after code.interrupt")


class _Instance:
    """Implements the port `Instance`."""

    def __init__(self, made: FaultyPorts, instance: Instance) -> None:
        self._made, self._instance, self._closed = made, instance, False

    @property
    def broken(self) -> bool:
        return self._instance.broken

    def call(self, func: str, args: tuple[Number, ...]) -> Value:
        self._made.faults.at("before instance.call")
        value = self._instance.call(func, args)
        self._made.faults.at("after instance.call")
        return value

    def call_bytes(self, func: str, data: Data) -> bytes:
        return self._instance.call_bytes(func, data)

    def close(self) -> None:
        self._made.faults.at("before instance.close")
        self._closed = True
        self._instance.close()
        self._made.faults.at("after instance.close")

    def __del__(self) -> None:
        if not self._closed:
            self._made.dropped += 1
            self._instance.close()
