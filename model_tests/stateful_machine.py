"""A Hypothesis state machine that drives a real manager and plugin, on real wasm, in lockstep with the specification.

Each rule asks something of the implementation, waits until all threads are at rest, and tells the specification what
was asked. Then both go on as far as they can, and everything that can be observed is compared.
"""

from __future__ import annotations

from typing import Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

import hotswap
from held_wasm import Struck
from hotswap import Cutover, OnDrainTimeout
from hotswap_spec.manager import NONE
from stateful_base import MANY, NEVER_S, PATIENCE_S, USERS, Lockstepped, Registration
from stateful_calls import Operation, Options
from stateful_modules import BAD, BAD_FIRST, GOOD
from stateful_plugin import Twin

T = TypeVar("T")
QUEUE_S: Final = 16.0
USER, NUMBER = st.integers(0, USERS - 1), st.integers(0, 7)
KIND: Final = st.sampled_from([*GOOD[:1] * 20, *GOOD, *BAD])
LUCK: Final = st.sampled_from(range(20))
WHERE: Final = st.sampled_from(["load", "prepared", "published", "committed", "rolled_back"])
PAUSES: Final = st.just(set[str]()) | st.sets(WHERE, max_size=2)
POLICIES: Final = [(c, p) for c in Cutover for p in OnDrainTimeout if (c.name, p.name) != ("EXCLUSIVE", "DETACH")]


def strike() -> None:
    raise Struck


class PluginMachine(Lockstepped):
    # -- rules ---------------------------------------------------------------------------------------------------

    @initialize(policy=st.sampled_from(POLICIES), size=st.integers(1, 3), max_detached=st.integers(0, 2))
    def begin(self, policy: tuple[Cutover, OnDrainTimeout], size: int, max_detached: int) -> None:
        """With EXCLUSIVE nobody is patient: that a call which a gate has held gives up, the level leaves out."""
        queue_timeout = QUEUE_S if policy[0] is Cutover.OVERLAP else NEVER_S
        self.options = Options(*policy, size, max_detached, queue_timeout)
        self.register("good", False)
        self.go_on()
        for i in range(USERS):
            self.get(i)

    @rule(kind=st.sampled_from(["good", "good", *BAD_FIRST]), slow=st.booleans(), luck=LUCK)
    def register(self, kind: str, slow: bool, luck: int = 0) -> None:
        if not self.asks(self.spec.state.listed == NONE, luck):
            return
        module, i = self.module(kind), self.thread("registrar")
        options = {"drain_timeout": self.patience, **self.options.keywords()}

        def work() -> object:
            return self.manager.register("p", module.wasm, module.manifest, **options)

        one = self.ask("register", i, work, {"load"} if slow else set())
        if self.spec.can("registrar", i, "take"):
            self.spec.take("registrar", i, "take")
            self.registering[i] = Registration(one, module)
            one.paused = "load" if slow and module.loads else ""
        else:
            self.spec.take("registrar", i, "be_refused")
            closed = self.spec.state.closed
            one.answer, one.over = hotswap.PluginClosed if closed else hotswap.AlreadyRegistered, True

    @precondition(lambda self: None in self.handles)
    @rule(i=USER)
    def get(self, i: int) -> None:
        if self.spec.at("user", i) == "outside":
            self.handles[i] = self.manager.get("p")
            assert (self.handles[i] is not None) == self.spec.take_if_possible("user", i, "get")

    @precondition(lambda self: self.idle())
    @rule(k=NUMBER, again=st.booleans(), luck=LUCK)
    def forget(self, k: int, again: bool, luck: int = 0) -> None:
        """A user drops its handle, and may ask for another at once."""
        i = pick(self.idle(), k)
        if not self.asks(self.handles[i] is not self.manager.get("p"), luck):
            return
        self.spec.take("user", i, "forget")
        self.handles[i] = None
        if again:
            self.get(i)

    # -- calls ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.idle())
    @rule(k=NUMBER, func=st.sampled_from(["version", "hold", "loop", "trap", "nothing"]))
    def call(self, k: int, func: str) -> None:
        """At most one call loops, since it burns a processor until it is interrupted."""
        i, loops = pick(self.idle(), k), any(call.func == "loop" for call in self.calling)
        plugin, func = self.handles[i], "hold" if loops and func == "loop" else func
        assert plugin is not None
        one = self.ask("call", i, lambda: plugin.call(func))
        one.func = func
        self.calling.append(one)
        self.twins[self.spec.state.users[i].mine].call(one)

    @precondition(lambda self: self.idle())
    @rule(k=NUMBER)
    def hold(self, k: int) -> None:
        self.call(k, "hold")

    @precondition(lambda self: self.holding())
    @rule(k=NUMBER)
    def end_call(self, k: int) -> None:
        one = pick(self.holding(), k)
        one.actor.pauses.discard("hold")
        self.wake(one)
        self.twin_of(one).end_call(one)

    @precondition(lambda self: self.holding())
    @rule(k=NUMBER, luck=LUCK)
    def ask_from_inside(self, k: int, luck: int = 0) -> None:
        if not self.asks(False, luck):
            return
        one, module, refused = pick(self.holding(), k), self.module("good"), list[BaseException]()
        twin = self.twin_of(one)

        def ask() -> None:
            try:
                twin.plugin.upgrade(module.wasm, module.manifest)
            except hotswap.Reentrant as error:
                refused.append(error)

        self.wake(one, ask)
        twin.step("caller", one.i, "ask_inside")
        assert len(refused) == 1

    # -- upgrades ------------------------------------------------------------------------------------------------

    @rule(kind=KIND, by_name=st.booleans(), pauses=PAUSES, luck=LUCK)
    def upgrade(self, kind: str, by_name: bool, pauses: set[str], luck: int = 0) -> None:
        if not self.asks(self.nobody_upgrades(), luck):
            return
        twin, module, pauses = self._latest(), self.module(kind), self._where_it_may_pause(pauses)

        def work() -> None:
            if by_name:
                self.manager.upgrade("p", module.wasm, module.manifest, **module.allow)
            else:
                twin.plugin.upgrade(module.wasm, module.manifest, **module.allow)

        one = self.ask("upgrade", twin.thread("upgrader"), work, pauses)
        one.module = module
        if by_name and self.spec.state.listed == NONE:
            one.answer, one.over = hotswap.PluginNotFound, True
            return
        if by_name and self.spec.take_if_possible("upgrader", i := self.thread("upgrader"), "upgrade"):
            self.upgrading[i] = one
        twin.upgrade(one)

    @rule(kind=KIND, pauses=PAUSES, luck=LUCK)
    def prepare(self, kind: str, pauses: set[str], luck: int = 0) -> None:
        if not self.asks(self.nobody_upgrades(), luck):
            return
        twin, module = self._latest(), self.module(kind)

        def work() -> None:
            twin.plugin.prepare_upgrade(module.wasm, module.manifest, **module.allow)

        one = self.ask("prepare", twin.thread("upgrader"), work, pauses & {"load", "prepared"})
        one.module = module
        twin.upgrade(one)

    @rule(pauses=PAUSES, luck=LUCK)
    def execute(self, pauses: set[str], luck: int = 0) -> None:
        if not self.asks(self.is_prepared(), luck, 10):
            return
        twin, pauses = self._latest(), self._where_it_may_pause(pauses)
        twin.upgrade(self.ask("execute", twin.thread("upgrader"), twin.plugin.execute_upgrade, pauses))

    def _latest(self) -> Twin:
        """There is one, since the first registration succeeds."""
        assert self.latest is not None
        return self.latest

    def _where_it_may_pause(self, pauses: set[str]) -> set[str]:
        """Not where an event comes in the middle of what is one step in the table.

        Without patience a rollback would race with the calls that the candidate serves, so it pauses before that.
        """
        if self.patience == 0 and self.options.cutover is Cutover.OVERLAP:
            pauses = pauses | {"published"}
        if self.options.cutover is Cutover.EXCLUSIVE:  # a rollback has to make good what has trapped meanwhile
            return pauses - {"rolled_back"}
        if self.options.on_drain_timeout is OnDrainTimeout.INTERRUPT:  # commits, and interrupts then
            return pauses - {"committed"}
        return pauses

    @rule(luck=LUCK)
    def cancel(self, luck: int = 0) -> None:
        if not self.asks(self._latest().state.owner() >= 0, luck):
            return
        twin = self._latest()
        one, i = self.ask("cancel", 0, twin.plugin.cancel_upgrade), twin.thread("canceller")
        one.over = True
        if twin.spec.can("canceller", i, "cancel"):
            twin.step("canceller", i, "cancel")
            one.answer = True
        elif twin.spec.take_if_possible("canceller", i, "cancel_late"):
            one.answer = hotswap.Busy
        else:  # a plugin that is closed has nothing to cancel either
            assert twin.spec.take_if_possible("canceller", i, "cancel_nothing") or twin.state.closed
            one.answer = False

    @precondition(lambda self: self.paused())
    @rule(k=NUMBER, struck=st.booleans())
    def resume(self, k: int, struck: bool) -> None:
        """Who pauses goes on; or is struck there, as by Ctrl-C."""
        one = pick(self.paused(), k)
        one.struck = struck and one.paused != "rolled_back"
        one.pauses.discard(one.paused)
        one.paused = ""
        self.wake(one, strike if one.struck else None)

    @precondition(lambda self: self.draining())
    @rule(k=NUMBER)
    def strike(self, k: int) -> None:
        """An upgrade that waits for calls to end is struck."""
        one = pick(self.draining(), k)
        one.struck = True
        self.wake(one, strike)

    # -- time ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.timers())
    @rule()
    def time_passes(self) -> None:
        """Until the next timer goes off: a drain timeout, the grace of an interrupt, a call's patience."""
        self.hub.time = self.timers()[0].deadline
        for one in [one for one in self.timers() if one.actor.deadline == self.hub.time]:
            assert one.actor.deadline in (None, one.deadline), f"{one}: its timer goes off at {one.actor.deadline}"
            if one.actor.deadline is not None:  # else what went before has woken it
                self.wake(one)
            if one.waits:
                self.twin_of(one).give_up_waiting(one)
            one.timed_out = not one.over
            self.go_on()

    @rule(patience=st.sampled_from([PATIENCE_S, 0.0]))
    def set_drain_timeout(self, patience: float) -> None:
        self.patience = patience
        for twin in self.twins.values():
            twin.plugin.drain_timeout = patience

    # -- the end -------------------------------------------------------------------------------------------------

    @rule(how=st.sampled_from(["unregister", "close_manager", "close_plugin"]), luck=LUCK)
    def end(self, how: str, luck: int = 0) -> None:
        if self.asks(how == "unregister" and self.is_closed(), luck, 5):
            getattr(self, how)()

    def close_plugin(self) -> None:
        """By its handle, behind the manager's back: as a remover that comes to the rest of its work much later."""
        twin = self._latest()
        one = self.ask("close", twin.thread("closer"), twin.plugin.close)
        if self.spec.state.listed == max(self.twins):
            i = self.thread("remover")
            self.spec.take("remover", i, "find")
            self.spec.take("remover", i, "close")
        twin.close(one)

    def unregister(self) -> None:
        i = self.thread("remover")
        one = self.ask("unregister", i, lambda: self.manager.unregister("p"))
        if self.spec.can("remover", i, "find"):
            self._remove(i, one)
        else:
            one.answer, one.over = hotswap.PluginNotFound, True

    def close_manager(self) -> None:
        i = MANY + self.thread("closer")
        one = self.ask("close all", i, self.manager.close)
        self.spec.take("remover", i, "shut")
        if self.spec.can("remover", i, "find"):
            self._remove(i, one)
        else:
            self.spec.take("remover", i, "leave")
            one.answer, one.over = None, True

    def _remove(self, i: int, one: Operation) -> None:
        self.spec.take("remover", i, "find")
        self.spec.take("remover", i, "close")
        twin = self.twins[self.spec.state.removers[i].mine]
        one.kind, one.i = "close", twin.thread("closer")
        self.removing[i] = one
        twin.close(one)


def pick(items: list[T], k: int) -> T:
    return items[k % len(items)]
