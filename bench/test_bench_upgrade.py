"""What an upgrade of a small plugin costs: compile, four instances, cut over. Fresh bytes each time, no cache."""

from __future__ import annotations

import itertools

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hotswap import Cutover, HotReloadablePlugin, ManifestBuilder

WAT = '(module (func (export "f") (result i32) i32.const {}))'


@pytest.mark.benchmark(group="upgrade of a small plugin, idle")
@pytest.mark.parametrize("cutover", list(Cutover), ids=lambda c: c.name)
def test_upgrade(benchmark: BenchmarkFixture, cutover: Cutover) -> None:
    numbers = itertools.count(1)
    manifest = ManifestBuilder("u", "1.0.0").export("f").build()
    with HotReloadablePlugin("u", WAT.format(0), manifest, cutover=cutover) as plugin:
        benchmark(lambda: plugin.upgrade(WAT.format(next(numbers)), manifest, allow_rebuild=True))
