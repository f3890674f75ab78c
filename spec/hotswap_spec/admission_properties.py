"""What admission promises."""

from __future__ import annotations

from hotswap_spec._model import Level
from hotswap_spec.admission import EFFECTS, GUARDS, NONE, TABLE, State, initial


def leases_are_exact(s: State) -> bool:
    out = [one.lease for one in s.callers]
    return all(
        one.free >= 0 and one.free + one.gathered + out.count(v) == (0 if one.at == "reclaimed" else s.size)
        for v, one in enumerate(s.versions)
    )


def runs_to_its_end(s: State, step: str, t: State) -> bool:
    return step == "release" or all(a.lease in (NONE, b.lease) for a, b in zip(s.callers, t.callers, strict=True))


def never_goes_back(s: State, step: str, t: State) -> bool:
    if step not in ("take", "serve"):
        return True
    return all(b.lease >= a.floor for a, b in zip(s.callers, t.callers, strict=True) if b.lease != a.lease)


def will_settle(s: State) -> bool:
    return s.locks[0].at != "free" or any(
        one.at in ("left", "noticed", "woken", "served", "refused") for one in s.callers
    )


def no_waiter_is_forgotten(s: State) -> bool:
    if s.locks[0].at != "free" or s.closed or s.versions[s.current].free == 0:
        return True
    first = next((one for one in s.callers if one.place == 1), None)
    return first is None or first.at != "parked" or (s.shut and not first.held) or will_settle(s)


def no_drain_is_forgotten(s: State) -> bool:
    one = s.operators[0]
    if one.at != "parked":
        return True
    old = s.versions[one.version]
    return old.free + old.gathered < s.size or will_settle(s)


LEVEL = Level(
    *("admission", State, TABLE, GUARDS, EFFECTS, initial),
    bounds={
        "small": ({"callers": 2, "versions": 2, "size": 1}, 12_739),
        "live": ({"callers": 2, "versions": 2, "size": 1, "closers": 1, "calls": 1}, 33_151),
        "large": ({"callers": 3, "versions": 3, "size": 2, "closers": 1}, 0),
    },
    rest="outside rest ready closed fresh live reclaimed retired free",
    always={
        "S3 every lease is in one place, and a reclaimed version has none": leases_are_exact,
        "S3 only a retired version is reclaimed": lambda s: s.closed or s.versions[s.current].at != "reclaimed",
        "S8 a version is live, or retired and on its way to be reclaimed, or not yet published": lambda s: all(
            one.at != "live" or v in (s.current, s.kept) or s.locks[0].at != "free" for v, one in enumerate(s.versions)
        ),
        "L3 no waiter is forgotten: one who could be served is about to be": no_waiter_is_forgotten,
        "L2 no drain is forgotten: its end is seen": no_drain_is_forgotten,
    },
    steps={
        "S1 a call runs to its own end on the version that admitted it": runs_to_its_end,
        "S2 a call that begins after another ended runs on no older version, but for a rollback": never_goes_back,
    },
    sometimes={
        "S1 a call ends on a version that is no longer current": lambda s: any(
            one.at == "inside" and one.lease != s.current for one in s.callers
        ),
        "S2 a call begins after another ended on the second version": lambda s: any(one.floor > 0 for one in s.callers),
        "S3 a version is reclaimed": lambda s: any(one.at == "reclaimed" for one in s.versions),
        "S8 a candidate is reclaimed after a rollback": lambda s: s.versions[s.newest].at == "reclaimed" != s.closed,
        "L2 the operator waits for a drain": lambda s: s.operators[0].at == "parked",
        "L3 a call waits": lambda s: any(one.at == "parked" for one in s.callers),
    },
    leads_to={
        "L2 a retired version is reclaimed, unless a rollback lets it live": (
            lambda s: s.versions[0].at == "retired",
            lambda s: s.versions[0].at in ("live", "reclaimed"),
        ),
        "L3 a call that waits is admitted or answered": (
            lambda s: s.callers[0].at == "parked",
            lambda s: s.callers[0].at in ("inside", "outside"),
        ),
        "L4 a close returns": (lambda s: s.closed, lambda s: all(one.at in ("ready", "closed") for one in s.closers)),
    },
    refuted={},
    symmetric=("callers",),
)
