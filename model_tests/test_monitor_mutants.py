"""The monitor finds what it is there to find: defects of the production code, and events that cannot be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

import hotswap
from hotswap import Cutover, HotReloadablePlugin, OnDrainTimeout
from hotswap._core import Core
from hotswap._lifecycle import Lifecycle
from hotswap._locked import locked
from hotswap._protocol import HotReloadProtocol
from hotswap._upgrade import Policy, Upgrades
from hotswap._version import Attempt, Lease, Version
from hotswap.monitor import Divergence, Monitor
from hotswap.monitor._follower import Follower
from hotswap.monitor._recorder import STRUCK, Event, Seen
from monitored import EXCLUSIVE, OVERLAP, hold, the_divergence
from worlds import FakeWorld, Runner, eventually, manifest

P: Any = HotReloadProtocol
"""The methods without their lock."""


def plain(name: str) -> Any:
    return getattr(HotReloadProtocol, name).__wrapped__


ROLLBACK, INTERRUPT, DETACH = OnDrainTimeout
OVERDUE: Any = Upgrades._overdue
AWAIT_DRAIN: Any = Lifecycle.await_drain
PUBLISH, COMMIT, ABORT, CANCEL, FINISH, CLAIM, BEGIN, RECLAIM = map(
    plain, ["publish", "commit", "abort", "cancel", "finish", "claim", "begin", "reclaim"]
)


def publish_alone(self: Any, _: Version, candidate: Version) -> None:
    self.current.value = candidate


def publish_torn(self: Any, old: Version, candidate: Version) -> None:
    PUBLISH(self, old, candidate)
    candidate.manifest = old.manifest


def abort_without_the_old(self: Any, attempt: Attempt, reason: str) -> bool:
    done: bool = ABORT(self, attempt, reason)
    if done and attempt.candidate is not None:
        self.current.value = attempt.candidate
    return done


def commit_and_keep(self: Any, attempt: Attempt, drain_us: int) -> None:
    COMMIT(self, attempt, drain_us)
    self._kept = attempt.old


def claim_of_what_is_owned(self: Any, attempt: Attempt) -> None:
    self._owner = None
    CLAIM(self, attempt)


def cancel_unseen(self: Any) -> bool:
    book = self.book.value
    done: bool = CANCEL(self)
    self.book.value = book
    return done


def finish_and_keep(self: Any, attempt: Attempt) -> None:
    FINISH(self, attempt)
    self._owner = attempt


def busy_at_once(self: Any, *_: object) -> None:
    raise self._busy()


def reclaim_at_once(self: Any, version: Version) -> list[Lease]:
    version.live.value = False
    return [*version.gathered]


def enter_another(self: Any, phase: hotswap.HotReloadState) -> None:
    self.phase.value = hotswap.HotReloadState.SWAPPING


def told(policy: OnDrainTimeout) -> Callable[..., None]:
    """When the drain timeout has passed, it does what it was not told to do."""

    def overdue(self: Any, attempt: Attempt, old: Version, read: Policy, started: float) -> None:
        OVERDUE(self, attempt, old, replace(read, on_drain_timeout=policy), started)

    return overdue


def overdue_at_once(self: Any, version: Version, timeout: float | None, *, closing: bool = False) -> bool:
    return timeout is None and AWAIT_DRAIN(self, version, None, closing=closing)


def begin_and_interrupt(self: Any, *args: Any) -> object:
    versions = BEGIN(self, *args)
    self.current.value.code.interrupt(True)
    return versions


def close_at_once(self: Any, drain_timeout: float) -> None:
    self._protocol.close()
    self._ports.trace("plugin_closed", plugin=self._protocol.name)


def turn_away(self: Any, _: object) -> float:
    raise hotswap.PluginClosed


def lease_the_first(self: Any) -> Lease:
    """It stays where the next caller finds it, too."""
    first: Lease = self.current.value.free.copy()[0]
    return first


def revive_what_is_retired(self: Any, version: Version, instance: Any) -> bool:
    version.free.append(Lease(version, instance))
    return True


def upgrade(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    plugin.upgrade(world.module(2), manifest(2))


def prepare_twice(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    for _ in range(2):
        plugin.prepare_upgrade(world.module(2), manifest(2))


def prepare_and_cancel(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    plugin.prepare_upgrade(world.module(2), manifest(2))
    plugin.cancel_upgrade()


def fail(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    plugin.upgrade(world.bad_module("probe"), manifest(2))


def time_out(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    call = hold(plugin, world)
    plugin.drain_timeout = 0.0
    try:
        upgrade(plugin, world)
    except hotswap.HotswapError:
        pass
    world.gate.open.set()
    call.join()


def upgrade_beside_a_call(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    call = hold(plugin, world)
    upgrade(plugin, world)
    world.gate.open.set()
    call.join()


def upgrade_beside_a_loop(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    call = Runner(plugin.call, "loop")
    eventually(lambda: plugin.stats().in_flight == {1: 1})
    upgrade(plugin, world)
    with pytest.raises(hotswap.CallInterrupted):
        call.value()


def time_out_beside_a_loop(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    plugin.drain_timeout = 0.0
    upgrade_beside_a_loop(plugin, world)


def three_calls(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    """One more than there are instances."""
    for _ in range(plugin.manifest.resources.max_instances):
        hold(plugin, world)
    try:
        plugin.call("version")
    finally:
        world.gate.open.set()


def close_and_revive(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    version = plugin._protocol.current.value
    plugin.close()
    plugin._protocol.revive(version, version.code.instantiate(probe=False))


def close_beside_a_call(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    call = hold(plugin, world)
    closing = Runner(plugin.close)
    eventually(lambda: plugin.state is hotswap.HotReloadState.CLOSED)
    world.gate.open.set()
    call.join()
    closing.join()


def close_and_upgrade(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    plugin.close()
    upgrade(plugin, world)


def two_calls(plugin: HotReloadablePlugin, world: FakeWorld) -> None:
    calls = [Runner(plugin.call, "hold"), Runner(plugin.call, "hold")]
    world.gate.await_entered()
    world.gate.open.set()
    for call in calls:
        call.join()


class Mutant(NamedTuple):
    owner: type
    name: str
    value: object
    act: Callable[[HotReloadablePlugin, FakeWorld], object]
    says: str
    cutover: Cutover = OVERLAP
    on_drain_timeout: OnDrainTimeout = ROLLBACK


MUTANTS = {
    "publish does not retire": Mutant(P, "publish", locked(publish_alone), time_out, "retired: expected"),
    "code and manifest are torn": Mutant(P, "publish", locked(publish_torn), upgrade, "content: expected"),
    "a drain is over before its calls": Mutant(
        Version, "drained", property(lambda _: True), upgrade_beside_a_call, "no such step is possible"
    ),
    "exclusive commits before its calls ended": Mutant(
        Version, "drained", property(lambda _: True), upgrade_beside_a_call, "no such step is possible", EXCLUSIVE
    ),
    "a failure is not counted": Mutant(P, "_failed", lambda self, _: self.book.value, fail, "failures: expected 1"),
    "a cancel is not counted": Mutant(P, "cancel", locked(cancel_unseen), prepare_and_cancel, "cancelled: expected 1"),
    "a drain timeout commits, whatever it was told": Mutant(
        Upgrades, "_overdue", lambda *_: None, time_out, "phase: expected ROLLED_BACK, found UPGRADE_COMPLETE"
    ),
    "it detaches, and was told to interrupt": Mutant(
        *(Upgrades, "_overdue", told(DETACH), time_out, "calls on a version are not interrupted"),
        on_drain_timeout=INTERRUPT,
    ),
    "it interrupts, and was told to detach": Mutant(
        *(Upgrades, "_overdue", told(INTERRUPT), time_out_beside_a_loop, "had not decided to"), OVERLAP, DETACH
    ),
    "it interrupts, and was told to roll back": Mutant(
        *(Upgrades, "_overdue", told(INTERRUPT), time_out_beside_a_loop, "phase: expected ROLLED_BACK"), EXCLUSIVE
    ),
    "it rolls back, and was told to interrupt": Mutant(
        *(Upgrades, "_overdue", told(ROLLBACK), time_out, "phase: expected UPGRADE_COMPLETE, found ROLLED_BACK"),
        on_drain_timeout=INTERRUPT,
    ),
    "a call is interrupted before the drain timeout": Mutant(
        P, "begin", locked(begin_and_interrupt), upgrade_beside_a_loop, "S1: a call was interrupted"
    ),
    "the drain timeout is not waited for": Mutant(
        *(Lifecycle, "await_drain", overdue_at_once, upgrade_beside_a_loop, "no drain timeout has passed"),
        on_drain_timeout=INTERRUPT,
    ),
    "close returns while a call runs": Mutant(
        Upgrades, "close", close_at_once, close_beside_a_call, "return_closed: no such step is possible"
    ),
    "a call is turned away from an open plugin": Mutant(
        Core, "_enqueue", locked(turn_away), three_calls, "turn_away: no such step is possible"
    ),
    "an instance is made for a version that is gone": Mutant(
        Lifecycle, "revive", locked(revive_what_is_retired), close_and_revive, "revive: no such step is possible"
    ),
    "a version is reclaimed in flight": Mutant(
        Lifecycle,
        "reclaim",
        locked(reclaim_at_once),
        time_out,
        "reclaim: no such step is possible",
        on_drain_timeout=DETACH,
    ),
    "the attempt is never given up": Mutant(P, "finish", locked(finish_and_keep), upgrade, "owned: expected False"),
    "a rollback leaves the gate shut": Mutant(
        Core, "_open_gate", lambda _: None, time_out, "shut: expected False", EXCLUSIVE
    ),
    "a rollback leaves the candidate": Mutant(
        P, "abort", locked(abort_without_the_old), time_out, "current: expected 1, found 2"
    ),
    "a rollback that undoes nothing": Mutant(
        P, "abort", locked(lambda *_: False), time_out, "abort has undone nothing"
    ),
    "the old version is kept after the commit": Mutant(
        P, "commit", locked(commit_and_keep), upgrade, "kept: expected 0, found 1"
    ),
    "two own the upgrade": Mutant(P, "claim", locked(claim_of_what_is_owned), prepare_twice, "no such step"),
    "a closed plugin is upgraded": Mutant(P, "_refuse_closed", lambda _: None, close_and_upgrade, "no such step"),
    "the wrong phase": Mutant(P, "enter", locked(enter_another), upgrade, "phase: expected DRAINING, found SWAPPING"),
    "busy for no reason": Mutant(P, "begin", locked(busy_at_once), upgrade, "refused as Busy"),
    "a lease is given twice": Mutant(Core, "admit", lease_the_first, two_calls, "S3: one instance"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_defect_of_the_code_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant, world = MUTANTS[name], FakeWorld()
    with Monitor() as monitor:
        plugin = HotReloadablePlugin(
            *("p", world.module(1), manifest(1)),
            ports=world.ports,
            monitor=monitor,
            cutover=mutant.cutover,
            on_drain_timeout=mutant.on_drain_timeout,
        )
        with monkeypatch.context() as patch:
            patch.setattr(mutant.owner, mutant.name, mutant.value)
            try:
                mutant.act(plugin, world)
            except hotswap.HotswapError:
                pass
        divergence = the_divergence(monitor)
        plugin._protocol.abandon()
        plugin._protocol.closed.value = True
    assert mutant.says in divergence.what, str(divergence)
    assert monitor.failure is None


# Events that cannot be --------------------------------------------------------------------------------------

START = Seen("ACTIVE", 1, (7, 8), frozenset(), 0, False, False, False, 0, 0, 0, 0)
CLAIMED = START._replace(phase="PREPARING_UPGRADE", owned=True, attempts=1)
OVERLAPS = CLAIMED._replace(phase="SWAPPING", kept=1)
PUBLISHED = OVERLAPS._replace(current=2, content=(9, 10), retired=frozenset({1}))
DRAINING = PUBLISHED._replace(phase="DRAINING")
A, B = 501, 502
BEGUN = [
    Event("claim", who=A, seen=CLAIMED),
    Event("offer", who=A, version=2, content=(9, 10), seen=CLAIMED),
    Event("begin", who=B, word="OVERLAP", seen=OVERLAPS),
]
HALF = [*BEGUN, Event("publish", version=1, seen=PUBLISHED), Event("enter", word="DRAINING", seen=DRAINING)]
DRAINED = [*HALF, Event("_drained", version=1, seen=DRAINING)]


def followed(events: list[Event]) -> Divergence | None:
    follower = Follower("p", 1, START.content, "ROLLBACK", Counter())
    steps = 0
    try:
        for event in events:
            follower.follow(event._replace(began=event.began if event.seen is None else steps))
            steps += event.seen is not None
        follower.settle()
    except Divergence as divergence:
        return divergence
    return None


@pytest.mark.parametrize(
    "call",
    [
        [*BEGUN, Event("admit", version=1, began=0)],
        [*HALF, Event("admit", version=1, began=3)],  # began before the publish, which was the fourth step
        [*HALF, Event("admit", version=2, began=0)],
        [*BEGUN, Event("admit", version=2, began=3), *HALF[3:]],  # tells of the publish before it is told
        [*BEGUN, Event("admit", version=2, began=3), Event("overdue", version=1), *HALF[3:]],  # in between is no step
        [*DRAINED, Event("admit", version=2, began=0)],
    ],
)
def test_a_call_is_right_if_its_version_was_open_since_it_began(call: list[Event]) -> None:
    assert followed(call) is None


@pytest.mark.parametrize(
    "call",
    [
        [*BEGUN, Event("admit", version=2, began=0)],  # never published
        [*HALF, Event("admit", version=1, began=4)],  # began after the publish
        [*DRAINED, Event("admit", version=1, began=0)],  # began early, and the drain did not wait for it
        [*BEGUN, Event("admit", version=2, began=3), Event("cancel", "Busy", seen=OVERLAPS)],
        [Event("admit", version=9, began=0)],
    ],
)
def test_a_call_is_wrong_if_its_version_was_not(call: list[Event]) -> None:
    divergence = followed(call)
    assert divergence is not None
    assert divergence.what.startswith("S2: a call was admitted to version")


GATE = [
    *BEGUN[:2],
    Event(
        "begin",
        who=B,
        word="EXCLUSIVE",
        seen=CLAIMED._replace(phase="DRAINING", shut=True, retired=frozenset({1}), kept=1),
    ),
]
ROLLED_BACK = START._replace(phase="ROLLED_BACK", owned=True, attempts=1, failures=1, retired=frozenset({2}))
AGAIN = ROLLED_BACK._replace(phase="ACTIVE", owned=False)
C, D = 503, 504
SECOND = AGAIN._replace(phase="PREPARING_UPGRADE", owned=True, attempts=2)
TWO_GATES = [
    *GATE,
    Event("overdue", version=1),
    Event("abort", who=B, version=1, word="DrainTimeout", seen=ROLLED_BACK),
    Event("finish", who=B, version=1, seen=AGAIN),
    Event("claim", who=C, seen=SECOND),
    Event("offer", who=C, version=3, content=(11, 12), seen=SECOND),
    Event(
        "begin",
        who=D,
        word="EXCLUSIVE",
        seen=SECOND._replace(phase="DRAINING", shut=True, retired=frozenset({1, 2}), kept=1),
    ),
]


@pytest.mark.parametrize(("began", "right"), [(0, True), (3, True), (4, True), (8, False)])
def test_a_shut_gate_lets_in_who_waited_at_the_one_before(began: int, right: bool) -> None:
    """Who began at 4 can have been let in before the second gate was shut; who began at 8 came when it was."""
    assert (followed([*TWO_GATES, Event("admit", version=1, began=began)]) is None) is right


AT_REST = PUBLISHED._replace(phase="ACTIVE", owned=False, kept=0, successes=1)
GAP = [*BEGUN, Event("publish", STRUCK), *HALF[4:], Event("finish", who=B, seen=AT_REST)]


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (Event("admit", version=1, began=4), True),
        (Event("admit", version=1, began=5), False),
        (Event("admit", version=2, began=5), True),
        (Event("trap", version=1, began=5), True),  # perhaps it was decided in the gap
        (Event("trap", version=2, began=4), True),
        (Event("trap", version=2, began=5), False),
    ],
)
def test_after_a_gap_calls_are_judged_that_began_when_it_was_over(call: Event, right: bool) -> None:
    assert (followed([*GAP, call]) is None) is right


@pytest.mark.parametrize("early", [Event("admit", version=9), Event("trap", version=1), HALF[3], DRAINED[-1]])
def test_in_a_gap_nothing_is_judged(early: Event) -> None:
    assert followed([*GAP[:4], early, *GAP[4:]]) is None


@pytest.mark.parametrize(
    "not_yet",
    [
        AT_REST._replace(owned=True),
        AT_REST._replace(shut=True),
        AT_REST._replace(kept=1),
        AT_REST._replace(retired=frozenset({1, 2})),
        AT_REST._replace(phase="UPGRADE_COMPLETE"),
        AT_REST._replace(phase="CLOSED", closed=True),
    ],
)
def test_a_gap_is_not_over_before_the_plugin_is_at_rest(not_yet: Seen) -> None:
    assert followed([*GAP[:4], Event("confirm", seen=not_yet), Event("publish", seen=PUBLISHED)]) is None


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([Event("publish", version=1, seen=PUBLISHED)], "no such step is possible"),
        ([*BEGUN[:1], Event("begin", "WrongState", seen=CLAIMED)], "nothing were prepared"),
        ([*BEGUN[:2], Event("claim", "PluginClosed", who=C, seen=CLAIMED)], "the plugin were closed"),
        ([*BEGUN[:2], Event("confirm", "UpgradeCancelled", who=A, seen=CLAIMED)], "its attempt owns the upgrade"),
        ([*HALF, Event("_drained", version=1, inside=1, seen=DRAINING)], "no such step is possible"),
        ([*HALF, Event("interrupt", version=1, seen=DRAINING)], "had not decided to"),
        ([*DRAINED, Event("reclaim", version=1, seen=DRAINING)], "no such step is possible"),
        ([*HALF, Event("overdue", version=1), Event("trap", version=1)], "S1: a call was interrupted"),
        ([Event("share_lease", version=1)], "S3: one instance"),
        ([*GAP, Event("reclaim", version=1, seen=AT_REST)], "retired: expected"),
        ([Event("return_closed")], "no such step is possible"),
    ],
)
def test_an_event_that_cannot_be_is_told(events: list[Event], says: str) -> None:
    divergence = followed(events)
    assert divergence is not None
    assert says in divergence.what
    assert divergence.plugin == "p"


def test_a_divergence_tells_its_story() -> None:
    text = str(followed([*DRAINED, Event("reclaim", version=1, seen=DRAINING)]))
    assert text.splitlines() == [
        "plugin 'p' left the specification: reclaim: no such step is possible",
        "  event: reclaim (done) of version 1",
        "  allowed were: be_busy, cancel_late, close, commit, strike",
        "  before that:",
        "    1 claim: claims the next upgrade",
        "    2 offer: has the candidate",
        "    3 begin: leaves it to anybody, executes (OVERLAP)",
        "    4 publish: makes the new version current",
        "    5 enter: waits for calls on the old one",
        "    6 drained: sees the old one drained",
    ]
