"""A short soak, and that it notices what it is for. `make soak` runs it at its full length."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import pytest

import soak
from hotswap import HotReloadablePlugin, PluginManifest
from hotswap._runtime._code import WasmCode
from runtime_modules import load

SHORT = ["--calls", "30000", "--upgrades", "70"]


def test_nothing_is_lost_refused_or_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(SHORT) == 0
    said = capsys.readouterr().out
    assert "30,000  calls" in said
    assert "nothing lost, refused or wrong" in said


def test_an_answer_of_a_version_that_does_not_serve_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The operator believes to have published what it has not."""
    upgrade = HotReloadablePlugin.upgrade

    def every_other(plugin: HotReloadablePlugin, wasm: str, manifest: PluginManifest) -> None:
        if int(manifest.plugin.version.rpartition(".")[2]) % 3:
            upgrade(plugin, wasm, manifest)

    monkeypatch.setattr(soak, "UPGRADES", {"good": soak.UPGRADES["good"]})
    monkeypatch.setattr(HotReloadablePlugin, "upgrade", every_other)
    assert soak.main(SHORT) == 1
    assert "was published, and" in capsys.readouterr().out


def test_a_call_that_is_refused_is_noticed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    upgrade = HotReloadablePlugin.upgrade

    def upgrade_and_close(plugin: HotReloadablePlugin, wasm: str, manifest: PluginManifest) -> None:
        upgrade(plugin, wasm, manifest)
        plugin.close()

    monkeypatch.setattr(HotReloadablePlugin, "upgrade", upgrade_and_close)
    assert soak.main(SHORT) == 1
    assert "WRONG: PluginClosed" in capsys.readouterr().out


def waits(over: threading.Event) -> None:
    threading.Thread(target=over.wait, daemon=True).start()


@cache
def leaked() -> WasmCode:
    return load("(module)")


LEAKS: Final[dict[str, Callable[[list[object]], object]]] = {
    "bytes resident": lambda kept: kept.append(b"x" * 1_000_000),
    "descriptors": lambda kept: kept.append(open(os.devnull)),  # noqa: SIM115, PTH123  that is the leak
    "maps": lambda kept: kept.extend(mmap.mmap(-1, mmap.PAGESIZE * (2 + number % 2)) for number in range(8)),
    "instances": lambda kept: kept.append(leaked().instantiate(probe=False)),
}


@pytest.mark.parametrize("what", [*LEAKS, "threads"])
def test_what_an_upgrade_leaves_behind_is_noticed(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    upgrade, kept, over = HotReloadablePlugin.upgrade, list[Any](), threading.Event()

    def leave_something(plugin: HotReloadablePlugin, wasm: str, manifest: PluginManifest) -> None:
        LEAKS[what](kept) if what in LEAKS else waits(over)
        upgrade(plugin, wasm, manifest)

    monkeypatch.setattr(HotReloadablePlugin, "upgrade", leave_something)
    try:
        assert soak.main(SHORT) == 1
    finally:
        over.set()
        for each in kept:
            if hasattr(each, "close"):
                each.close()
    assert f"more {what} at the end" in capsys.readouterr().out
