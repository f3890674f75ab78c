"""Workloads on the production plugin under the scheduler, and what must hold when they have ended.

A *party* is one task that makes calls, upgrades, cancels or closes, and keeps what came of it. That one thing ended
before another began is itself something that the parties share: each party's end is announced as a change of an
object of its own, and each beginning reads those of all others. So every order of an end and a beginning is explored,
and two ends, or two beginnings, still commute.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hotswap import Cutover, HotReloadablePlugin, HotReloadState, HotswapError
from hotswap._ports import Ports
from hotswap.testing import FakeModule, Recorder
from scheduler import Program, Run, SchedulerClock, SchedulerSync, Shared
from scheduler._fakes import SchedulerRuntime
from scheduler._watch import begin
from worlds import manifest as a_manifest

manifest = cache(a_manifest)


@cache
def module(number: int) -> FakeModule:
    return FakeModule({"version": lambda: number, "hold": lambda: 0}, f"v{number}", endless=frozenset({"loop"}))


@dataclass(eq=False)
class Party:
    name: str
    end: Shared
    results: list[object] = field(default_factory=list)
    """Version numbers that calls ran on; `upgraded 2`; True or False of a cancel; names of errors."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """When each began and ended, in the order of all."""


class Workload:
    """One plugin with version 1, and parties."""

    def __init__(self, run: Run, *, instances: int = 1, prepared: int | None = None, **options: Any) -> None:
        begin(run)
        self.run, self.instances = run, instances
        self.runtime = SchedulerRuntime(run)
        self.runtime.one_version = options.get("cutover") is Cutover.EXCLUSIVE
        self.ports = Ports(self.runtime, SchedulerSync(run), SchedulerClock(run), Recorder())
        first = manifest(1, max_instances=instances)
        self.plugin = HotReloadablePlugin("p", module(1), first, ports=self.ports, **options)
        if prepared is not None:
            self.plugin.prepare_upgrade(module(prepared), manifest(prepared, max_instances=instances))
        self.prepared = prepared
        run.at_end.append(self._put_away)
        self.parties: list[Party] = []
        self._moments = 0

    def _put_away(self) -> None:
        """A run that was given up leaves its plugin open, and need not say so."""
        self.plugin._protocol.abandon()
        self.plugin._protocol.closed.value = True

    # -- parties -----------------------------------------------------------------------------------------------

    def caller(self, calls: int = 1, func: str = "version") -> None:
        self._party("caller", [lambda: self.plugin.call(func)] * calls)

    def upgrader(self, number: int) -> None:
        made = module(number), manifest(number, max_instances=self.instances)

        def upgrade() -> str:
            self.plugin.upgrade(*made)
            self._look_for_calls_on_older(number)
            return f"upgraded {number}"

        self._party("upgrader", [upgrade])

    def executor(self) -> None:
        """Executes what was prepared."""

        def execute() -> str:
            self.plugin.execute_upgrade()
            self._look_for_calls_on_older(self.prepared or 0)
            return f"upgraded {self.prepared}"

        self._party("executor", [execute])

    def _look_for_calls_on_older(self, number: int) -> None:
        """S2: when an upgrade has returned, nothing runs on an older version."""
        older = [instance for instance in self.runtime.instances if instance.number < number]
        self.run.announce(self.runtime.shared, False, "looks at all older instances of")
        self.run.touch(self.runtime.shared, False, also=tuple(2 * instance.shared.key for instance in older))
        if any(instance.inside for instance in older):
            self.runtime.violated(f"S2: the upgrade to {number} has returned, and a call runs on an older version")

    def canceller(self) -> None:
        self._party("canceller", [self.plugin.cancel_upgrade])

    def closer(self) -> None:
        self._party("closer", [self.plugin.close])

    def _party(self, name: str, acts: list[Callable[[], object]]) -> None:
        party = Party(f"{name} {len(self.parties)}", Shared(self.run, "end"))
        party.end.label = party.name
        self.parties.append(party)

        def work() -> None:
            for act in acts:
                began = self._begin(party)
                try:
                    result = act()
                except HotswapError as error:
                    result = type(error).__name__
                party.results.append(result)
                party.spans.append((began, self._end(party)))

        self.run.task(party.name, work)

    def _begin(self, party: Party) -> int:
        self.run.announce(party.end, False, "begins:")
        others = tuple(2 * other.end.key for other in self.parties if other is not party)
        self.run.touch(party.end, False, also=others)
        return self._moment()

    def _end(self, party: Party) -> int:
        self.run.announce(party.end, True, "ends:")
        self.run.touch(party.end, True)
        return self._moment()

    def _moment(self) -> int:
        self._moments += 1
        return self._moments

    # -- what must hold ----------------------------------------------------------------------------------------

    def check(self, *allowed: str) -> Hashable:
        """S1 to S8 at the end. `allowed` are the errors that parties may have met."""
        plugin, protocol = self.plugin, self.plugin._protocol
        results = [result for party in self.parties for result in party.results]
        errors = [r for r in results if isinstance(r, str) and not r.startswith("upgraded")]
        assert set(errors) <= set(allowed), f"S1: {errors}, where at most {allowed} may be"
        assert self.runtime.violations == [], self.runtime.violations
        upgraded = sum(1 for r in results if isinstance(r, str) and r.startswith("upgraded"))
        stats = plugin.stats()
        closed = any(party.name.startswith("closer") for party in self.parties)
        self._check_order("DrainTimeout" in errors)
        assert stats.successful_upgrades == stats.version == upgraded, "S7: successes"
        cancelled = sum(result is True for result in results)
        assert stats.cancelled_upgrades == cancelled, "S7: cancelled"
        assert stats.failed_upgrades == sum(stats.failures.values()), "S7: each failure has its reason"
        open_ = protocol._owner is not None
        assert stats.attempts == upgraded + cancelled + stats.failed_upgrades + open_, f"S7: {stats}"
        assert set(stats.in_flight.values()) == {0}, f"S7: in flight {stats.in_flight}"
        assert stats.waiting == 0, "S7: nobody waits"
        assert protocol.retired() == [], "L2: every retired version is reclaimed"
        if closed:
            assert plugin.state is HotReloadState.CLOSED
        else:
            assert plugin.state is (HotReloadState.PREPARING_UPGRADE if open_ else HotReloadState.ACTIVE), "L1"
            serving = self.instances * (1 + open_)
            assert self.runtime.created == self.runtime.closed + serving, "S8: created = closed + serving"
            version = plugin.call("version")
            assert plugin.manifest.plugin.version == f"{version}.0.0", "S6: code and manifest"
            expected = max([1, *(int(r[9:]) for r in results if isinstance(r, str) and r.startswith("upgraded"))])
            assert version == expected, f"S4: version {version} serves, expected {expected}"
        plugin.close()
        assert self.runtime.created == self.runtime.closed, "S8: created = closed"
        assert self.runtime.violations == [], self.runtime.violations
        return tuple(tuple(party.results) for party in self.parties)

    def _check_order(self, rolled_back: bool) -> None:
        """S2: what began after another had ended does not run on an older version."""
        acts: list[tuple[int, int, int, bool]] = []
        for party in self.parties:
            for result, (began, ended) in zip(party.results, party.spans, strict=True):
                if isinstance(result, str) and result.startswith("upgraded "):
                    acts.append((began, ended, int(result.removeprefix("upgraded ")), True))
                elif isinstance(result, int) and not isinstance(result, bool):
                    acts.append((began, ended, result, False))
        for _, ended, version, _ in acts:
            for began, _, later, upgrade in acts:
                if ended < began and not rolled_back:
                    newer = later > version if upgrade else later >= version
                    assert newer, f"S2: version {later} began after version {version} had ended"


def program(build: Callable[[Workload], object], *allowed: str, **options: Any) -> Program:
    def made(run: Run) -> Callable[[], Hashable]:
        workload = Workload(run, **options)
        build(workload)
        return lambda: workload.check(*allowed)

    return made
