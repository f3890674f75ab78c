"""What admission promises."""

from hotswap_spec._model import Level, changed, first
from hotswap_spec.admission import EFFECTS, GUARDS, NONE, TABLE, State, initial


def leases_are_exact(s: State) -> bool:
    out = [one.lease for one in s.callers]
    for v, one in enumerate(s.versions):
        if one.free < 0 or one.free + one.gathered + out.count(v) != (0 if one.at == "reclaimed" else s.size):
            return False
    return True


def will_settle(s: State) -> bool:
    will = ("left", "noticed", "woken", "served", "refused")
    return s.locks[0].at != "free" or any(one.at in will for one in s.callers)


LEVEL = Level(
    *("admission", State, TABLE, GUARDS, EFFECTS, initial),
    bounds={
        "small": ({"callers": 2, "versions": 2, "size": 1}, 12_011),
        "live": ({"callers": 2, "versions": 2, "size": 1, "closers": 1, "calls": 1}, 31_981),  # the lock is not fair
        "gates": ({"callers": 2, "versions": 3, "size": 1}, 166_055),  # one shut after another
        "large": ({"callers": 3, "versions": 2, "size": 2, "closers": 1}, 400_079),
    },
    rest="outside rest ready closed fresh live reclaimed free",
    symmetric=("callers",),
    always={
        "S3 every lease is in one place, and a reclaimed version has none": leases_are_exact,
        "S8 who is live is current, or may be again": lambda s: (
            s.locks[0].at != "free"
            or all(one.at != "live" or v in (s.current, s.kept) for v, one in enumerate(s.versions))
        ),
        "L2 no drain is forgotten: its end is seen": lambda s: (
            s.operators[0].at != "parked" or s.old().free + s.old().gathered < s.size or will_settle(s)
        ),
        "L3 no waiter is forgotten: one who could be served is about to be": lambda s: (
            will_settle(s) or not s.can_serve(0) or all(one.at != "parked" or one.place != 1 for one in s.callers)
        ),
        "L3 a drain behind the gate ends when who was held before has been served": lambda s: (
            s.closed or not s.shut or s.versions[s.current].at != "drained" or not any(one.held for one in s.callers)
        ),
    },
    steps={
        "S1 a call runs to its own end on the version that admitted it": lambda s, step, t: (
            step == "release" or all(a.lease in (NONE, b.lease) for a, b in changed(s.callers, t.callers))
        ),
        "S2 a call that begins after another ended runs on no older version, but for a rollback": lambda s, step, t: (
            step not in ("take", "serve")
            or all(b.lease in (NONE, a.lease) or b.lease >= a.floor for a, b in changed(s.callers, t.callers))
        ),
        "S3 only what is retired and drained is reclaimed": lambda s, step, t: (
            step != "reclaim" or all(a.at == "drained" for a, _ in changed(s.versions, t.versions))
        ),
        "L3 who waits longest is served first": lambda s, step, t: (
            step != "serve" or all(a.place == 1 for a, b in changed(s.callers, t.callers) if a.lease != b.lease)
        ),
    },
    sometimes={
        "S1 a call runs on an old version": lambda s: any(one.lease not in (NONE, s.current) for one in s.callers),
        "S2 a call begins after another ended on the second version": lambda s: any(one.floor for one in s.callers),
        "S3 a version is reclaimed": lambda s: any(one.at == "reclaimed" for one in s.versions),
        "S8 a candidate is reclaimed after a rollback": lambda s: s.versions[s.newest].at == "reclaimed" != s.closed,
        "L2 the operator waits for a drain": lambda s: s.operators[0].at == "parked",
        "L3 a call waits": lambda s: any(one.at == "parked" for one in s.callers),
    },
    leads_to={
        "L2 what is retired is reclaimed, or live": (first("versions", "retired"), first("versions", "live reclaimed")),
        "L3 a waiting call is admitted or answered": (first("callers", "parked"), first("callers", "inside outside")),
        "L4 a close returns": (lambda s: s.closed, lambda s: all(one.at in ("ready", "closed") for one in s.closers)),
    },
    refuted={
        "every call runs on the current version": lambda s: all(one.lease in (NONE, s.current) for one in s.callers),
        "nobody is cleared while another waits": lambda s: not {"parked", "cleared"} <= {one.at for one in s.callers},
    },
)
