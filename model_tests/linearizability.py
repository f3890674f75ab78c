"""Is there an order in which a recorded history can have happened? S2, checked in O(n log n).

*The register.* What is current is a register. An upgrade that succeeds writes it once; one that is rolled back under
OVERLAP writes it and then writes back what was there (or does neither, if it failed before it published); any other
upgrade does not touch it. Each write happens at one moment between the invocation of its upgrade and the response.
Upgrades own the plugin one at a time, and in that order they write. A call reads the register once, between its
invocation and its entering the instance. A history is right if there are such moments, that is: times t1 <= t2 <= ...
for the writes, each within its upgrade, so that each call's interval meets a time at which its version was current.
Bounds are closed, so equal stamps count as overlapping. A close is an upgrade to no version, and a call that was
refused has read that.

*The checker.* The writes cut time into reigns. The first reign of version u begins at or before the earliest end of a
call on u; its last reign ends at or after the latest beginning of one. Between the two it is current but for the reigns
of rolled-back candidates, so a call on u that keeps these two bounds is wrong exactly if it lies within one such reign
[P, R], beginning after P and ending before R. So there are lower and upper bounds of single moments, and the calls on
u that must not lie strictly between P and R. Let `earliest` of a write be the largest lower bound of it and of all
writes before it, `latest` the smallest upper bound of it and of all writes after it.

*Claim.* A history is right exactly if `earliest <= latest` for each write, and no call on u lies strictly between
`latest(P)` and `earliest(R)` of a candidate that replaced u for a time.

*Proof.* Each t lies between its earliest and its latest, as the times are in order. So P <= latest(P) and
R >= earliest(R), and a call strictly between those two lies within [P, R] whatever the times are: both conditions are
necessary. For the other direction take R = earliest(R), P = min(latest(P), earliest(R)), and t = earliest(t) for all
other writes. The times are in order: all are earliest(t) but the Ps, and for those earliest(before) <= earliest(P) <= P
<= earliest(R). They keep all bounds. A call strictly between P and R would have P < R, so P = latest(P), which the
second condition excludes. (A candidate that nobody called may be left out: it is then as if it had not published.)

*After it has returned.* A successful upgrade that drained has seen each call on the old version come out. So the moment
at which a call left its instance is not after the response of the upgrade that replaced its version.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Final, Literal, NamedTuple

CLOSED: Final = -1
"""What is current once the plugin is closed: no version. A call that got `PluginClosed` has read this."""
Effect = Literal["published", "restored", "nothing"]


class Call(NamedTuple):
    began: int
    entered: int  # it was inside its instance by then; for a refused call, it had its answer
    left: int  # it was still inside its instance
    version: int


class Upgrade(NamedTuple):
    began: int
    ended: int
    version: int
    effect: Effect = "published"
    drained: bool = True  # nothing ran on the old version any more


Operation = Call | Upgrade


class Contradiction(NamedTuple):
    """Two or three operations of which not all can have happened.

    That an upgrade which was rolled back had published before is taken from the calls on its candidate, which need not
    be among those named.
    """

    why: str
    operations: tuple[Operation, ...]

    def __str__(self) -> str:
        return "\n  ".join([f"S2: {self.why}", *map(str, self.operations)])


class _Bound(NamedTuple):
    at: float
    by: Operation | None


class _Calls:
    """The calls on one version, of which three set bounds."""

    __slots__ = ("all", "first_to_enter", "last_to_begin", "last_to_leave")

    def __init__(self, first: Call) -> None:
        self.all: list[Call] = []
        self.first_to_enter = self.last_to_begin = self.last_to_leave = first

    def add(self, call: Call) -> None:
        self.all.append(call)
        if call.entered < self.first_to_enter.entered:
            self.first_to_enter = call
        if call.began > self.last_to_begin.began:
            self.last_to_begin = call
        if call.left > self.last_to_leave.left:
            self.last_to_leave = call


class _Reign(NamedTuple):
    """A version becomes current, at one moment within an upgrade."""

    version: int
    upgrade: Upgrade | None  # none for the first version
    restored: bool = False


def check(first: int, upgrades: Sequence[Upgrade], calls: Iterable[Call]) -> Contradiction | None:
    """None if the history is right. `upgrades` are in the order in which they owned the plugin, and began and ended."""
    by_version: dict[int, _Calls] = {}
    for call in calls:
        group = by_version.get(call.version)
        if group is None:
            group = by_version[call.version] = _Calls(call)
        group.add(call)
    reigns, known = [_Reign(first, None)], {first}
    for upgrade in upgrades:
        if upgrade.effect == "published":
            reigns.append(_Reign(upgrade.version, upgrade))
            known.add(upgrade.version)
        elif upgrade.effect == "restored" and upgrade.version in by_version:
            old = reigns[-1].version
            reigns += _Reign(upgrade.version, upgrade), _Reign(old, upgrade, restored=True)
            known.add(upgrade.version)
    for version, group in by_version.items():
        if version not in known:
            tried = tuple(one for one in upgrades if one.version == version)
            return Contradiction(f"a call ran on version {version}, which never was current", (group.all[0], *tried))
    return _check_order(reigns, by_version) or _check_drains(reigns, by_version)


def _check_order(reigns: list[_Reign], by_version: dict[int, _Calls]) -> Contradiction | None:
    last = {reign.version: j for j, reign in enumerate(reigns)}
    lower, upper = [_Bound(float("-inf"), None)], [_Bound(float("inf"), None)]
    for j, reign in enumerate(reigns[1:], 1):
        upgrade, before = reign.upgrade, reigns[j - 1].version
        assert upgrade is not None
        low, high = _Bound(upgrade.began, upgrade), _Bound(upgrade.ended, upgrade)
        if before in by_version and last[before] == j - 1:
            call = by_version[before].last_to_begin
            low = _later(low, _Bound(call.began, call))
        if reign.version in by_version and not reign.restored:
            call = by_version[reign.version].first_to_enter
            high = _earlier(high, _Bound(call.entered, call))
        lower.append(low)
        upper.append(high)
    earliest = list(accumulate(lower, _later))
    latest = list(accumulate(reversed(upper), _earlier))[::-1]
    for j, (low, high) in enumerate(zip(earliest, latest, strict=True)):
        if low.at > high.at:
            return Contradiction(_why(reigns[j], low, high), tuple(one for one in (low.by, high.by) if one is not None))
    return _check_gaps(reigns, by_version, earliest, latest)


def _later(a: _Bound, b: _Bound) -> _Bound:
    return a if a.at > b.at else b


def _earlier(a: _Bound, b: _Bound) -> _Bound:
    return a if a.at < b.at else b


def _first_to_enter(a: Call, b: Call) -> Call:
    return a if a.entered <= b.entered else b


def _why(reign: _Reign, low: _Bound, high: _Bound) -> str:
    return f"version {reign.version} became current at {low.at} or later, and at {high.at} or earlier"


def _check_gaps(
    reigns: list[_Reign], by_version: dict[int, _Calls], earliest: list[_Bound], latest: list[_Bound]
) -> Contradiction | None:
    """No call on a version lies within the reign of a candidate that was rolled back to it."""
    sorted_: dict[int, tuple[list[Call], list[Call]]] = {}
    for j, reign in enumerate(reigns):
        if not reign.restored or reign.version not in by_version:
            continue
        published, restored = latest[j - 1], earliest[j]
        if reign.version not in sorted_:
            calls = sorted(by_version[reign.version].all)
            ends = list(accumulate(reversed(calls), _first_to_enter))[::-1]
            sorted_[reign.version] = calls, ends
        calls, ends = sorted_[reign.version]
        n = bisect_right(calls, published.at, key=lambda call: call.began)
        if n < len(calls) and ends[n].entered < restored.at:
            operations = tuple(one for one in (published.by, ends[n], restored.by) if one is not None)
            other = reigns[j - 1].version
            return Contradiction(
                f"version {other} was current from {published.at} or earlier to {restored.at} or later, "
                f"and a call within that time ran on version {reign.version}",
                operations,
            )
    return None


def _check_drains(reigns: list[_Reign], by_version: dict[int, _Calls]) -> Contradiction | None:
    for before, reign in pairwise(reigns):
        upgrade = reign.upgrade
        if upgrade is None or upgrade.effect != "published" or not upgrade.drained or before.version not in by_version:
            continue
        call = by_version[before.version].last_to_leave
        if call.left > upgrade.ended:
            why = f"the upgrade to version {reign.version} has returned, and a call on the old version still ran"
            return Contradiction(why, (upgrade, call))
    return None
