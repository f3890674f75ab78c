from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from hotswap._runtime._capi_check import CHOICE, SWITCH
from hotswap._runtime._child_errors import SWITCH as SWITCH_OF_COMPILING
from hotswap._runtime._linkage import PublicLinkage
from hotswap._runtime._prepared import PreparedLinkage
from worlds import FakeWorld, WasmWorld, World

settings.register_profile("no time is asserted", deadline=None)
settings.load_profile("no time is asserted")


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C is delivered, though a shell's background job begins with SIGINT ignored, as does all that it starts.

    Modules are compiled where they are needed, in this process and those that tests start: there are tens of thousands
    of them. And long searches may say how far they are, though what tests print is kept.
    """
    os.environ[SWITCH_OF_COMPILING] = "inprocess"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.get("SCHED_PROGRESS"):
        from scheduler import _progress

        capture = config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            _progress.uncaptured = capture.global_and_fixture_disabled


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A slow test that says nothing else has an hour; the others have what `pyproject.toml` says."""
    for item in items:
        if item.get_closest_marker("slow") is not None and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(3_600))


@pytest.fixture(params=["prepared", "public"])
def call_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Calls go both ways to the wasm, in this process and in those that a test starts."""
    way: str = request.param
    monkeypatch.setenv(SWITCH, "1" if way == "prepared" else "0")
    monkeypatch.setattr(CHOICE, "_way", PreparedLinkage if way == "prepared" else PublicLinkage)
    return way


@pytest.fixture
def watched_code() -> Iterator[None]:
    """The scheduler sees the attributes of the production code."""
    from scheduler._watch import watched  # here: greenlets are not for the tests that measure coverage

    with watched(checked=False):
        yield


@pytest.fixture(params=[FakeWorld, WasmWorld], ids=["fake", "wasm"])
def world(request: pytest.FixtureRequest) -> World:
    """Each test of the protocol runs on the fakes and on real wasm."""
    made: World = request.param()
    return made
