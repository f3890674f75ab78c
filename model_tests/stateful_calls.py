"""Operations, and how the calls among them are admitted: with a plugin's upgrade level beside the plugin.

Beside the table there is only what the level leaves out: a version has `size` instances, and who waits for one is
served in turn; an instance that traps is replaced if its version serves.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import hotswap
from held_wasm import Actor, Hub
from hotswap import Cutover, HotReloadablePlugin, OnDrainTimeout
from hotswap_spec import LEVELS
from hotswap_spec.upgrade import initial
from lockstep import Lockstep
from stateful_modules import Module

UPGRADE: Final = LEVELS["upgrade"]
MANY: Final = 40
PENDING: Final = object()


@dataclass(frozen=True)
class Options:
    """How the plugins of one example are made."""

    cutover: Cutover
    on_drain_timeout: OnDrainTimeout
    size: int
    max_detached: int
    queue_timeout: float

    def keywords(self) -> dict[str, Any]:
        names = "cutover", "on_drain_timeout", "max_detached", "queue_timeout"
        return {name: getattr(self, name) for name in names}


@dataclass(eq=False, repr=False)
class Operation:
    """What was asked of the implementation, and how far its twin in the specification has come."""

    kind: str  # call, prepare, upgrade, execute, close
    i: int
    actor: Actor
    func: str = ""
    module: Module | None = None
    deadline: float = 0.0
    patience: float = 0.0  # the drain timeout that was in force when it began
    began: float = 0.0
    pauses: set[str] = field(default_factory=set)
    paused: str = ""
    struck: bool = False
    timed_out: bool = False
    answer: object = PENDING  # a value, or the type of an error; told when the operation is over
    over: bool = False
    waits: bool = False
    """It is a call that is not admitted yet."""
    admitted: bool = False

    def __repr__(self) -> str:
        said = "is over" if self.over else f"pauses at {self.paused}" if self.paused else "goes on"
        asked = f"{self.func}{self.module.kind if self.module else ''}"
        return f"{self.kind} {self.i} {asked}".strip() + f" {said}"

    def compare(self) -> None:
        """Has the thread ended as it must, or does it rest where it must?"""
        actor = self.actor
        assert actor.ended is self.over, f"{actor}, but the specification says {self}"
        if not self.over:
            where = self.paused or (self.func if self.kind == "call" and not self.waits else "park")
            assert actor.rests_at == where, f"{actor}, expected at {where}"
        elif isinstance(self.answer, type):
            assert type(actor.error) is self.answer, f"{actor.name}: expected {self.answer}, found {actor.error!r}"
        else:
            assert actor.error is None, f"{actor.name}: expected {self.answer}, found {actor.error!r}"
            assert actor.result == self.answer, f"{actor.name}: expected {self.answer}, found {actor.result}"


class Calls:
    """A plugin and the state of the upgrade level that it must be in: its calls."""

    def __init__(self, plugin: HotReloadablePlugin, hub: Hub, options: Options, first: Module, taken: Counter[str]):
        self.plugin, self.hub, self.options = plugin, hub, options
        start = initial(callers=4, upgraders=MANY, versions=MANY + 1, cancellers=MANY, closers=MANY)
        self.spec = Lockstep(UPGRADE, start, taken)
        self.modules = {0: first}
        self.dead = Counter[int]()  # instances of a version that trapped and are not replaced
        self.discarded = 0
        self.reasons = Counter[str]()
        self.open: list[Operation] = []  # under way, oldest first
        self.waiting: list[Operation] = []  # calls that are not admitted yet, oldest first
        self.used = Counter[str]()

    @property
    def state(self) -> Any:
        return self.spec.state

    def thread(self, who: str) -> int:
        """A thread of the specification that has done nothing yet."""
        self.used[who] += 1
        return self.used[who] - 1

    def step(self, who: str, i: int, name: str, reason: str = "") -> None:
        """A step; then whoever may be admitted now is, since the implementation sees to it in the same step."""
        failures = self.state.failures
        self.spec.take(who, i, name)
        if self.state.failures > failures:
            self.reasons[reason or "PluginClosed"] += 1
        for v, version in enumerate(self.state.versions):
            if version.at == "live":
                self.dead[v] = 0
        self._stop_loops()
        self._serve()

    # -- calls ---------------------------------------------------------------------------------------------------

    def call(self, operation: Operation) -> None:
        self.open.append(operation)
        self.waiting.append(operation)
        operation.waits = True
        operation.deadline = self.hub.time + self.options.queue_timeout
        self._serve()

    def _serve(self) -> None:
        for call in self.waiting:
            self.spec.take_if_possible("caller", call.i, "hold")
        for call in self.waiting.copy():
            if self.state.callers[call.i].at == "held":
                if self.spec.take_if_possible("caller", call.i, "turn_away"):
                    self._leave_queue(call, hotswap.PluginClosed)
                elif self.spec.can("caller", call.i, "let_in") and self._has_room():
                    self._enter(call, "let_in")
                else:
                    return
            elif not self.spec.can("caller", call.i, "admit"):
                self._leave_queue(call, hotswap.PluginClosed)
            elif self._has_room():
                self._enter(call, "admit")
            else:
                return

    def _has_room(self) -> bool:
        v = self.state.current.code
        inside = sum(one.on.code == v for one in self.state.callers)
        return bool(inside + self.dead[v] < self.options.size)

    def _leave_queue(self, call: Operation, answer: object) -> None:
        self.waiting.remove(call)
        self._is_over(call, answer)

    def give_up_waiting(self, call: Operation) -> None:
        """It has waited too long for an instance. It was not admitted, so it has taken no step."""
        self._leave_queue(call, hotswap.Overloaded)

    def _enter(self, call: Operation, step: str) -> None:
        self.waiting.remove(call)
        call.waits = False
        self.spec.take("caller", call.i, step)
        call.admitted = True
        v = self.state.callers[call.i].on.code
        if call.func == "trap":
            self._lose(call, "end", hotswap.CallTrapped)
        elif call.func not in ("hold", "loop"):
            answers = {"version": self.modules[v].number, "nothing": hotswap.UnknownFunction}
            self.spec.take("caller", call.i, "end")
            self._is_over(call, answers[call.func])

    def end_call(self, call: Operation) -> None:
        """A call that was held inside is let go."""
        number = self.modules[self.state.callers[call.i].on.code].number
        self.step("caller", call.i, "end")
        self._is_over(call, number)

    def _lose(self, call: Operation, step: str, answer: object) -> None:
        v = self.state.callers[call.i].on.code
        self.spec.take("caller", call.i, step)
        self.discarded += 1
        self.dead[v] += self.state.versions[v].at != "live"
        self._is_over(call, answer)

    def _stop_loops(self) -> None:
        for call in self.open.copy():
            if call.kind == "call" and call.func == "loop" and self.spec.can("caller", call.i, "trap"):
                self._lose(call, "trap", hotswap.CallInterrupted)

    def _is_over(self, operation: Operation, answer: object) -> None:
        operation.answer, operation.over = answer, True
        self.open.remove(operation)
