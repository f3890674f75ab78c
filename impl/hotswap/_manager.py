"""Plugins by name. Holds S9: a name maps to one plugin, and after `unregister` has returned no call of it runs."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Any, Self, Unpack

from hotswap._compat import Permissions
from hotswap._errors import AlreadyRegistered, PluginClosed, PluginNotFound
from hotswap._plugin import REAL_PORTS, HotReloadablePlugin, Manifest, Wasm
from hotswap._ports import Ports
from hotswap._protocol import Watches
from hotswap._state import HotReloadStats


class HotReloadManager:
    """Registers, finds, upgrades and unregisters plugins. Thread-safe.

    The lock guards changes of the two maps only; plugins are made and closed outside it, and reading takes no lock.
    A `monitor` (`hotswap.monitor.Monitor`) checks what the plugins do, and their names.
    """

    def __init__(self, *, monitor: Watches | None = None, ports: Ports = REAL_PORTS) -> None:
        self._monitor, self._ports = monitor, ports
        self._lock = ports.sync.lock()
        self._plugins: dict[str, HotReloadablePlugin] = {}
        self._taken: dict[str, object] = {}  # who took the name: from the start of register to the end of unregister
        self._closed = False
        if monitor is not None:
            self._plugins, self._taken = monitor.names()

    def register(self, name: str, wasm: Wasm, manifest: Manifest, **options: Any) -> HotReloadablePlugin:
        """Make a plugin under a free name; `options` are those of `HotReloadablePlugin`.

        Raises `AlreadyRegistered`, `PluginClosed` (the manager is), and what making the plugin raises.
        """
        token = object()
        plugin: HotReloadablePlugin | None = None
        try:
            with self._lock:
                self._refuse_closed()
                if name in self._taken:
                    raise AlreadyRegistered(
                        f"plugin {name!r} is registered already; upgrade it, or unregister it first"
                    )
                self._taken[name] = token
            plugin = HotReloadablePlugin(name, wasm, manifest, monitor=self._monitor, ports=self._ports, **options)
            with self._lock:
                self._refuse_closed()
                self._plugins[name] = plugin
        except BaseException:
            try:
                self._withdraw(name, token, plugin)
            except BaseException:
                try:
                    self._withdraw(name, token, plugin)
                except BaseException:
                    self._withdraw(name, token, plugin)
                    raise
                raise
            raise
        return plugin

    def _withdraw(self, name: str, token: object, plugin: HotReloadablePlugin | None) -> None:
        """A register has failed: nothing of it is left, and the name is free. May be run again."""
        if plugin is not None:
            plugin.close()
        with self._lock:
            if self._taken.get(name) is token:
                del self._taken[name]
                self._plugins.pop(name, None)

    def get(self, name: str) -> HotReloadablePlugin | None:
        return self._plugins.get(name)

    def __getitem__(self, name: str) -> HotReloadablePlugin:
        """Raises `PluginNotFound`."""
        plugin = self.get(name)
        if plugin is None:
            there = ", ".join(self.list()) or "none"
            raise PluginNotFound(f"no plugin {name!r} is registered; there are: {there}")
        return plugin

    def upgrade(self, name: str, wasm: Wasm, manifest: Manifest, **allow: Unpack[Permissions]) -> None:
        """Upgrade the plugin of that name; the options are those of `HotReloadablePlugin.upgrade`."""
        self[name].upgrade(wasm, manifest, **allow)

    def unregister(self, name: str) -> None:
        """Close the plugin and free its name; returns when none of its calls runs. Raises as `close` does."""
        plugin = self[name]
        plugin.close()
        with self._lock:
            if self._plugins.get(name) is plugin:
                try:
                    del self._plugins[name], self._taken[name]
                except BaseException:  # these are maps of the monitor's, perhaps
                    self._plugins.pop(name, None)
                    self._taken.pop(name, None)
                    raise

    def list(self) -> list[str]:
        """The registered names, sorted."""
        return sorted(self._plugins.copy())

    def all_stats(self) -> dict[str, HotReloadStats]:
        return {name: plugin.stats() for name, plugin in sorted(self._plugins.copy().items())}

    def close(self) -> None:
        """Unregister every plugin; the manager takes no more."""
        with self._lock:
            self._closed = True
        for name in self.list():
            try:
                self.unregister(name)
            except PluginNotFound:
                pass  # another thread unregistered it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_plugins", None) and not self._closed:
            warnings.warn("a HotReloadManager was dropped without close()", ResourceWarning, stacklevel=2)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise PluginClosed("the manager is closed; make a new one")
