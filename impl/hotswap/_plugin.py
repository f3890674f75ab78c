"""The object that embedders hold: one named slot that is called and upgraded."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Self, Unpack

from hotswap._compat import Permissions
from hotswap._errors import BadArgument, Overloaded, Reentrant
from hotswap._fork import demand_process
from hotswap._frames import demand_frames, method_around
from hotswap._host import HostFunction, Imports
from hotswap._manifest import PluginManifest, load_manifest
from hotswap._ports import Data, Instance, Number, Ports, Value, silent
from hotswap._protocol import Watches, unwatched
from hotswap._runtime import WasmRuntime
from hotswap._state import Cutover, HotReloadState, HotReloadStats, OnDrainTimeout, seconds_of
from hotswap._threads import MONOTONIC, THREADS
from hotswap._upgrade import Policy, Upgrades, fill, load
from hotswap._version import Attempt, Lease, Version

Wasm = bytes | bytearray | memoryview | str | os.PathLike[str]
Manifest = PluginManifest | str | os.PathLike[str]

REAL_PORTS = Ports(WasmRuntime(), THREADS, MONOTONIC, silent)


class HotReloadablePlugin:
    """A plugin that is called while it is upgraded. Thread-safe.

    `wasm` is bytes, a path, or WAT text (a str that starts, after blanks, with `(` or `;;`); `manifest` a
    `PluginManifest` or the path of a TOML file, whose name must be `name`. `drain_timeout` and `queue_timeout` are
    seconds. `imports` grants functions of the host by name, `env.log` for one. A `monitor` (`hotswap.monitor.Monitor`)
    checks what the plugin does. Raises `ManifestError`, `ModuleRejected`, `IncompatibleUpgrade`, `Overloaded`;
    `ValueError` for options.
    """

    def __init__(
        self,
        name: str,
        wasm: Wasm,
        manifest: Manifest,
        *,
        drain_timeout: float = 5.0,
        queue_timeout: float = 5.0,
        cutover: Cutover = Cutover.OVERLAP,
        on_drain_timeout: OnDrainTimeout = OnDrainTimeout.ROLLBACK,
        max_detached: int = 4,
        imports: Mapping[str, HostFunction] = MappingProxyType({}),
        monitor: Watches | None = None,
        ports: Ports = REAL_PORTS,
    ) -> None:
        self._cutover, self._on_drain_timeout = Cutover(cutover), OnDrainTimeout(on_drain_timeout)
        if self._cutover is Cutover.EXCLUSIVE and self._on_drain_timeout is OnDrainTimeout.DETACH:
            raise ValueError("EXCLUSIVE with DETACH: expected two versions never to run at once; choose ROLLBACK")
        self._drain_timeout = seconds_of("drain_timeout", drain_timeout)
        self._queue_timeout = seconds_of("queue_timeout", queue_timeout)
        if max_detached < 0:
            raise ValueError(f"max_detached: expected 0 or more, found {max_detached}")
        self._max_detached, self._process = max_detached, os.getpid()
        manifest = load_manifest(manifest)
        ports = replace(ports, imports=Imports(name, imports))
        code = load(ports, name, wasm, manifest)
        made: list[Instance] = []
        try:
            fill(code, manifest, made)
            first = Version(1, code, manifest, made, ports.sync)
            watch = unwatched if monitor is None else monitor.watch
            self._protocol, ports = watch(name, first, ports, self._on_drain_timeout)
            self._upgrades, self._imports = Upgrades(self._protocol, ports), ports.imports
        except BaseException:
            for instance in made:
                instance.close()
            raise
        first.live.value = True

    # -- a call -------------------------------------------------------------------------------------------------

    def call(self, func: str, *args: Number) -> Value:
        """Call a numeric export on the version that is current when the call is admitted.

        Returns None, a number, or a tuple. Raises `UnknownFunction`, `BadArgument`, `CallTrapped` (and its kinds
        `DeadlineExceeded`, `OutOfFuel`, `CallInterrupted`), `Overloaded`, `PluginClosed`. Refines: admit, release.
        """
        lease, done = None, False
        try:
            lease = self._protocol.admit() or self._queue()
            value = lease.instance.call(func, args)
            done = True
            return value
        finally:
            if lease is not None:
                try:
                    self._protocol.release(lease) if done else self._leave(lease)
                except BaseException as error:
                    lease = None
                    self._send_home(error)
                    raise
                lease = None  # whoever keeps an exception keeps this frame

    def call_bytes(self, func: str, data: Data) -> bytes:
        """Call a bytes export: `data` is copied in, the reply is copied out (docs/plugin-authors.md).

        Raises as `call` does, and `BadReply`, `OutOfMemory`. Refines: admit, release.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise BadArgument(f"{func}: expected bytes, a bytearray or a memoryview, found {type(data).__name__}")
        lease, done = None, False
        try:
            lease = self._protocol.admit() or self._queue()
            value = lease.instance.call_bytes(func, data)
            done = True
            return value
        finally:
            if lease is not None:
                try:
                    self._protocol.release(lease) if done else self._leave(lease)
                except BaseException as error:
                    lease = None
                    self._send_home(error)
                    raise
                lease = None  # whoever keeps an exception keeps this frame

    def _queue(self) -> Lease:
        demand_process(self._process)
        self._imports.refuse_reentry()
        self._upgrades.replace_instances()
        lease = self._protocol.queue(self._queue_timeout)
        if lease is None:
            failed, current = self._upgrades.last_failure, self._protocol.current.value
            most, why = current.manifest.resources.max_instances, failed.told_of(current) if failed else ""
            raise Overloaded(
                f"plugin {self.name!r}: expected one of {most} instances to be free "
                f"within {self._queue_timeout:g} s, found none{why}. Raise resources.max_instances or queue_timeout"
            )
        return lease

    def _leave(self, lease: Lease) -> None:
        if lease.instance.broken:
            lease.dead = True  # before the close: from here on its finalizer knows that it is a tombstone
            lease.instance.close()
            self._protocol.bury(lease)
            self._upgrades.replace_instances()
        else:
            self._protocol.release(lease)

    def _send_home(self, error: BaseException) -> None:
        """Ctrl-C cut `_leave` short. If the lease is not home yet, only frames in the traceback hold it.

        Whoever keeps the exception would keep the lease: clear them, so that its finalizer sends it home now. If it had
        no room, that is left to whoever handles the exception, and has more.
        """
        demand_frames()
        traceback.clear_frames(error.__traceback__)
        self._protocol.settle()

    # -- an upgrade ---------------------------------------------------------------------------------------------

    def prepare_upgrade(self, wasm: Wasm, manifest: Manifest, **allow: Unpack[Permissions]) -> None:
        """Compile, check, instantiate, initialise and probe a candidate, while the old version serves.

        An older version needs `allow_downgrade=True`, the same version with other bytes `allow_rebuild=True`, one that
        asks for more capabilities or larger limits `allow_escalation=True`. Raises `ManifestError`, `ModuleRejected`,
        `IncompatibleUpgrade`, `Overloaded`, `Busy`, `Reentrant`, `UpgradeCancelled`, `PluginClosed`; after any of
        them the plugin is as it was (S4).
        """
        self._refuse_reentrant("prepare_upgrade")
        self._upgrades.prepare(Attempt(), wasm, load_manifest(manifest), **allow)

    def execute_upgrade(self) -> None:
        """Cut over to the prepared candidate; returns when the old version is reclaimed (DETACH excepted).

        Any thread may execute what another prepared. Raises `WrongState` (nothing prepared), `Busy`, `Reentrant`,
        `DrainTimeout` (rolled back), `PluginClosed`.
        """
        self._refuse_reentrant("execute_upgrade")
        self._upgrades.execute(self._policy())

    def upgrade(self, wasm: Wasm, manifest: Manifest, **allow: Unpack[Permissions]) -> None:
        """Prepare and execute this candidate and no other; the options are those of `prepare_upgrade`.

        Raises what the two raise; a failure leaves nothing.
        """
        self._refuse_reentrant("upgrade")
        manifest, prepared = load_manifest(manifest), Attempt()
        try:
            self._upgrades.prepare(prepared, wasm, manifest, **allow)
            self._upgrades.execute(self._policy(), prepared)
        except BaseException as error:
            try:
                self._upgrades.withdraw(prepared, error)
            except BaseException:
                self._upgrades.withdraw(prepared, error)
                raise
            raise

    def cancel_upgrade(self) -> bool:
        """True if a prepare (done, or still at work on another thread) was cancelled, False if there was none.

        Raises `Busy` once execute has begun, and `Reentrant`.
        """
        self._refuse_reentrant("cancel_upgrade")
        return self._upgrades.cancel()

    # -- the end ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Admit nothing more, drain every version, reclaim; returns when nothing runs. A second close waits too.

        After `drain_timeout` what still runs gets `CallInterrupted`; a function of the host is waited for. Raises
        `Reentrant` from inside a call. In a forked child it does nothing: no call runs there.
        """
        if os.getpid() == self._process:
            self._refuse_reentrant("close")
            self._upgrades.close(self._drain_timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def __del__(self) -> None:
        if (protocol := getattr(self, "_protocol", None)) is None:
            return
        protocol.abandon()
        if not protocol.closed.value:
            warnings.warn(f"plugin {protocol.name!r} was dropped without close()", ResourceWarning, stacklevel=2)

    # -- observation --------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._protocol.name

    @property
    def state(self) -> HotReloadState:
        return self._protocol.phase.value

    @property
    def manifest(self) -> PluginManifest:
        """That of the version which serves."""
        return self._protocol.current.value.manifest

    @property
    def drain_timeout(self) -> float:
        """Seconds; may be set at any time, and counts from the next execute or close on."""
        return self._drain_timeout

    @drain_timeout.setter
    def drain_timeout(self, seconds: float) -> None:
        self._drain_timeout = seconds_of("drain_timeout", seconds)

    def stats(self) -> HotReloadStats:
        """The counts at this moment. Takes no lock."""
        protocol = self._protocol
        return replace(
            protocol.book.value,
            in_flight=MappingProxyType(protocol.in_flight()),
            waiting=protocol.waiting,
            discarded_instances=protocol.discarded,
        )

    def __repr__(self) -> str:
        return f"<HotReloadablePlugin {self.name!r} {self.manifest.plugin.version} {self.state.name}>"

    def _policy(self) -> Policy:
        return Policy(self._cutover, self._on_drain_timeout, self._drain_timeout, self._max_detached)

    def _refuse_reentrant(self, what: str) -> None:
        """A thread inside one of this plugin's calls (a host function, a signal handler) would wait for itself.

        Found by looking at the thread's own frames, which costs the calls nothing: docs/adr/0003.
        """
        demand_process(self._process)
        if inside := method_around(self, _OPERATIONS):
            raise Reentrant(
                f"{what} of plugin {self.name!r} was asked for from inside its own {inside}, "
                "for which it would wait; ask from another thread, or afterwards"
            )
        self._imports.refuse_reentry()  # a new instance is initialised by a thread that is in no operation


_OPERATIONS = {
    operation.__code__
    for operation in (
        HotReloadablePlugin.call,
        HotReloadablePlugin.call_bytes,
        HotReloadablePlugin.upgrade,
        HotReloadablePlugin.prepare_upgrade,
        HotReloadablePlugin.execute_upgrade,
        HotReloadablePlugin.cancel_upgrade,
        HotReloadablePlugin.close,
    )
}
