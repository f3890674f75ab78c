"""What an upgrade promises."""

from __future__ import annotations

from hotswap_spec._model import Level
from hotswap_spec.upgrade import EFFECTS, GUARDS, NOTHING, TABLE, State, initial


def as_before(s: State) -> bool:
    return s.current == s.before and not s.shut and s.versions[s.current.code] == ("live", False)


def torn(s: State) -> bool:
    refs = [s.current, *(one.on for one in s.callers), *(one.new for one in s.upgraders)]
    return any(one.code != one.manifest for one in refs)


def counts_are_exact(s: State) -> bool:
    return s.endless or s.attempts == s.successes + s.failures + s.cancelled + s.undecided()


def nothing_leaks(s: State) -> bool:
    new = s.upgraders[s.owner()].new.code if s.owner() >= 0 else -1
    return all(
        (one.at != "live" or v in (s.current.code, s.kept)) and (one.at != "candidate" or v == new)
        for v, one in enumerate(s.versions)
    )


def runs_to_its_end(s: State, step: str, t: State) -> bool:
    return all(
        a.on in (NOTHING, b.on) or step == "end" or (step == "trap" and s.versions[a.on.code].interrupted)
        for a, b in zip(s.callers, t.callers, strict=True)
    )


LEVEL = Level(
    *("upgrade", State, TABLE, GUARDS, EFFECTS, initial),
    bounds={
        "small": ({"callers": 2, "upgraders": 2, "versions": 3, "cancellers": 1, "closers": 1}, 24_402),
        "live": ({"callers": 2, "upgraders": 1, "versions": 3, "cancellers": 1, "closers": 1, "endless": True}, 0),
        "large": ({"callers": 3, "upgraders": 3, "versions": 4, "cancellers": 1, "closers": 1}, 0),
    },
    rest="outside idle done ready closed fresh live candidate reclaimed",
    always={
        "S3 a version in which a call runs is live or retired": lambda s: all(
            one.on == NOTHING or s.versions[one.on.code].at in ("live", "retired") for one in s.callers
        ),
        "S3 only a retired version is reclaimed": lambda s: s.closed or s.versions[s.current.code].at != "reclaimed",
        "S4 a rollback leaves all as it was before": lambda s: s.phase != "ROLLED_BACK" or as_before(s),
        "S5 one thread at most owns the upgrade": lambda s: sum(one.owns for one in s.upgraders) <= 1,
        "S5 the phase is ACTIVE or CLOSED exactly if nobody owns it": lambda s: (
            (s.phase in ("ACTIVE", "CLOSED")) == (s.owner() < 0)
        ),
        "S6 code and manifest are of one version": lambda s: not torn(s),
        "S7 attempts = successes + failures + cancelled + the one under way": counts_are_exact,
        "S8 every version is current, or a candidate, or on its way to be reclaimed": nothing_leaks,
    },
    steps={
        "S1 a call runs to its own end, unless its version is interrupted": runs_to_its_end,
        "S2 what is current changes at one step, and back at a rollback": lambda s, step, t: (
            s.current == t.current or step in ("publish", "commit", "time_out", "let_be", "strike")
        ),
        "S4 an attempt that failed or was cancelled changes nothing": lambda _, step, t: (
            step not in ("fail", "cancel") or (as_before(t) and t.phase == "ACTIVE")
        ),
        "S1 only a drain timeout interrupts": lambda s, step, t: (
            step in ("interrupt", "interrupt_all")
            or sum(v.interrupted for v in t.versions) <= sum(v.interrupted for v in s.versions)
        ),
    },
    sometimes={},
    leads_to={
        "L1 an upgrade that executes ends in ACTIVE or CLOSED": (
            lambda s: s.phase in ("SWAPPING", "DRAINING"),
            lambda s: s.phase in ("ACTIVE", "CLOSED"),
        ),
        "L2 a retired version is reclaimed, unless a rollback lets it live": (
            lambda s: s.versions[0].at == "retired",
            lambda s: s.versions[0].at in ("live", "reclaimed"),
        ),
        "L3 a call that is held is admitted or told PluginClosed": (
            lambda s: s.callers[0].at == "held",
            lambda s: s.callers[0].at != "held",
        ),
        "L4 a close returns": (lambda s: s.closed, lambda s: s.closers[0].at == "closed"),
    },
    symmetric=("callers", "upgraders", "cancellers", "closers"),
)
