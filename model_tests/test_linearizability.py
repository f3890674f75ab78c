"""The checker of histories, against one that tries every order, and on histories that are wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from linearizability import CLOSED, Call, Contradiction, Effect, Upgrade, check

# The checker: a second one that tries everything ------------------------------------------------------------------

GRID = 2
"""Moments of writes that are tried: this many for each stamp."""


def brute_force(first: int, upgrades: Sequence[Upgrade], calls: Sequence[Call]) -> bool:
    """Whether there are moments for the writes, by trying them. `_check_drains` aside: that one says itself."""
    start = [(float("-inf"), first)]
    return any(
        all(meets(call, timeline) for call in calls) for timeline in timelines(start, first, list(upgrades), 0.0)
    )


def timelines(
    so_far: list[tuple[float, int]], current: int, upgrades: list[Upgrade], now: float
) -> Iterator[list[tuple[float, int]]]:
    """Every way in which the register can have been written: when, and with what."""
    if not upgrades:
        yield so_far
        return
    one, rest = upgrades[0], upgrades[1:]
    moments = [n / GRID for n in range(one.began * GRID, one.ended * GRID + 1) if n / GRID >= now]
    if one.effect != "published":  # did nothing, or failed before it published
        yield from timelines(so_far, current, rest, now)
    for p, published in enumerate(moments if one.effect != "nothing" else ()):
        written = [*so_far, (published, one.version)]
        if one.effect == "published":
            yield from timelines(written, one.version, rest, published)
        else:
            for restored in moments[p:]:
                yield from timelines([*written, (restored, current)], current, rest, restored)


def meets(call: Call, timeline: list[tuple[float, int]]) -> bool:
    ends = [at for at, _ in timeline[1:]] + [float("inf")]
    return any(
        version == call.version and began <= call.entered and end >= call.began
        for (began, version), end in zip(timeline, ends, strict=True)
    )


@dataclass(frozen=True)
class Given:
    upgrades: list[Upgrade]
    calls: list[Call]


STAMPS = 0, 7
STAMP = st.integers(*STAMPS)
EFFECT: st.SearchStrategy[Effect] = st.sampled_from(["published", "restored", "nothing"])
EFFECTS: list[Effect] = ["restored", "published", "restored"]


@st.composite
def any_history(draw: st.DrawFn) -> Given:
    """Upgrades one after the other, or overlapping a little, and calls on whatever: most are wrong."""
    upgrades: list[Upgrade] = []
    began = 0
    for version in range(1, draw(st.integers(0, 3)) + 1):
        began = draw(st.integers(began, 6))
        upgrades.append(Upgrade(began, draw(st.integers(began, 7)), version, draw(EFFECT)))
    spans = st.tuples(STAMP, STAMP, st.integers(0, 3)).map(lambda s: Call(min(s[:2]), max(s[:2]), max(s[:2]), s[2]))
    return Given(upgrades, draw(st.lists(spans, max_size=5)))


@st.composite
def tight_history(draw: st.DrawFn) -> Given:
    """Short calls beside long upgrades, mostly such as are rolled back: it is the calls that contradict each other."""
    several = draw(st.integers(1, 3))
    begins, ends = (
        sorted(draw(st.lists(st.integers(low, high), min_size=several, max_size=several)))
        for low, high in ((0, 2), (3, 5))
    )
    effects = draw(st.lists(st.sampled_from(EFFECTS), min_size=several, max_size=several))
    upgrades = [Upgrade(*one) for one in zip(begins, ends, range(1, several + 1), effects, strict=True)]
    moments = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, len(upgrades))), min_size=2, max_size=6))
    return Given(upgrades, [Call(at, at + (at + v) % 2, at + 1, v) for at, v in moments])


@st.composite
def right_history(draw: st.DrawFn) -> Given:
    """What can have happened: moments of writes first, then intervals around them and around reads."""
    upgrades: list[Upgrade] = []
    timeline, current, now = [(-1, 0)], 0, 0
    for version in range(1, draw(st.integers(1, 3)) + 1):
        effect, began = draw(EFFECT), draw(st.integers(now, now + 3))
        published = draw(st.integers(began, began + 3))
        restored = draw(st.integers(published, published + 3))
        now = draw(st.integers(restored, restored + 1))
        upgrades.append(Upgrade(began, now, version, effect))
        if effect != "nothing":
            timeline.append((published, version))
        if effect == "restored":
            timeline.append((restored, current))
        elif effect == "published":
            current = version
    calls = []
    for _ in range(draw(st.integers(0, 6))):
        read = draw(st.integers(0, now + 2))
        version = [v for at, v in timeline if at <= read][-1]
        entered = read + draw(st.integers(0, 3))
        calls.append(Call(max(0, read - draw(st.integers(0, 3))), entered, entered, version))
    return Given(upgrades, calls)


@st.composite
def spoilt_history(draw: st.DrawFn) -> Given:
    """A right one with one call on another version, or at another time: hardly wrong, if at all."""
    history = draw(right_history().filter(lambda history: history.calls != []))
    k = draw(st.integers(0, len(history.calls) - 1))
    call, by = history.calls[k], draw(st.integers(-3, 3))
    if draw(st.booleans()):
        call = call._replace(version=draw(st.integers(0, 3)))
    else:
        call = Call(max(0, call.began + by), max(0, call.entered + by), max(0, call.left + by), call.version)
    return Given(history.upgrades, [*history.calls[:k], call, *history.calls[k + 1 :]])


def verdict(history: Given) -> Contradiction | None:
    """Of the order only: that drains have been waited for is another thing than S2's register."""
    return check(0, [one._replace(drained=False) for one in history.upgrades], history.calls)


ANY = any_history() | tight_history() | spoilt_history()


def agrees(history: Given) -> None:
    found = verdict(history)
    assert (found is None) == brute_force(0, history.upgrades, history.calls), found


@settings(max_examples=2_000)
@given(ANY)
def test_the_checker_says_what_trying_every_order_says(history: Given) -> None:
    agrees(history)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=20_000)
@given(ANY)
def test_the_checker_says_what_trying_every_order_says_of_many_more(history: Given) -> None:
    agrees(history)


@settings(max_examples=500)
@given(right_history())
def test_what_can_have_happened_is_right(history: Given) -> None:
    assert verdict(history) is None
    assert brute_force(0, history.upgrades, history.calls)


ROLLED_BACK_FIRST = Given(
    [Upgrade(0, 1, 1), Upgrade(0, 0, 2, "restored"), Upgrade(0, 0, 3, "restored")], [Call(0, 1, 1, 2), Call(1, 1, 1, 0)]
)
"""The last call is too late for the second upgrade, which had published: that is what the first call shows."""


@settings(max_examples=500)
@given(ANY)
@example(ROLLED_BACK_FIRST)
def test_the_operations_that_are_named_contradict_each_other(history: Given) -> None:
    """Among themselves: no other call is needed to see it, once it is known which rolled-back candidates were called.

    A call that may have been at any time says that, and nothing else.
    """
    found = verdict(history)
    if found is not None:
        named = [one for one in found.operations if isinstance(one, Call)]
        called = [
            Call(STAMPS[0], STAMPS[1], STAMPS[1], one.version)
            for one in found.operations
            if isinstance(one, Upgrade) and one.effect == "restored"
        ]
        assert 1 <= len(found.operations) <= 3
        assert not brute_force(0, history.upgrades, named + called)


# Histories that are wrong, and what is named -----------------------------------------------------------------------


def call(began: int, entered: int, version: int, left: int | None = None) -> Call:
    return Call(began, entered, entered if left is None else left, version)


TO_2, TO_3 = Upgrade(10, 20, 2), Upgrade(30, 40, 3)
BACK = Upgrade(10, 20, 2, "restored")
WRONG: dict[str, tuple[list[Upgrade], list[Call], str, list[int]]] = {
    # upgrades, calls, what is said, which of all operations (upgrades first) are named
    "new before the upgrade began": ([TO_2], [call(1, 9, 2)], "became current at 10 or later", [0, 1]),
    "old after the upgrade returned": ([TO_2], [call(21, 22, 1)], "at 20 or earlier", [1, 0]),
    "old after another has run new": (
        [TO_2],
        [call(11, 12, 2), call(13, 14, 1)],
        "became current at 13 or later, and at 12 or earlier",
        [2, 1],
    ),
    "new after the rollback": ([BACK], [call(21, 22, 2)], "at 20 or earlier", [1, 0]),
    "new before what is rolled back": ([BACK], [call(1, 9, 2)], "became current at 10 or later", [0, 1]),
    "old between two calls on the candidate": (
        [BACK],
        [call(11, 12, 2), call(13, 14, 1), call(15, 16, 2)],
        "from 12 or earlier to 15 or later",
        [1, 2, 3],
    ),
    "a version that nobody published": ([TO_2], [call(50, 51, 7)], "never was current", [1]),
    "a version whose upgrade failed": (
        [Upgrade(10, 20, 2, "nothing")],
        [call(12, 13, 2)],
        "never was current",
        [1, 0],
    ),
    "two upgrades in the wrong order": (
        [Upgrade(10, 40, 2), Upgrade(11, 41, 3)],
        [call(20, 21, 3), call(22, 23, 2)],
        "became current at 22 or later, and at 21 or earlier",
        [3, 2],
    ),
    "the first again, two upgrades later": ([TO_2, TO_3], [call(32, 33, 1)], "at 20 or earlier", [2, 0]),
    "inside the old one when the upgrade has returned": (
        [TO_2],
        [call(5, 6, 1, left=25)],
        "has returned, and a call on the old version still ran",
        [0, 1],
    ),
    "refused before the close": ([Upgrade(10, 20, CLOSED)], [call(8, 9, CLOSED)], "became current at 10", [0, 1]),
    "admitted after the close": ([Upgrade(10, 20, CLOSED)], [call(21, 22, 1)], "at 20 or earlier", [1, 0]),
    "admitted after one was refused": (
        [Upgrade(10, 20, CLOSED)],
        [call(11, 12, CLOSED), call(13, 14, 1)],
        "became current at 13 or later, and at 12 or earlier",
        [2, 1],
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_history_is_rejected_and_who_contradicts_whom_is_named(kind: str) -> None:
    upgrades, calls, why, named = WRONG[kind]
    found = check(1, upgrades, calls)
    assert found is not None
    assert why in found.why
    operations = [*upgrades, *calls]
    assert [operations.index(one) for one in found.operations] == named


@pytest.mark.parametrize("kind", WRONG)
def test_it_is_right_without_any_one_of_the_calls_that_are_named(kind: str) -> None:
    """So nothing is named that does not matter."""
    upgrades, calls, _, _ = WRONG[kind]
    for k in range(len(calls)):
        assert check(1, upgrades, calls[:k] + calls[k + 1 :]) is None


@pytest.mark.parametrize(
    "calls",
    [
        [call(8, 12, 2), call(9, 22, 1, left=20)],  # each overlaps the upgrade
        [call(10, 10, 2), call(20, 20, 2)],
        [call(5, 12, 1), call(12, 12, 2)],  # equal stamps overlap
        [call(5, 6, 1, left=20)],
    ],
)
def test_what_overlaps_an_upgrade_may_run_on_either_version(calls: list[Call]) -> None:
    assert check(1, [TO_2], calls) is None


def test_who_is_detached_may_run_on() -> None:
    assert check(1, [TO_2._replace(drained=False)], [call(5, 6, 1, left=25)]) is None
