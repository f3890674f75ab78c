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
from typing import Any, ClassVar, NamedTuple, Protocol

from hotswap import Cutover, HotReloadablePlugin, HotReloadState, HotswapError, OnDrainTimeout, PluginManifest
from hotswap._ports import Ports
from hotswap._protocol import Watches
from hotswap.testing import FakeModule
from scheduler import Limits, Program, Run, SchedulerClock, SchedulerSync, Shared
from scheduler._fakes import SchedulerRuntime
from scheduler._watch import begin
from worlds import manifest as a_manifest

manifest = cache(a_manifest)


@cache
def module(number: int) -> FakeModule:
    functions = {"version": lambda: number, "hold": lambda: 0, "trap": lambda: 1 // 0}
    return FakeModule(functions, f"v{number}", endless=frozenset({"loop"}))


class Fault(HotswapError):
    """Raised by a step that is made to fail."""


@dataclass(eq=False)
class Party:
    name: str
    end: Shared
    results: list[object] = field(default_factory=list)
    """Version numbers that calls ran on; `upgraded 2`; True or False of a cancel; names of errors."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """When each began and ended, in the order of all."""


class RolledBack(NamedTuple):
    number: int
    published: int
    """The moment after which calls may have run on it."""
    told: int
    """The moment before which it was rolled back."""


class Follows(Watches, Protocol):
    def check(self) -> None:
        """Raises `AssertionError` if a plugin has left the specification since the last look."""


class Workload:
    """One plugin with version 1, and parties."""

    plugin: HotReloadablePlugin
    follows: ClassVar[type[Follows] | None] = None
    """What follows the plugins of a workload on the specification, if anything does."""

    def __init__(self, run: Run, *, instances: int = 1, prepared: int | None = None, **options: Any) -> None:
        begin(run)
        self.run, self.instances = run, instances
        self.detaches = options.get("on_drain_timeout") is OnDrainTimeout.DETACH
        self.runtime = SchedulerRuntime(run)
        self.runtime.one_version = options.get("cutover") is Cutover.EXCLUSIVE
        self.ports = Ports(self.runtime, SchedulerSync(run), SchedulerClock(run), self._trace)
        self.monitor = self.follows() if self.follows is not None else None
        self._moments = 0
        self._published: dict[int, int] = {}
        self._executes: dict[int, int] = {}  # by task: the version that it upgrades to
        self.rolled_back: list[RolledBack] = []
        self._make(manifest(1, max_instances=instances), options)
        if prepared is not None:
            self.plugin.prepare_upgrade(module(prepared), manifest(prepared, max_instances=instances))
        self.prepared = prepared
        run.at_end.append(self._put_away)
        self.parties: list[Party] = []
        self._name_what_is_there()

    def _name_what_is_there(self) -> None:
        """Stories speak of the old version's bag, not of bag number nine."""
        protocol = self.plugin._protocol
        for name in ("_lock", "current", "closed", "_parked", "phase", "book"):
            getattr(protocol, name).label = name.lstrip("_")
        prepared = protocol._owner.candidate if protocol._owner is not None else None
        for which, version in (("old", protocol.current.value), ("new", prepared)):
            if version is not None:
                for name in ("live", "attention", "free", "tombs"):
                    getattr(version, name).label = f"{which} {name}"
                for lease in version.free.copy():
                    lease.instance.shared.label = f"{which} instance"  # type: ignore[attr-defined]

    def _make(self, first: PluginManifest, options: dict[str, Any]) -> None:
        self.plugin = HotReloadablePlugin("p", module(1), first, ports=self.ports, monitor=self.monitor, **options)

    def _trace(self, event: str, **facts: object) -> None:
        """Of an upgrade that is rolled back: when calls may have run on its version."""
        task = self.run.current
        if task is not None and event == "version_published":
            self._published[task.index] = self._moment()
        elif task is not None and event == "upgrade_rolled_back" and task.index in self._published:
            number = self._executes[task.index]
            self.rolled_back.append(RolledBack(number, self._published.pop(task.index), self._moment()))

    def _put_away(self) -> None:
        """A run that was given up leaves its plugin open, and need not say so."""
        self.plugin._protocol.abandon()
        self.plugin._protocol.closed.value = True

    # -- parties -----------------------------------------------------------------------------------------------

    def caller(self, calls: int = 1, func: str = "version") -> None:
        self._party("caller", [lambda: self.plugin.call(func)] * calls)

    def upgrader(self, *numbers: int, wasm: object = None, **overrides: Any) -> None:
        """Upgrades to each number in turn; with `wasm`, to that instead of a good module."""

        def to(number: int) -> Callable[[], str]:
            made = wasm or module(number), manifest(number, max_instances=self.instances, **overrides)
            return lambda: self._upgrade(number, lambda: self.plugin.upgrade(*made))  # type: ignore[arg-type]

        self._party("upgrader", [to(number) for number in numbers])

    def executor(self, *, then_close: bool = False, once_inside: bool = False) -> None:
        """Executes what was prepared, or `once_inside`: when a call has been admitted."""

        def execute() -> str:
            if once_inside:
                self._await_inside()
            return self._upgrade(self.prepared or 0, self.plugin.execute_upgrade)

        if then_close:
            self._party("executor and closer", [execute, self.plugin.close])
        else:
            self._party("executor", [execute])

    def _upgrade(self, number: int, upgrade: Callable[[], None]) -> str:
        task = self.run.current
        assert task is not None
        self._executes[task.index] = number
        upgrade()
        if not self.detaches:
            self._look_for_calls_on_older(number)
        return f"upgraded {number}"

    def _await_inside(self) -> None:
        instances = list(self.runtime.instances)
        ready = lambda: any(instance.inside for instance in instances)  # noqa: E731
        self.run.announce(self.runtime.shared, False, "waits until a call is inside on", ready)
        self.run.touch(self.runtime.shared, False, also=tuple(2 * instance.shared.key for instance in instances))

    def _look_for_calls_on_older(self, number: int, after: str = "S2: the upgrade to {number}") -> None:
        """S2: when an upgrade has returned, nothing runs on an older version. S9: nor at all after an unregister."""
        older = [instance for instance in self.runtime.instances if instance.number < number]
        self.run.announce(self.runtime.shared, False, "looks at all older instances of")
        self.run.touch(self.runtime.shared, False, also=tuple(2 * instance.shared.key for instance in older))
        if any(instance.inside for instance in older):
            self.runtime.violated(f"{after.format(number=number)} has returned, and a call runs on an older version")

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
        errors = [
            r for r in results if isinstance(r, str) and not r.startswith(("upgraded ", "registered ", "unregistered"))
        ]
        assert set(errors) <= set(allowed), f"S1: {errors}, where at most {allowed} may be"
        assert self.runtime.violations == [], self.runtime.violations
        upgraded = sum(1 for r in results if isinstance(r, str) and r.startswith("upgraded"))
        stats = plugin.stats()
        closed = protocol.closed.value
        self._check_order()
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
        self._end_all()
        assert self.runtime.created == self.runtime.closed, "S8: created = closed"
        assert self.runtime.violations == [], self.runtime.violations
        return tuple(tuple(party.results) for party in self.parties)

    def _end_all(self) -> None:
        self.plugin.close()

    def _check_order(self) -> None:
        """S2: what began after another had ended does not run on an older version, unless a rollback came between.

        That is: the first ran on a version that was rolled back, and the second had not ended when that one was
        published. And what begins after the rollback was told does not run on that version.
        """
        acts: list[tuple[int, int, int, bool]] = []
        for party in self.parties:
            for result, (began, ended) in zip(party.results, party.spans, strict=True):
                if isinstance(result, str) and result.startswith("upgraded "):
                    acts.append((began, ended, int(result.removeprefix("upgraded ")), True))
                elif isinstance(result, int) and not isinstance(result, bool) and result > 0:
                    acts.append((began, ended, result, False))
        for _, ended, version, upgrades in acts:
            undone = [back for back in self.rolled_back if back.number == version and not upgrades]
            for began, other_ended, later, upgrade in acts:
                if ended < began and not any(back.published < other_ended for back in undone):
                    newer = later > version if upgrade else later >= version
                    assert newer, f"S2: version {later} began after version {version} had ended"
        for began, _, version, _ in acts:
            late = [back for back in self.rolled_back if back.number == version and back.told < began]
            assert not late, f"S4: version {version} began after it had been rolled back"


class Case(NamedTuple):
    program: Program
    limits: Limits = Limits()


def program(build: Callable[[Any], object], *allowed: str, kind: type[Workload] = Workload, **options: Any) -> Program:
    def made(run: Run) -> Callable[[], Hashable]:
        workload = kind(run, **options)
        build(workload)

        def check() -> Hashable:
            follow = workload.monitor.check if workload.monitor is not None else lambda: None
            follow()
            outcome = workload.check(*allowed)
            follow()
            return outcome

        return check

    return made


def case(build: Callable[[Any], object], *allowed: str, limits: Limits | None = None, **options: Any) -> Case:
    return Case(program(build, *allowed, **options), limits or Limits())
