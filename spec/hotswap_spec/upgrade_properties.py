"""What an upgrade promises."""

from hotswap_spec._model import Level, changed, first
from hotswap_spec.upgrade import EFFECTS, GUARDS, NOTHING, PREPARING, TABLE, State, initial


def as_before(s: State) -> bool:
    return s.current == s.before and not s.shut and s.versions[s.current.code] == ("live", False)


def nothing_leaks(s: State) -> bool:
    new = s.upgraders[s.owner()].new.code if s.owner() >= 0 else -1
    places = {"live": (s.current.code, s.kept), "candidate": (new,)}
    return all(one.at not in places or v in places[one.at] for v, one in enumerate(s.versions))


LARGE = {"callers": 3, "upgraders": 2, "versions": 4, "cancellers": 1, "closers": 1, "endless": True}
LEVEL = Level(
    *("upgrade", State, TABLE, GUARDS, EFFECTS, initial),
    bounds={
        "small": ({"callers": 2, "upgraders": 2, "versions": 3, "cancellers": 1, "closers": 1}, 24_052),
        "live": ({"callers": 2, "upgraders": 1, "versions": 3, "cancellers": 1, "closers": 1, "endless": True}, 45_789),
        "large": (LARGE, 2_220_276),
    },
    rest="outside idle done ready closed fresh live candidate reclaimed",
    symmetric=("callers", "upgraders", "cancellers", "closers"),
    always={
        "S3 a version in which a call runs is live or retired": lambda s: all(
            one.on == NOTHING or s.versions[one.on.code].at in ("live", "retired") for one in s.callers
        ),
        "S4 a rollback leaves all as it was before": lambda s: s.phase != "ROLLED_BACK" or as_before(s),
        "S5 one thread at most owns the upgrade": lambda s: sum(one.owns for one in s.upgraders) <= 1,
        "S5 ACTIVE and CLOSED mean that nobody does": lambda s: (s.phase in ("ACTIVE", "CLOSED")) == (s.owner() < 0),
        "S6 code and manifest are of one version": lambda s: all(
            one.code == one.manifest for one in [s.current, *(c.on for c in s.callers), *(u.new for u in s.upgraders)]
        ),
        "S7 attempts = successes + failures + cancelled + the one under way": lambda s: (
            s.endless or s.attempts == s.successes + s.failures + s.cancelled + s.undecided()
        ),
        "S8 every version is current, or a candidate, or on its way to be reclaimed": nothing_leaks,
    },
    steps={
        "S1 a call runs to its own end, unless its version is interrupted": lambda s, step, t: all(
            a.on in (NOTHING, b.on) or step == "end" or (step == "trap" and s.versions[a.on.code].interrupted)
            for a, b in changed(s.callers, t.callers)
        ),
        "S1 only a drain timeout interrupts": lambda s, step, t: (
            "interrupt" in step or all(a.interrupted or not b.interrupted for a, b in changed(s.versions, t.versions))
        ),
        "S2 a call is admitted to what is current": lambda s, _, t: all(
            b.on in (a.on, s.current, NOTHING) for a, b in changed(s.callers, t.callers)
        ),
        "S2 what is current changes at one step, and back at a rollback": lambda s, step, t: (
            s.current == t.current or step in ("publish", "commit", "time_out", "let_be", "strike")
        ),
        "S2 with EXCLUSIVE the two versions never run at once": lambda s, step, _: (
            step != "commit"
            or not any(one.at == "ready" and one.exclusive and s.inside(one.old.code) for one in s.upgraders)
        ),
        "S3 only a retired version is reclaimed": lambda s, step, t: (
            step != "reclaim" or all(a.at == "retired" for a, _ in changed(s.versions, t.versions))
        ),
        "S4 an attempt that failed or was cancelled changes nothing": lambda _, step, t: (
            step not in ("fail", "cancel") or (as_before(t) and t.phase == "ACTIVE")
        ),
        "S5 a request that is refused changes nothing": lambda s, step, t: (
            step not in ("ask_inside", "be_busy", "cancel_late", "cancel_nothing")
            or s._replace(upgraders=(), cancellers=()) == t._replace(upgraders=(), cancellers=())
        ),
        "S7 a success is a commit": lambda s, _, t: (
            s.endless or t.successes - s.successes == (t.phase == "UPGRADE_COMPLETE" != s.phase)
        ),
        "S7 a cancel is counted": lambda s, step, t: s.endless or t.cancelled - s.cancelled == (step == "cancel"),
    },
    sometimes={
        "S1 a call is interrupted": lambda s: any(v.interrupted and s.inside(i) for i, v in enumerate(s.versions)),
        "S2 two versions run at once": lambda s: len({one.on for one in s.callers} - {NOTHING}) > 1,
        "S3 a version is reclaimed": lambda s: any(one.at == "reclaimed" for one in s.versions),
        "S4 an upgrade is rolled back": lambda s: s.phase == "ROLLED_BACK",
        "S5 a candidate waits": lambda s: s.phase == PREPARING and s.upgraders[s.owner()].at in ("idle", "done"),
        "S6 a call runs on the second version": lambda s: any(one.on.code == 1 for one in s.callers),
        "S7 an upgrade succeeds": lambda s: s.phase == "UPGRADE_COMPLETE",
        "L3 a call is held at the gate": lambda s: any(one.at == "held" for one in s.callers),
        "L4 a close waits for a call": lambda s: s.closed and any(one.on != NOTHING for one in s.callers),
    },
    leads_to={
        "L1 an upgrade that executes ends in ACTIVE or CLOSED": (
            lambda s: s.phase in ("SWAPPING", "DRAINING", "UPGRADE_COMPLETE", "ROLLED_BACK"),
            lambda s: s.phase in ("ACTIVE", "CLOSED"),
        ),
        "L2 what is retired is reclaimed, or live": (first("versions", "retired"), first("versions", "live reclaimed")),
        "L3 a held call is admitted or answered": (first("callers", "held"), first("callers", "inside outside")),
        "L4 a close returns": (lambda s: s.closed, lambda s: s.closers[0].at == "closed"),
    },
    refuted={
        "when an upgrade has returned, nothing runs on the old version": lambda s: (
            s.phase != "ACTIVE" or all(one.on in (NOTHING, s.current) for one in s.callers)
        ),
        "two versions at most have instances": lambda s: sum(one.at in ("live", "retired") for one in s.versions) <= 2,
        "a closed plugin runs nothing": lambda s: not s.closed or all(one.on == NOTHING for one in s.callers),
        "an upgrade that executes succeeds": (
            lambda s: s.phase in ("SWAPPING", "DRAINING"),
            lambda s: s.phase == "UPGRADE_COMPLETE",
        ),
    },
)
