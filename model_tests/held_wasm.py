"""Real wasm on real threads, of which a test knows at each moment that all have come to rest, and where.

A thread is at rest when it has ended, is parked, stays inside `hold` or in the endless `loop` of the wasm, or pauses
where the test told it to. Whoever wakes a thread counts it as busy again in the same step, so `settled` waits for an
exact condition and not for a while. Time stands still unless the test moves it: a timer goes off when the test
says so. A `hold` goes into the wasm and comes back, and then stays with the lease in hand, as worlds.py explains.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from hotswap import PluginManifest
from hotswap._host import NO_IMPORTS, Imports
from hotswap._ports import Bag, Code, Instance, Number, Ports, Value
from hotswap._runtime import WasmRuntime
from hotswap._threads import THREADS, ThreadAtomic
from worlds import WAIT_S

T = TypeVar("T")
Command = Callable[[], object]
PAUSES = {
    "upgrade_prepared": "prepared",
    "version_published": "published",
    "upgrade_committed": "committed",
    "upgrade_rolled_back": "rolled_back",
}
"""Events of the trace, and what a pause there is called; there is one at `load` too."""


class Struck(BaseException):
    """What strikes a thread from outside, as Ctrl-C does."""


class GivenUp(BaseException):
    """The test has failed, and its threads are to go home."""


class Actor:
    """A thread, and where it rests."""

    def __init__(self, name: str, pauses: Iterable[str] = ()) -> None:
        self.name, self.pauses = name, set(pauses)
        self.rests_at: str | None = None
        self.deadline: float | None = None
        """When its timer goes off, while it is parked with one."""
        self.ended = False
        self.result: object = None
        self.error: BaseException | None = None
        self.awake = True
        self.command: Command | None = None

    def __repr__(self) -> str:
        return f"{self.name} ({'has ended' if self.ended else self.rests_at or 'is busy'})"


class Hub:
    """All threads of one example, their locks, waits and time: the ports `Sync` and `Clock`, and the trace."""

    def __init__(self) -> None:
        self.time = 0.0
        self.actors: list[Actor] = []
        self.events: list[tuple[str, dict[str, object]]] = []
        self.violations: list[str] = []
        self.created = self.closed = 0
        self.codes: list[HeldCode] = []
        self.given_up = False
        self.change = threading.Condition(threading.RLock())
        self._busy = 0
        self._local = threading.local()
        self.ports = Ports(HeldRuntime(self), self, self, self.trace)

    # -- threads -----------------------------------------------------------------------------------------------

    def start(self, name: str, work: Callable[[], object], pauses: Iterable[str] = ()) -> Actor:
        actor = Actor(name, pauses)
        with self.change:
            self.actors.append(actor)
            self._busy += 1
        threading.Thread(target=self._run, args=(actor, work), name=name, daemon=True).start()
        return actor

    def _run(self, actor: Actor, work: Callable[[], object]) -> None:
        self._local.actor = actor
        try:
            actor.result = work()
        except BaseException as error:  # noqa: BLE001  kept for the test
            actor.error = error
        with self.change:
            actor.ended = True
            self._busy -= 1
            self.change.notify_all()

    @property
    def me(self) -> Actor:
        actor: Actor = self._local.actor
        return actor

    def settled(self) -> None:
        """Wait until every thread is at rest."""
        with self.change:
            there = self.change.wait_for(lambda: self._busy == 0, WAIT_S)
        assert there, f"some thread hangs: {self.actors}"
        assert self.violations == []

    def rest(self, at: str, deadline: float | None = None) -> bool:
        """Stay until woken; False if the timer went off. A command is run on this thread, and may raise."""
        actor = self.me
        with self.change:
            self._lie_down(actor, at, deadline)
            self.change.wait_for(lambda: actor.awake)
            command, actor.command = actor.command, None
            if self.given_up:
                raise GivenUp
        if command is None:
            return deadline is None or self.time < deadline
        command()
        return True

    def _lie_down(self, actor: Actor, at: str, deadline: float | None = None) -> None:
        actor.rests_at, actor.deadline, actor.awake = at, deadline, self.given_up
        self._busy -= not actor.awake
        self.change.notify_all()

    def wake(self, actor: Actor, command: Command | None = None) -> None:
        with self.change:
            if not actor.awake:
                actor.rests_at = actor.deadline = None
                actor.awake, actor.command = True, command
                self._busy += 1
                self.change.notify_all()

    def pause(self, at: str) -> None:
        if at in self.me.pauses:
            self.rest(at)

    def give_up(self) -> None:
        """Send every thread home, whatever it does; for tests that have failed."""
        self.given_up = True
        for code in self.codes:
            code.interrupt(True)
        for actor in self.actors:
            self.wake(actor)

    # -- the ports ---------------------------------------------------------------------------------------------

    def lock(self) -> threading.Lock:
        return threading.Lock()

    def parker(self) -> HubParker:
        return HubParker(self)

    def atomic(self, value: T) -> ThreadAtomic[T]:
        return ThreadAtomic(value)

    def bag(self, items: Iterable[T]) -> Bag[T]:
        return THREADS.bag(items)

    def spawn(self, work: Callable[[], None], name: str) -> None:
        self.start(name, work)

    def now(self) -> float:
        return self.time

    def trace(self, event: str, **facts: object) -> None:
        with self.change:
            self.events.append((event, facts))
        if event in PAUSES:
            self.pause(PAUSES[event])


class HubParker:
    def __init__(self, hub: Hub) -> None:
        self._hub, self._permit = hub, False
        self._parked: Actor | None = None

    def park(self, timeout: float | None) -> bool:
        hub = self._hub
        with hub.change:
            if self._permit or (timeout is not None and timeout <= 0):
                had, self._permit = self._permit, False
                return had
            self._parked = hub.me
        try:
            return hub.rest("park", None if timeout is None else hub.time + timeout)
        finally:
            self._parked = None

    def unpark(self) -> None:
        with self._hub.change:
            if self._parked is None or self._parked.awake:
                self._permit = True
            else:
                self._hub.wake(self._parked)


class HeldRuntime:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def load(self, wasm: object, manifest: PluginManifest, imports: Imports = NO_IMPORTS) -> Code:
        self._hub.pause("load")
        code = HeldCode(self._hub, WasmRuntime().load(wasm, manifest, imports))
        self._hub.codes.append(code)
        return code


class HeldCode:
    def __init__(self, hub: Hub, code: Code) -> None:
        self.hub, self._code, self.facts = hub, code, code.facts
        self.stopping = False
        self.looping: list[Actor] = []

    def instantiate(self, *, probe: bool) -> Instance:
        return HeldInstance(self, self._code.instantiate(probe=probe))

    def interrupt(self, stop: bool) -> None:
        with self.hub.change:
            self.stopping = stop
            for actor in self.looping if stop else ():
                self.hub.wake(actor)
        self._code.interrupt(stop or self.hub.given_up)  # an upgrade that is sent home may roll back, and let it go on


class HeldInstance:
    """A real instance that tells where its caller rests, and what must not happen to it (S3)."""

    def __init__(self, code: HeldCode, instance: Instance) -> None:
        self._code, self._hub, self._instance = code, code.hub, instance
        self._inside, self._closed = 0, False
        self.call_bytes = instance.call_bytes
        with self._hub.change:
            self._hub.created += 1

    @property
    def broken(self) -> bool:
        return self._instance.broken

    def call(self, func: str, args: tuple[Number, ...]) -> Value:
        with self._hub.change:
            self._inside += 1
            if self._inside > 1 or self._closed:
                self._hub.violations.append(f"S3: {func} entered an instance that is shared or closed")
        try:
            if func == "loop":
                return self._loop(args)
            result = self._instance.call(func, args)
            if func == "hold":
                self._hub.me.pauses.add("hold")
                while "hold" in self._hub.me.pauses:
                    self._hub.rest("hold")
            return result
        finally:
            with self._hub.change:
                self._inside -= 1

    def _loop(self, args: tuple[Number, ...]) -> Value:
        hub, actor = self._hub, self._hub.me
        with hub.change:
            if not self._code.stopping:
                self._code.looping.append(actor)
                hub._lie_down(actor, "loop")
        try:
            return self._instance.call("loop", args)
        finally:
            with hub.change:
                if actor in self._code.looping:
                    self._code.looping.remove(actor)
                hub.wake(actor)

    def close(self) -> None:
        with self._hub.change:
            if self._inside:
                self._hub.violations.append("S3: an instance was closed while a call was inside")
            self._hub.closed += not self._closed
            self._closed = True
        self._instance.close()
