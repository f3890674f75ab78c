"""Workloads on a plugin that a manager holds: S9 under the scheduler.

The manager reads its map of plugins without its lock. The map is a plain dict, so here another dict stands in its
place, whose changes and looks are announced. What the manager touches under its lock only is checked to be so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hotswap import HotReloadablePlugin, HotReloadManager, PluginClosed, PluginManifest
from interleaved import Workload, manifest, module
from scheduler import Run, Shared

ANY_NUMBER: Final = 1_000


class PluginMap(dict[str, Any]):
    """Every method is one announced step, as in CPython it is one atomic step."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._shared = Shared(run, "plugins")

    def _step(self, write: bool) -> None:
        self._shared.run.announce(self._shared, write, "changes" if write else "looks into")
        self._shared.run.touch(self._shared, write)

    def get(self, key: str, default: Any = None, /) -> Any:
        self._step(False)
        return super().get(key, default)

    def copy(self) -> dict[str, Any]:
        self._step(False)
        return super().copy()

    def __setitem__(self, key: str, value: Any) -> None:
        self._step(True)
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._step(True)
        super().__delitem__(key)

    def pop(self, key: str, *default: Any) -> Any:
        self._step(True)
        return super().pop(key, *default)


class TakenNames(dict[str, object]):
    """Touched under the lock only: no steps, but vector clocks see to that (`Limits.races`)."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def __contains__(self, key: object) -> bool:
        self._run.plain(self, "taken", False)
        return super().__contains__(key)

    def get(self, key: str, default: Any = None, /) -> Any:
        self._run.plain(self, "taken", False)
        return super().get(key, default)

    def __setitem__(self, key: str, value: object) -> None:
        self._run.plain(self, "taken", True)
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._run.plain(self, "taken", True)
        super().__delitem__(key)


class ManagedWorkload(Workload):
    """A manager with the plugin `p`, version 1."""

    def _make(self, first: PluginManifest, options: dict[str, Any]) -> None:
        self.manager = HotReloadManager(ports=self.ports, monitor=self.monitor)
        self.manager._plugins, self.manager._taken = PluginMap(self.run), TakenNames(self.run)
        self.plugin = self.manager.register("p", module(1), first, **options)
        self.made: list[HotReloadablePlugin] = []

    def _put_away(self) -> None:
        self.manager._closed = True
        for plugin in self.made:
            plugin._protocol.abandon()
            plugin._protocol.closed.value = True
        super()._put_away()

    def caller_by_name(self) -> None:
        self._party("caller by name", [lambda: self.manager["p"].call("version")])

    def upgrader_by_name(self, number: int) -> None:
        made = module(number), manifest(number, max_instances=self.instances)
        upgrade: Callable[[], object] = lambda: self._upgrade(number, lambda: self.manager.upgrade("p", *made))  # noqa: E731
        self._party("upgrader by name", [upgrade])

    def unregisterer(self) -> None:
        def unregister() -> str:
            self.manager.unregister("p")
            self._look_for_calls_on_older(2 if self.made else ANY_NUMBER, "S9: unregister")
            return "unregistered"

        self._party("unregisterer", [unregister])

    def registerer(self, number: int) -> None:
        def register() -> str:
            made = module(number), manifest(number, max_instances=self.instances)
            before = list(self.runtime.instances)
            self.made.append(self.manager.register("p", *made))
            self.run.announce(self.runtime.shared, False, "looks at all former instances of")
            self.run.touch(self.runtime.shared, False, also=tuple(2 * each.shared.key for each in before))
            if not all(instance._closed for instance in before):
                self.runtime.violated("S9: a name was free before the plugin that had it was closed")
            return f"registered {number}"

        self._party("registerer", [register])

    def manager_closer(self) -> None:
        self._party("manager closer", [self.manager.close])

    def _end_all(self) -> None:
        """S9: a name maps to one plugin, and a handle that was kept answers `PluginClosed`."""
        results = [result for party in self.parties for result in party.results]
        self._check_nothing_runs_after_unregister()
        gone = "unregistered" in results or any(party.name.startswith("manager closer") for party in self.parties)
        held = self.manager.get("p")
        if self.made:
            assert gone, "S9: a taken name was registered"
            assert held is self.made[-1], "S9: the name maps to another plugin"
            assert held.call("version") == int(held.manifest.plugin.version.partition(".")[0])
        elif gone:
            assert held is None, "S9: the name is still there"
            assert "p" not in self.manager._taken, "S9: the name is still taken"
        else:
            assert held is self.plugin
        assert self.manager.list() == ([] if held is None else ["p"])
        if gone:
            try:
                self.plugin.call("version")
            except PluginClosed:
                pass
            else:
                raise AssertionError("S9: a handle of an unregistered plugin was called")
        self.manager.close()
        assert self.manager.list() == []

    def _check_nothing_runs_after_unregister(self) -> None:
        acts = [
            (result, *span) for party in self.parties for result, span in zip(party.results, party.spans, strict=True)
        ]
        for what, _, ended in acts:
            if what == "unregistered":
                late = [result for result, began, _ in acts if ended < began and result == 1]
                assert not late, "S9: a call began after unregister had returned, and ran"
