from __future__ import annotations

import pytest

from worlds import FakeWorld, WasmWorld, World


@pytest.fixture(params=[FakeWorld, WasmWorld], ids=["fake", "wasm"])
def world(request: pytest.FixtureRequest) -> World:
    """Each test of the protocol runs on the fakes and on real wasm."""
    made: World = request.param()
    return made
