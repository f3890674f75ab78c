"""How an upgrade flows: prepare, execute, cancel, close; and what is made and unmade beside the calls.

This is the part that takes its time: it compiles, waits, and closes instances. It holds no lock of the core while
it does. What it decides, it decides through `_protocol.py`, and whatever exception ends a step (Ctrl-C
included) is undone here: old version serving, candidate closed, attempt counted with its reason (S4, S7, S8). Every
step that undoes may be run again, and is: it stands in a `try` of its own, whose handler runs it once more. What would
leave an attempt that nobody can end is run a third time, so that no two exceptions in it (Ctrl-C, twice) are enough.
That is spelled out each time, since a helper's own first instruction is a place where Ctrl-C can strike, and so is a
loop's way back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hotswap._compat import module_problems, require, upgrade_problems
from hotswap._errors import DrainTimeout, HotswapError, IncompatibleUpgrade, ModuleRejected
from hotswap._manifest import PluginManifest
from hotswap._ports import Code, Instance, Ports
from hotswap._protocol import HotReloadProtocol
from hotswap._state import Cutover, HotReloadState, OnDrainTimeout
from hotswap._version import Attempt, Failure, Version

INTERRUPT_GRACE_S = 1.0
"""How long an interrupted call may take to leave the wasm; longer means that it sits in a host function."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How one upgrade is executed; read once, when execute starts."""

    cutover: Cutover
    on_drain_timeout: OnDrainTimeout
    drain_timeout: float
    max_detached: int


def load(ports: Ports, name: str, wasm: object, manifest: PluginManifest) -> Code:
    """Compile, and check what register and prepare both check. Raises `ModuleRejected`, `IncompatibleUpgrade`."""
    if manifest.plugin.name != name:
        raise IncompatibleUpgrade(
            f"plugin {name!r}: expected a manifest of that name, found {manifest.plugin.name!r}; "
            "register it under its own name, or mend [plugin] name"
        )
    code = ports.runtime.load(wasm, manifest, ports.imports)
    require(module_problems(manifest, code.facts), ModuleRejected, f"plugin {name!r}: the module was rejected")
    return code


def fill(code: Code, manifest: PluginManifest, made: list[Instance], go_on: Callable[[], None] = lambda: None) -> None:
    """Make all instances of a version into `made`; the first is probed. `go_on` may raise between two."""
    while len(made) < manifest.resources.max_instances:
        made.append(code.instantiate(probe=not made))
        go_on()


class Upgrades:
    """Drives one plugin's protocol. Knows nothing of the object that embedders hold."""

    def __init__(self, protocol: HotReloadProtocol, ports: Ports) -> None:
        self._protocol, self._ports = protocol, ports
        self._reclaiming = ports.sync.lock()
        self._mending = ports.sync.lock()  # held by the one thread that replaces instances
        self._at_it = ports.sync.atomic(False)  # a hint that there is such a thread
        self.last_failure: Failure | None = None
        """Why the latest replacement of an instance failed."""

    # -- prepare ------------------------------------------------------------------------------------------------

    def prepare(
        self,
        attempt: Attempt,
        wasm: object,
        manifest: PluginManifest,
        *,
        allow_downgrade: bool = False,
        allow_rebuild: bool = False,
        allow_escalation: bool = False,
    ) -> None:
        """Compile, check, instantiate, initialise and probe, while the old version serves."""
        protocol, made = self._protocol, list[Instance]()
        claimed = False
        try:
            protocol.claim(attempt)
            claimed = True
            old = protocol.current.value
            code = load(self._ports, protocol.name, wasm, manifest)
            problems = upgrade_problems(
                (old.manifest, old.code.facts),
                (manifest, code.facts),
                allow_downgrade=allow_downgrade,
                allow_rebuild=allow_rebuild,
                allow_escalation=allow_escalation,
            )
            require(problems, IncompatibleUpgrade, f"plugin {protocol.name!r}: the upgrade was refused")
            fill(code, manifest, made, partial(protocol.confirm, attempt))
            protocol.offer(attempt, code, manifest, made)
        except BaseException as error:
            try:
                undone = self._drop(attempt, made, error)
            except BaseException:
                try:
                    self._drop(attempt, made, error)
                except BaseException:
                    self._drop(attempt, made, error)
                    raise
                raise
            if claimed and not undone and isinstance(error, HotswapError):
                protocol.confirm(attempt)  # a cancel or a close came first: that is what the preparer is told
            raise
        self._ports.trace("upgrade_prepared", plugin=protocol.name, version=manifest.plugin.version)

    def withdraw(self, prepared: Attempt, error: BaseException) -> None:
        """What was prepared will not be executed by the one who asked for both; nothing if it is not his any more."""
        self._drop(prepared, [], error)

    def _drop(self, attempt: Attempt, made: list[Instance], error: BaseException) -> bool:
        """Undo a prepare; False if there was nothing to undo, since a cancel or a close came first."""
        undone = self._protocol.abort(attempt, type(error).__name__)
        if attempt.candidate is not None:
            self.reclaim(attempt.candidate)
        else:
            for instance in made:
                instance.close()
        return undone

    # -- execute ------------------------------------------------------------------------------------------------

    def execute(self, policy: Policy, prepared: Attempt | None = None) -> None:
        """Cut over to what is prepared (or to that only).

        Raises `DrainTimeout`, `Busy`, `WrongState`, `PluginClosed`, `UpgradeCancelled`.
        """
        protocol, attempt = self._protocol, Attempt()
        failure: BaseException | None = None
        try:
            old, candidate = protocol.begin(attempt, policy.cutover, prepared)
            started = self._ports.clock.now()
            if policy.cutover is Cutover.OVERLAP:
                protocol.publish(old, candidate)
                self._ports.trace("version_published", plugin=protocol.name, old=old.id, new=candidate.id)
                protocol.enter(HotReloadState.DRAINING)
            if not protocol.await_drain(old, policy.drain_timeout):
                self._overdue(attempt, old, policy, started)
            if policy.cutover is Cutover.EXCLUSIVE:
                protocol.enter(HotReloadState.SWAPPING)
            self._commit(attempt, started)
        except BaseException as error:
            failure = error
            raise
        finally:
            try:
                self._end(attempt, failure)
            except BaseException:
                try:
                    self._end(attempt, failure)
                except BaseException:
                    self._end(attempt, failure)
                    raise
                raise

    def _commit(self, attempt: Attempt, started: float) -> None:
        if not attempt.decided:
            drain_us = int((self._ports.clock.now() - started) * 1_000_000)
            self._protocol.commit(attempt, drain_us)
            self._ports.trace("upgrade_committed", plugin=self._protocol.name, drain_us=drain_us)

    def _overdue(self, attempt: Attempt, old: Version, policy: Policy, started: float) -> None:
        """The drain timeout has passed. Returns if the upgrade goes on; raises `DrainTimeout` to roll it back."""
        protocol = self._protocol
        others = sum(version is not old for version in protocol.retired())
        why = ""
        if policy.on_drain_timeout is OnDrainTimeout.DETACH:
            if others < policy.max_detached:
                return
            why = f"; {others} retired versions still run, and max_detached is {policy.max_detached}"
        if policy.on_drain_timeout is OnDrainTimeout.INTERRUPT:
            if policy.cutover is Cutover.OVERLAP:
                attempt.overdue = True
                self._commit(attempt, started)  # the decision to interrupt; what will not leave is detached
            protocol.interrupt(old)
            if protocol.await_drain(old, INTERRUPT_GRACE_S) or attempt.decided:
                return
            why = f"; nor within {INTERRUPT_GRACE_S:g} s of being interrupted"
        protocol.confirm(attempt)  # a close that came first is what the upgrader is told
        raise DrainTimeout(
            f"plugin {protocol.name!r}: expected the calls on the old version to end within "
            f"{policy.drain_timeout:g} s, found {old.in_flight} still in flight{why}; the old version serves on. "
            "Raise drain_timeout, lower resources.timeout_ms, or choose another on_drain_timeout"
        )

    def _end(self, attempt: Attempt, failure: BaseException | None) -> None:
        """Roll back if it failed, reclaim, and let the next attempt begin."""
        protocol = self._protocol
        if failure is not None and attempt.old is not None:
            if not attempt.decided and protocol.abort(attempt, type(failure).__name__):
                self._ports.trace("upgrade_rolled_back", plugin=protocol.name, failure=type(failure).__name__)
            if attempt.overdue and not protocol.closed.value and protocol.current.value is attempt.candidate:
                protocol.interrupt(attempt.old)  # it is committed, with that decision
                attempt.overdue = False
        try:
            if failure is not None and attempt.old is not None:
                self.replace_instances()  # decided or not: Ctrl-C may have come between the rollback and this
            self._tidy(attempt)
        finally:
            protocol.finish(attempt)

    def _tidy(self, attempt: Attempt) -> None:
        """Of the two versions of an attempt, one may be retired now: reclaim it, at once or when its calls end."""
        if self._protocol.closed.value:
            return  # close drains and reclaims every version
        self._sweep()
        for version in self._protocol.retired():
            if version is attempt.old or version is attempt.candidate:
                self._spawn(partial(self._reap, version), f"hotswap-reap-{self._protocol.name}-{version.id}")

    def _sweep(self) -> None:
        """Reclaim whatever can be; a version that still has calls in flight is left alone."""
        for version in self._protocol.retired():
            self.reclaim(version)

    def _spawn(self, work: Callable[[], None], name: str) -> None:
        """A process that can start no thread does without: the next sweep, or close, sees to what was to be done."""
        try:
            self._ports.sync.spawn(work, name)
        except RuntimeError as error:
            self._ports.trace("thread_refused", plugin=self._protocol.name, thread=name, error=str(error))

    def _reap(self, version: Version) -> None:
        self._protocol.await_drain(version, None, closing=True)
        self.reclaim(version)

    def reclaim(self, version: Version) -> None:
        """Close the instances of a retired version, once, if nothing is in flight."""
        with self._reclaiming:
            leases = self._protocol.reclaim(version)
            for lease in leases:
                lease.instance.close()
            self._protocol.forget(version)
        if leases:
            self._ports.trace("version_reclaimed", plugin=self._protocol.name, version=version.id)

    # -- cancel and close ---------------------------------------------------------------------------------------

    def cancel(self) -> bool:
        """True if an attempt was cancelled, False if there was none. Raises `Busy` once execute has begun."""
        try:
            return self._protocol.cancel()
        finally:
            try:
                self._sweep()
            except BaseException:
                self._sweep()
                raise

    def close(self, drain_timeout: float) -> None:
        """Stop admissions, drain every version, reclaim. What still runs after `drain_timeout` is interrupted."""
        protocol, clock = self._protocol, self._ports.clock
        try:
            protocol.close()
        except BaseException:
            protocol.close()
            raise
        deadline = clock.now() + drain_timeout
        for version in protocol.retired():
            protocol.await_drain(version, max(0.0, deadline - clock.now()), closing=True)
        for version in protocol.retired():
            version.code.interrupt(True)  # all of them, before one is waited for without a limit
        for version in protocol.retired():
            protocol.await_drain(version, None, closing=True)
        protocol.current.value.code.interrupt(True)  # no call is inside; but a new instance may be initialising
        with self._mending:
            pass
        self._sweep()  # if another close or a reaper is at it, this waits until it is done
        self._ports.trace("plugin_closed", plugin=protocol.name)

    # -- instances lost to traps --------------------------------------------------------------------------------

    def replace_instances(self) -> None:
        """See to it that discarded instances of the current version are replaced, on a thread of their own."""
        if not self._at_it.value and self._protocol.wants_instances() is not None:
            self._spawn(self._mend, f"hotswap-mend-{self._protocol.name}")

    def _mend(self) -> None:
        with self._mending:
            self._at_it.value = True
            try:
                while (version := self._protocol.wants_instances()) is not None:
                    instance = version.code.instantiate(probe=False)
                    if not self._protocol.revive(version, instance):
                        instance.close()
                    self.last_failure = None
            except HotswapError as error:
                self.last_failure = Failure(version, error)
                return  # the next call that finds no instance starts another try
            finally:
                self._at_it.value = False
        self.replace_instances()  # for what was discarded between the last look and the hint
