"""What the state machine's rules are made of: asking the implementation, and comparing it with the specification."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from hypothesis.stateful import RuleBasedStateMachine, invariant

import hotswap
from held_wasm import Hub, Struck
from hotswap import HotReloadablePlugin, HotReloadManager
from hotswap_spec import LEVELS
from hotswap_spec.manager import NONE, initial
from lockstep import Lockstep
from stateful_calls import PENDING, Operation, Options
from stateful_modules import Module, make
from stateful_plugin import Twin

USERS: Final = 4
MANY: Final = 40
TICK_S: Final = 2.0**-10
"""Between two rules, unless a timer would go off. Times are sums of powers of two, so they are exact."""
PATIENCE_S: Final = 8.0
NEVER_S: Final = 2.0**30


@dataclass
class Registration:
    """A plugin that is being registered."""

    operation: Operation
    module: Module


class Lockstepped(RuleBasedStateMachine):
    """A manager and its plugins, beside the manager's level and an upgrade level for each plugin."""

    taken: ClassVar[dict[str, Counter[str]]] = {"manager": Counter(), "upgrade": Counter()}
    """How often the steps of each level have been taken, by all machines."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = Hub()
        self.manager = HotReloadManager(ports=self.hub.ports)
        start = initial(registrars=MANY, users=USERS, upgraders=MANY, unregisterers=MANY, closers=MANY)
        self.spec = Lockstep(LEVELS["manager"], start, self.taken["manager"])
        self.options: Options
        self.handles: list[HotReloadablePlugin | None] = [None] * USERS
        self.twins: dict[int, Twin] = {}
        self.operations: list[Operation] = []
        """Under way, oldest first; those that were over at the last comparison are gone."""
        self.registering: dict[int, Registration] = {}
        self.removing: dict[int, Operation] = {}
        self.upgrading: dict[int, Operation] = {}
        """By the number of their thread in the manager's level, as plugins are by that of their registrar."""
        self.calling: list[Operation] = []
        self.numbers = 0
        self.used = Counter[str]()
        self.patience = PATIENCE_S

    # -- asking --------------------------------------------------------------------------------------------------

    def thread(self, who: str) -> int:
        """A thread of the manager's level that has done nothing yet."""
        self.used[who] += 1
        return self.used[who] - 1

    def ask(self, kind: str, i: int, work: Callable[[], object], pauses: set[str] | None = None) -> Operation:
        """Have the implementation do it on a thread of its own, until all are at rest."""
        actor = self.hub.start(f"{kind} {i}", work, pauses or ())
        self.hub.settled()
        operation = Operation(kind, i, actor, pauses=pauses or set())
        self.operations.append(operation)
        return operation

    def wake(self, operation: Operation, command: Callable[[], object] | None = None) -> None:
        self.hub.wake(operation.actor, command)
        self.hub.settled()

    def module(self, kind: str) -> Module:
        """A new module, which follows what serves."""
        self.numbers += 1
        twin = self.latest
        serves = "0.0.0" if twin is None else twin.modules[twin.state.current.manifest].version
        return make(kind, self.numbers, self.options.size, serves)

    @property
    def latest(self) -> Twin | None:
        return self.twins[max(self.twins)] if self.twins else None

    def paused(self) -> list[Operation]:
        return [one for one in self.operations if one.paused]

    def draining(self) -> list[Operation]:
        """Upgrades that wait for calls to end."""
        return [one for one in self.operations if one.kind in ("upgrade", "execute") and not one.paused]

    def timers(self) -> list[Operation]:
        """Who waits with a timer, the one that goes off next first."""
        timed = [one for one in self.operations if (one.actor.deadline or NEVER_S) < NEVER_S]
        return sorted(timed, key=lambda one: one.actor.deadline or 0.0)

    def holding(self) -> list[Operation]:
        return [one for one in self.operations if one.actor.rests_at == "hold"]

    def twin_of(self, operation: Operation) -> Twin:
        return next(twin for twin in self.twins.values() if operation in twin.open)

    # -- when there is something to ask --------------------------------------------------------------------------

    @staticmethod
    def asks(is_usual: bool, luck: int, one_in: int = 4) -> bool:
        """What is refused as a rule, or ends much, is asked for now and then only. Luck is 0 in shrunk programs."""
        return is_usual or luck % one_in == 0

    def is_closed(self) -> bool:
        return self.latest is not None and self.latest.state.closed

    def nobody_upgrades(self) -> bool:
        return self.latest is not None and self.latest.state.owner() < 0 and not self.is_closed()

    def is_prepared(self) -> bool:
        return self.latest is not None and self.latest.state.may_begin(MANY - 1)

    def idle(self) -> list[int]:
        """Users that have a handle and make no call."""
        calling = {call.i for call in self.calling}
        return [i for i, handle in enumerate(self.handles) if handle is not None and i not in calling]

    # -- going on ------------------------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Everybody takes the steps that he must, in both levels."""
        for i, one in list(self.registering.items()):
            self._register_on(i, one)
        for twin in self.twins.values():
            twin.go_on()
        for call in self.calling.copy():
            self._call_on(call)
        for p, twin in self.twins.items():
            if all(version.at in ("fresh", "reclaimed") for version in twin.state.versions):
                self.spec.take_if_possible("plugin", p, "empty")
        for i, operation in list(self.upgrading.items()):
            if operation.answer is not PENDING:
                del self.upgrading[i]
                lost = operation.answer is hotswap.PluginClosed or not self.spec.can("upgrader", i, "succeed")
                self.spec.take("upgrader", i, "lose" if lost else "succeed")
                assert not lost or operation.answer in (hotswap.PluginClosed, Struck)
        for i, operation in list(self.removing.items()):
            if operation.over:
                del self.removing[i]
                self.spec.take("remover", i, "delete")
                if self.spec.at("remover", i) == "shutting":
                    self.spec.take("remover", i, "leave")

    def _register_on(self, i: int, one: Registration) -> None:
        operation, fault = one.operation, Struck if one.operation.struck else one.module.fault
        if operation.paused:
            return
        del self.registering[i]
        if fault is not None:
            self.spec.take("registrar", i, "fail")
            operation.answer = fault
        elif self.spec.take_if_possible("registrar", i, "find_closed"):
            operation.answer = hotswap.PluginClosed
            self.hub.events.clear()  # it has closed a plugin that nobody has seen
        else:
            self.spec.take("registrar", i, "list")
            plugin = operation.actor.result
            assert isinstance(plugin, HotReloadablePlugin)
            operation.answer = plugin
            self.twins[i] = Twin(plugin, self.hub, self.options, one.module, self.taken["upgrade"])
        operation.over = True

    def _call_on(self, call: Operation) -> None:
        """The manager's level knows a call once it is admitted, or refused."""
        if call.admitted and self.spec.at("user", call.i) == "holding":
            self.spec.take("user", call.i, "call")
        if call.over:
            self.calling.remove(call)
            if call.admitted:
                self.spec.take("user", call.i, "end")
            elif call.answer is hotswap.PluginClosed:
                self.spec.take("user", call.i, "call_late")

    # -- comparing -----------------------------------------------------------------------------------------------

    @invariant()
    def all_is_as_specified(self) -> None:
        self.go_on()
        for one in self.operations:
            one.compare()
        self.operations = [one for one in self.operations if not one.over]
        for twin in self.twins.values():
            twin.compare()
        hub, there = self.hub, sum(twin.instances() for twin in self.twins.values())
        assert hub.created - hub.closed == there, f"S8: {hub.created - hub.closed} instances live, expected {there}"
        assert hub.violations == []
        listed = self.spec.state.listed
        plugins = {} if listed == NONE else {"p": self.twins[listed].plugin}
        assert self.manager.list() == list(plugins), "S9"
        assert self.manager.get("p") is plugins.get("p"), "S9"
        assert self.manager.all_stats() == {name: plugin.stats() for name, plugin in plugins.items()}, "S9"
        if not self.timers() or self.timers()[0].deadline > hub.time + TICK_S:
            hub.time += TICK_S

    # -- the end -------------------------------------------------------------------------------------------------

    def close_manager(self) -> None:
        raise NotImplementedError

    def resume(self, k: int, strike: bool) -> None:
        raise NotImplementedError

    def end_call(self, k: int) -> None:
        raise NotImplementedError

    def time_passes(self) -> None:
        raise NotImplementedError

    def teardown(self) -> None:
        """Let everybody come to his end, and see that nothing is left (L1, L3, L4, S8). After a failure, tidy up."""
        try:
            if sys.exc_info()[0] is None and hasattr(self, "options"):
                self._run_out()
        finally:
            self._put_away()

    def _run_out(self) -> None:
        while self.paused():
            self.resume(0, False)
            self.all_is_as_specified()
        self.close_manager()
        self.all_is_as_specified()
        while self.holding():
            self.end_call(0)
            self.all_is_as_specified()
        while self.timers():
            self.time_passes()
            self.all_is_as_specified()
        assert self.operations == []
        assert [actor for actor in self.hub.actors if not actor.ended] == []
        assert self.hub.created == self.hub.closed, "S8"

    def _put_away(self) -> None:
        self.hub.give_up()
        for twin in self.twins.values():
            twin.plugin._protocol.abandon()
            twin.plugin._protocol.closed.value = True
        self.manager._closed = True
