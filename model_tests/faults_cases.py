"""The operations that are struck by faults, on the fakes; and what must hold afterwards, whatever has struck."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import hotswap
from faults import EARLIER, NO_THREAD, OP, Fault, Faults
from faults_ports import FaultyPorts
from hotswap import Cutover, HotReloadManager, HotReloadState, OnDrainTimeout
from hotswap.monitor import Monitor
from worlds import WAIT_S, FakeWorld, Runner, eventually, manifest


@dataclass(frozen=True)
class Case:
    """One operation, on a manager whose only plugin is `p`, version 1 with two instances."""

    run: Callable[[Site], object]
    ends: type[BaseException] | None = None
    """What it raises when nothing strikes."""
    serves: int = 1
    """Which version serves then; 0: none."""
    options: dict[str, Any] = field(default_factory=dict)
    busy: str = ""
    """What another call is inside of, from before the operation until it waits for that, or is over."""
    guest: str = ""
    """The event of the trace at which a second such call comes in."""
    queues: bool = False
    """A third call waits when the operation does."""
    registered: bool = True
    prepared: bool = False

    @property
    def leave_out(self) -> frozenset[str]:
        """A wait of no time, for what does not end, ends in an hour if the clock goes back by one."""
        return frozenset({EARLIER} if self.options.get("drain_timeout") == 0 else ())


def _upgrade(site: Site) -> None:
    site.manager.upgrade("p", site.module(2), manifest(2))


def _register(site: Site) -> None:
    site.manager.register("p", site.module(1), manifest(1))


def _overdue(cutover: Cutover, policy: OnDrainTimeout = OnDrainTimeout.ROLLBACK) -> dict[str, Any]:
    return {"cutover": cutover, "on_drain_timeout": policy, "drain_timeout": 0.0}


OVERLAP, EXCLUSIVE = Cutover.OVERLAP, Cutover.EXCLUSIVE
CASES: Final[dict[str, Case]] = {
    "register": Case(_register, registered=False),
    "register what fails": Case(
        lambda site: site.manager.register("p", site.second_fails(), manifest(1)),
        hotswap.InitFailed,
        serves=0,
        registered=False,
    ),
    "upgrade": Case(_upgrade, serves=2),
    "upgrade beside a call": Case(_upgrade, serves=2, busy="hold"),
    "upgrade, exclusive": Case(_upgrade, serves=2, options={"cutover": EXCLUSIVE}, busy="hold", queues=True),
    "upgrade to what fails": Case(
        lambda site: site.manager.upgrade("p", site.second_fails(), manifest(2)), hotswap.InitFailed
    ),
    "rollback": Case(_upgrade, hotswap.DrainTimeout, options=_overdue(OVERLAP), busy="hold", guest="version_published"),
    "rollback, exclusive": Case(_upgrade, hotswap.DrainTimeout, options=_overdue(EXCLUSIVE), busy="hold"),
    "interrupt": Case(_upgrade, serves=2, options=_overdue(OVERLAP, OnDrainTimeout.INTERRUPT), busy="loop"),
    "interrupt, exclusive": Case(
        _upgrade, serves=2, options=_overdue(EXCLUSIVE, OnDrainTimeout.INTERRUPT), busy="loop"
    ),
    "detach": Case(_upgrade, serves=2, options=_overdue(OVERLAP, OnDrainTimeout.DETACH), busy="hold"),
    "cancel": Case(lambda site: site.target.cancel_upgrade(), prepared=True),
    "unregister": Case(lambda site: site.manager.unregister("p"), serves=0, prepared=True),
    "unregister beside a call": Case(lambda site: site.manager.unregister("p"), serves=0, busy="hold"),
    "unregister beside a loop": Case(
        lambda site: site.manager.unregister("p"), serves=0, options={"drain_timeout": 0.0}, busy="loop"
    ),
    "call": Case(lambda site: site.target.call("version")),
    "call that traps": Case(lambda site: site.target.call("trap"), hotswap.CallTrapped),
}


class Site(FakeWorld):
    """One run of one case."""

    def __init__(self, case: Case, monitor: Monitor, *planned: Fault) -> None:
        super().__init__()
        self.case, self.monitor, self.faults = case, monitor, Faults(*planned)
        self._earlier_divergences = len(monitor.divergences)  # one of a clock that goes back is in order
        self.made = FaultyPorts(self.faults, self.ports, self._at_park, self._at_release)
        self.ports = self.made.ports
        self.manager: HotReloadManager = HotReloadManager(monitor=monitor, ports=self.ports)
        self.others: list[Runner] = []
        if case.registered:
            options = {"drain_timeout": WAIT_S, "queue_timeout": WAIT_S, **case.options}
            self.target: hotswap.HotReloadablePlugin = self.manager.register(
                "p", self.module(1), manifest(1), **options
            )
            self._manifest = self.target.manifest
        if case.prepared:
            self.target.prepare_upgrade(self.module(2), manifest(2))
        self._told = self.trace.__call__
        self.made._told = self._tell

    def second_fails(self) -> Any:
        """The init of the second instance says no."""
        answers = iter([0, 1])
        good = self.module(2)
        return type(good)(good.functions, "bad", init=lambda: next(answers), endless=good.endless)

    # -- the operation ------------------------------------------------------------------------------------------

    def go(self) -> BaseException | None:
        """The operation, and all that it has started, to their ends. Returns what it has raised."""
        if self.case.busy:
            self._come_in(self.case.busy)
        operation = Runner(self._struck).join()
        self._let_go()
        self.made.join()
        return operation.error

    def _struck(self) -> None:
        with self.faults.lane(OP):
            self.case.run(self)

    def _come_in(self, function: str) -> None:
        before = sum(self.target.stats().in_flight.values())
        self.others.append(Runner(self.target.call, function))
        if function == "hold":
            self.gate.await_entered()
        eventually(lambda: sum(self.target.stats().in_flight.values()) > before)

    def _tell(self, event: str, **facts: object) -> None:
        self._told(event, **facts)
        if event == self.case.guest and self.faults.counted:
            with self.faults.lane(""):
                self._come_in("hold")

    def _at_park(self) -> None:
        """The operation waits: for the call that is inside, which goes now. So it need not wait at all."""
        if self.case.queues and len(self.others) == 1:
            self.others.append(Runner(self.target.call, "version"))
            eventually(lambda: self.target.stats().waiting == 1)
        self._let_go(1)

    def _at_release(self) -> None:
        """A loop that was interrupted ends now, and not at some moment of the operation."""
        if self.made.stopped and self.case.busy == "loop":
            self.others[0].join()

    def _let_go(self, first: int | None = None) -> None:
        """The calls that are inside come home, if they can: a loop ends when it is interrupted."""
        self.gate.open.set()
        if self.case.busy != "loop" or self.made.stopped:
            for other in self.others[:first]:
                other.join()

    # -- what must hold -----------------------------------------------------------------------------------------

    def check(self, error: BaseException | None) -> None:
        typed = error is None or isinstance(error, hotswap.HotswapError)
        assert typed or any(error is one for one in self.faults.raised), f"it raised {error!r}"
        assert not (isinstance(error, RuntimeError) and self._struck_by(NO_THREAD)), (
            "a thread that is refused is no error"
        )
        plugin = self.manager.get("p")
        if not self.faults.struck:
            assert type(error) is (self.case.ends or type(None)), repr(error)
        if not self.faults.struck or (error is None and self.case.ends is None):
            assert self.case.serves == (0 if plugin is None else int(plugin.manifest.plugin.version[0]))
        if plugin is not None:
            plugin = self._look(plugin)
        if plugin is None:
            plugin = self.manager.register("p", self.module(1), manifest(1))
        self._use(plugin)
        self._count(plugin)
        self._leave()

    def _struck_by(self, kind: str) -> bool:
        return any(fault.kind == kind for fault in self.faults.struck)

    def _look(self, plugin: hotswap.HotReloadablePlugin) -> hotswap.HotReloadablePlugin | None:
        """At what the operation has left. None if that is closed, and out of the way by then."""
        if plugin.state is HotReloadState.CLOSED:
            self.manager.unregister("p")
            self._count(plugin)
            return None
        if self.case.prepared and plugin.state is HotReloadState.PREPARING_UPGRADE:
            assert plugin.cancel_upgrade()
        assert plugin.state is HotReloadState.ACTIVE, plugin.state
        serves = 1 + plugin.stats().version
        assert plugin.call("version") == int(plugin.manifest.plugin.version[0]) == serves
        if self.case.registered and serves == 1:
            assert plugin.manifest is self._manifest
        self._count(plugin)
        self._are_alive(sum(self._open_in(version) for version in self._versions(plugin)))
        if self.case.busy == "loop" and not self.case.serves:  # it never began, and all else waits for the loop
            self.manager.unregister("p")
            self._count(plugin)
            return None
        return plugin

    def _use(self, plugin: hotswap.HotReloadablePlugin) -> None:
        """The next upgrade works, and leaves two instances."""
        if self.case.busy != "loop":
            plugin.drain_timeout = WAIT_S
        plugin.upgrade(self.module(9), manifest(9))
        assert plugin.call("version") == 9
        assert [version.size for version in self._versions(plugin)] == [2]
        assert plugin.stats().waiting == len(plugin._protocol._parked) == 0
        self._are_alive(2)

    def _count(self, plugin: hotswap.HotReloadablePlugin) -> None:
        """S7."""
        stats = plugin.stats()
        assert stats.attempts == stats.successful_upgrades + stats.failed_upgrades + stats.cancelled_upgrades, stats
        assert stats.failed_upgrades == sum(stats.failures.values()), stats

    def _versions(self, plugin: hotswap.HotReloadablePlugin) -> list[Any]:
        protocol = plugin._protocol
        return [*protocol.retired(), protocol.current.value]

    def _open_in(self, version: Any) -> int:
        """The instances of a version that are not closed; those that a call is inside of have no lease there."""
        leases = [*version.free.copy(), *version.gathered, *version.tombs.copy()]
        inside: int = version.in_flight
        return inside + sum(not lease.instance._closed for lease in leases)

    def _are_alive(self, expected: int) -> None:
        """S8. An instance whose making or closing was struck may be left to its finalizer; no other may."""
        steps = {"after code.instantiate", "before instance.close"}
        if not self.case.registered:
            steps.add("after instance.close")
        excused = any(fault.point.step in steps or "mend" in fault.point.lane for fault in self.faults.struck)
        if self.runtime.created - self.runtime.closed != expected and excused:
            self.faults.forget()
            gc.collect()
        assert self.runtime.created - self.runtime.closed == expected
        assert excused or self.made.dropped == 0, "an instance was left to its finalizer"

    def _leave(self) -> None:
        self.manager.close()
        for other in self.others:
            if self.case.busy == "loop":
                assert isinstance(other.join().error, hotswap.CallInterrupted)
            else:
                assert other.value() in (1, 2, 9)
        self.made.join()
        self._are_alive(0)
        assert self.violations() == []
        assert self.made.failures == []
        assert self.monitor.flush(WAIT_S)
        assert self.monitor.failure is None
        if not self._struck_by(EARLIER):
            divergences = self.monitor.divergences[self._earlier_divergences :]
            assert not divergences, "\n".join(map(str, divergences))
