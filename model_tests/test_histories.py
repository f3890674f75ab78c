"""S2 of the production code: histories of real threads on real wasm, and of code that is broken on purpose."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

import hotswap
from histories import KINDS, History, stress
from hotswap import HotReloadablePlugin, HotReloadState
from hotswap._core import Core
from hotswap._lifecycle import Lifecycle
from hotswap._protocol import HotReloadProtocol
from hotswap._version import Attempt, Lease, Version
from linearizability import CLOSED, check
from worlds import FakeWorld, Runner, manifest


@pytest.mark.parametrize(
    "total", [100_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)])]
)
def test_every_recorded_history_is_linearizable(total: int) -> None:
    made, effects = 0, Counter[str]()
    for n, (name, kind) in enumerate(sorted(KINDS.items())):
        history = stress(kind, total // len(KINDS), seed=n)
        assert history.contradiction() is None, f"{name}: {history.contradiction()}"
        made += history.calls_made
        effects.update(one.effect for one in history.upgrades)
        versions = {one.version for one in history.calls()}
        assert CLOSED in versions, "the close met calls"
        assert len(versions) > 5, "the upgrades met calls"
    assert made >= total
    assert min(effects[effect] for effect in ("published", "restored", "nothing")) > 5, effects


def test_one_call_of_a_recorded_history_told_of_an_older_version_is_noticed() -> None:
    history = stress(KINDS["overlap"], 20_000, seed=1)
    assert history.contradiction() is None
    calls = [call for call in history.calls() if call.version != CLOSED]
    late = max(calls)  # began when the first version had long been replaced
    told = late._replace(version=history.first)
    found = check(history.first, [*history.upgrades, *history.closed], [*calls, told])
    assert found is not None
    assert told in found.operations


@dataclass
class Hooked:
    """A plugin on fakes, whose calls and upgrades are recorded, and which is broken on purpose."""

    history: History
    world: FakeWorld
    plugin: HotReloadablePlugin

    def call(self, func: str = "version") -> None:
        """On a thread of its own, to its end."""
        Runner(self.history.call, self.plugin, func).value()

    def hold(self) -> Runner:
        held = Runner(self.history.call, self.plugin, "hold")
        self.world.gate.await_entered()
        return held

    def upgrade(self, number: int, overlap: bool = True) -> None:
        work = partial(self.plugin.upgrade, self.world.module(number), manifest(number))
        self.history.upgrade(work, number, overlap=overlap)


@contextmanager
def hooked(**options: Any) -> Iterator[Hooked]:
    world = FakeWorld()
    history = History(runtime=world.runtime)
    plugin = HotReloadablePlugin("p", world.module(1), manifest(1), ports=history.ports, **options)
    try:
        yield Hooked(history, world, plugin)
    finally:
        world.gate.open.set()
        plugin._protocol.abandon()
        plugin._protocol.closed.value = True


def wrong(history: History) -> str:
    found = history.contradiction()
    assert found is not None
    return found.why


def test_a_drain_that_does_not_wait_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lifecycle, "await_drain", lambda *_, **__: True)
    with hooked() as subject:
        held = subject.hold()
        subject.upgrade(2)
        subject.world.gate.open.set()
        held.value()
        assert "has returned, and a call on the old version still ran" in wrong(subject.history)


def test_a_late_reader_is_noticed_if_the_drain_only_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has read what is current, sleeps while the upgrade goes by, and finds a lease that nobody has taken in."""
    monkeypatch.setattr(Version, "drained", property(lambda self: self.size == len(self.free)))
    monkeypatch.setattr(Core, "_retire", lambda self, version: None)
    asleep, go_on = threading.Event(), threading.Event()
    sleeper: list[int] = []

    def late(self: Core) -> Lease | None:
        version = self.current.value
        if threading.get_ident() in sleeper:
            sleeper.clear()
            asleep.set()
            assert go_on.wait(20)
        return version.take()

    monkeypatch.setattr(Core, "admit", late)
    with hooked() as subject:

        def call() -> None:
            sleeper.append(threading.get_ident())
            subject.history.call(subject.plugin, "version")

        reader = Runner(call)
        assert asleep.wait(20)
        subject.upgrade(2)
        go_on.set()
        reader.value()
        assert "has returned, and a call on the old version still ran" in wrong(subject.history)


def test_a_current_version_that_threads_remember_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread keeps what it read until it finds no lease there; and the old version is retired a little late."""
    remembered, retire = threading.local(), Core._retire

    def admit(self: Core) -> Lease | None:
        version = getattr(remembered, "version", None) or self.current.value
        lease: Lease | None = version.take()
        remembered.version = version if lease is not None else None
        return lease

    def retire_late(self: Core, version: Version) -> None:
        if self.phase.value is not HotReloadState.SWAPPING:  # type: ignore[attr-defined]
            retire(self, version)

    def enter(self: HotReloadProtocol, phase: HotReloadState) -> None:
        retire(self, next(iter(old)))
        ENTER(self, phase)

    old: list[Version] = []
    monkeypatch.setattr(Core, "admit", admit)
    monkeypatch.setattr(Core, "_retire", retire_late)
    monkeypatch.setattr(HotReloadProtocol, "enter", enter)
    with hooked() as subject:
        old.append(subject.plugin._protocol.current.value)
        two_calls, published = subject.history, threading.Event()
        again = threading.Event()

        def caller() -> None:
            two_calls.call(subject.plugin, "version")
            published.set()
            assert again.wait(20)
            two_calls.call(subject.plugin, "version")

        remembers = Runner(caller)
        assert published.wait(20)

        def trace(event: str, **_: object) -> None:
            if event == "version_published":
                subject.call()
                again.set()
                remembers.value()

        monkeypatch.setattr(subject.plugin._upgrades, "_ports", replace(subject.history.ports, trace=trace))
        subject.upgrade(2)
        assert "version 2 became current at" in wrong(subject.history)


ENTER = HotReloadProtocol.enter


def test_a_rollback_that_leaves_the_candidate_current_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def abort(self: HotReloadProtocol, attempt: Attempt, reason: str) -> bool:
        """The old version stays retired, and the candidate stays."""
        if self._owner is attempt:
            self.book.value, attempt.decided, self._kept = self._failed(reason), True, None
        return True

    with hooked(drain_timeout=0) as subject:
        held = subject.hold()
        monkeypatch.setattr(HotReloadProtocol, "abort", abort)
        subject.upgrade(2)
        subject.call()
        subject.world.gate.open.set()
        held.value()
        assert [one.effect for one in subject.history.upgrades] == ["restored"]
        assert "version 1 became current at" in wrong(subject.history)


def test_a_candidate_that_serves_before_it_is_executed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    offer = HotReloadProtocol.offer

    def publish_too(self: HotReloadProtocol, attempt: Attempt, *made: Any) -> None:
        offer(self, attempt, *made)
        assert attempt.candidate is not None
        self.current.value = attempt.candidate

    monkeypatch.setattr(HotReloadProtocol, "offer", publish_too)
    with hooked() as subject:
        subject.plugin.prepare_upgrade(subject.world.module(2), manifest(2))
        subject.call()
        monkeypatch.setattr(HotReloadProtocol, "begin", lambda *_: (_ for _ in ()).throw(hotswap.DrainTimeout("x")))
        subject.history.upgrade(subject.plugin.execute_upgrade, 2)
        assert "version 2 became current at" in wrong(subject.history)


def test_none_of_it_is_noticed_in_what_is_right() -> None:
    """The same things happen, and nothing is broken."""
    with hooked(drain_timeout=0) as subject:
        held = subject.hold()
        subject.upgrade(2)
        subject.call()
        subject.world.gate.open.set()
        held.value()
        subject.plugin.drain_timeout = 20
        subject.upgrade(3)
        subject.call()
        assert [one.effect for one in subject.history.upgrades] == ["restored", "published"]
        assert subject.history.contradiction() is None
