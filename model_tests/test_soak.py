"""A short soak, and that it notices what it is for. `make soak` runs it at its full length."""

from __future__ import annotations

import pytest

import soak
from hotswap import HotReloadablePlugin, PluginManifest

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
