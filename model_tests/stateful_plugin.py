"""One plugin beside the upgrade level: what its upgrades must do, step by step, until all are at rest.

An operation is a thread of the implementation and a thread of the specification. After each thing that a test does,
the operations go on here by the steps that the table has for them, as far as they can; then the threads must rest
where the specification says, or have ended as it says. Where the table leaves a choice, the plugin's options or the
test have made it: how it cuts over, what becomes of a drain that takes too long, whether a module is good.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import hotswap
from held_wasm import Struck
from hotswap import Cutover, HotReloadState, OnDrainTimeout
from hotswap._upgrade import INTERRUPT_GRACE_S
from stateful_calls import Calls, Operation


class Twin(Calls):
    """A plugin and the state of the upgrade level that it must be in: all of it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.drains_us: list[int] = []

    # -- upgrades ------------------------------------------------------------------------------------------------

    def upgrade(self, operation: Operation) -> None:
        """An upgrade, a prepare or an execute begins."""
        self.open.append(operation)
        busy = self.spec.can("upgrader", operation.i, "be_busy")
        if self.state.closed:
            self._is_over(operation, hotswap.PluginClosed)
        elif operation.kind != "execute":
            if busy:
                self.step("upgrader", operation.i, "be_busy")
                self._is_over(operation, hotswap.Busy)
            else:
                self.step("upgrader", operation.i, "claim")
                loads = operation.module is not None and operation.module.loads
                operation.paused = self._pause(operation, "load") if loads else ""
        elif not self._begin(operation):
            if busy:
                self.step("upgrader", operation.i, "be_busy")
            self._is_over(operation, hotswap.Busy if busy else hotswap.WrongState)

    def _begin(self, operation: Operation) -> bool:
        name = "exclude" if self.options.cutover is Cutover.EXCLUSIVE else "overlap"
        if not self.spec.can("upgrader", operation.i, name):
            return False
        operation.began, operation.patience = self.hub.time, self.plugin.drain_timeout
        operation.deadline = self.hub.time + operation.patience
        self.step("upgrader", operation.i, name)
        return True

    @staticmethod
    def _pause(operation: Operation, at: str) -> str:
        return at if at in operation.pauses else ""

    def go_on(self) -> None:
        """Everybody does what he must, as far as he can."""
        before: object = None
        while before != (before := self._picture()):
            for operation in self.open.copy():
                if operation.kind == "close":
                    self._close_on(operation)
                elif operation.kind != "call" and not operation.paused:
                    self._upgrade_on(operation)
            self._reclaim()

    def _picture(self) -> object:
        return self.state, len(self.open), [(one.paused, one.answer) for one in self.open]

    def _upgrade_on(self, one: Operation) -> None:
        at, i = self.spec.at("upgrader", one.i), one.i
        struck, one.struck = one.struck, False
        closed = hotswap.PluginClosed if self.state.closed else hotswap.UpgradeCancelled
        late = at in ("committed", "rolled_back")  # closed or not, the answer stands
        if at == "done":
            self._is_over(one, Struck if struck else one.answer)
        elif self.spec.take_if_possible("upgrader", i, "find_lost"):
            self._is_over(one, Struck if struck else closed)
        elif self.state.closed:
            self.step("upgrader", i, "find_closed")
            self._is_over(one, Struck if struck else one.answer if late else closed)
        else:
            getattr(self, f"_from_{at}")(one, struck)

    def _from_preparing(self, one: Operation, struck: bool) -> None:
        assert one.module is not None
        if struck or one.module.fault is not None:
            error = Struck if struck else one.module.fault
            assert error is not None
            self.step("upgrader", one.i, "fail", error.__name__)
            self._is_over(one, error)
            return
        self.modules[self.state.fresh()] = one.module
        self.step("upgrader", one.i, "offer")
        one.paused = self._pause(one, "prepared")
        if one.kind == "prepare":
            self.step("upgrader", one.i, "go_away")
            one.answer = None

    def _from_prepared(self, one: Operation, struck: bool) -> None:
        if struck:
            self.step("upgrader", one.i, "fail", "Struck")
            self._is_over(one, Struck)
        else:
            assert self._begin(one)

    def _from_swapping(self, one: Operation, _struck: bool) -> None:
        self.step("upgrader", one.i, "publish")
        one.paused = self._pause(one, "published")

    def _from_published(self, one: Operation, struck: bool) -> None:
        if struck:
            self._roll_back(one, "strike", Struck)
        else:
            self.step("upgrader", one.i, "drain")

    def _from_draining(self, one: Operation, struck: bool) -> None:
        if struck:
            self._roll_back(one, "strike", Struck)
        elif self.spec.can("upgrader", one.i, "see_drained"):
            self.step("upgrader", one.i, "see_drained")
        elif one.timed_out or one.patience == 0:
            one.timed_out = False
            self._overdue(one)

    def _overdue(self, one: Operation) -> None:
        """The drain timeout has passed: which of the table's three ways it is, is the plugin's option."""
        retired = sum(version.at == "retired" for version in self.state.versions)
        others = retired - 1  # without the one that is drained
        match self.options.on_drain_timeout:
            case OnDrainTimeout.INTERRUPT:
                one.deadline = self.hub.time + INTERRUPT_GRACE_S
                successes = self.state.successes
                self.step("upgrader", one.i, "interrupt")
                if self.state.successes > successes:
                    self._has_committed(one)
            case OnDrainTimeout.DETACH if others < self.options.max_detached:
                self.step("upgrader", one.i, "detach")
            case _:
                self._roll_back(one, "time_out", hotswap.DrainTimeout)

    def _from_grace(self, one: Operation, struck: bool) -> None:
        if struck and self.spec.can("upgrader", one.i, "strike"):
            self._roll_back(one, "strike", Struck)
        elif self.spec.can("upgrader", one.i, "see_drained") and not struck:
            self.step("upgrader", one.i, "see_drained")
        elif one.timed_out or struck:
            failures = self.state.failures
            self.step("upgrader", one.i, "let_be", "DrainTimeout")
            if struck:
                one.answer = Struck
            elif self.state.failures > failures:
                one.answer = hotswap.DrainTimeout

    def _from_ready(self, one: Operation, _struck: bool) -> None:
        self.step("upgrader", one.i, "commit")
        self._has_committed(one)
        one.paused = self._pause(one, "committed")

    def _has_committed(self, one: Operation) -> None:
        one.answer = None
        self.drains_us.append(int((self.hub.time - one.began) * 1_000_000))

    def _roll_back(self, one: Operation, step: str, answer: type[BaseException]) -> None:
        self.step("upgrader", one.i, step, answer.__name__)
        one.answer, one.paused = answer, self._pause(one, "rolled_back")

    def _from_committed(self, one: Operation, struck: bool) -> None:
        self.step("upgrader", one.i, "finish")
        self._is_over(one, Struck if struck else one.answer)

    _from_rolled_back = _from_committed

    # -- close, reclaim ------------------------------------------------------------------------------------------

    def close(self, operation: Operation) -> None:
        self.open.append(operation)
        operation.deadline = self.hub.time + self.plugin.drain_timeout
        operation.timed_out = self.plugin.drain_timeout == 0
        self.step("closer", operation.i, "close")

    def _close_on(self, one: Operation) -> None:
        if self.spec.take_if_possible("closer", one.i, "return_closed"):
            self._is_over(one, None)
        elif one.timed_out and any(caller.at == "inside" for caller in self.state.callers):
            one.timed_out = False
            self.step("closer", one.i, "interrupt_all")

    def _reclaim(self) -> None:
        """Versions that have been reclaimed, as the trace tells: the specification must let them be (S3)."""
        for event, facts in self.hub.events.copy():
            if event == "version_reclaimed" and facts["plugin"] is self.plugin.name:
                v = facts["version"] - 1  # type: ignore[operator]
                if self.spec.can("version", v, "reclaim"):
                    self.hub.events.remove((event, facts))
                    self.step("version", v, "reclaim")

    # -- what can be observed ------------------------------------------------------------------------------------

    def instances(self) -> int:
        """How many must be there (S8)."""
        there = {v: one for v, one in enumerate(self.state.versions) if one.at not in ("fresh", "reclaimed")}
        return sum(self.options.size - (self.dead[v] if one.at == "retired" else 0) for v, one in there.items())

    def compare(self) -> None:
        s, plugin, stats = self.state, self.plugin, self.plugin.stats()
        assert plugin.state is HotReloadState[s.phase]
        assert plugin.manifest is self.modules[s.current.manifest].manifest, "S6"
        counts = stats.attempts, stats.successful_upgrades, stats.failed_upgrades, stats.cancelled_upgrades
        assert counts == (s.attempts, s.successes, s.failures, s.cancelled), "S7"
        assert stats.version == s.successes, "S7"
        assert dict(stats.failures) == self.reasons, "S7: each failure has its reason"
        retired = [v for v, one in enumerate(s.versions) if one.at == "retired"]
        inside = Counter(one.on.code for one in s.callers if one.at == "inside")
        in_flight = {v + 1: inside[v] for v in {*retired, s.current.code}}
        assert dict(stats.in_flight) == in_flight, f"S7: in flight {stats.in_flight}, expected {in_flight}"
        assert stats.retired_versions == len(in_flight) - 1, "S7"
        assert stats.waiting == len(self.waiting), "S7"
        assert stats.discarded_instances == self.discarded
        assert stats.total_drain_time_us == sum(self.drains_us)
        assert stats.max_drain_time_us == max(self.drains_us, default=0)
        if not any(one.paused or one.kind == "close" for one in self.open):  # they will, when they go on
            late = [v for v in retired if self.spec.can("version", v, "reclaim")]
            assert late == [], f"L2: versions {late} are retired, and nobody reclaims them"
