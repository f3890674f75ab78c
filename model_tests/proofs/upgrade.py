"""The upgrade level as seen from one version: what is proved about it for any number of everything.

One version is *watched*, no matter which. Callers and upgraders are counted and not listed: a call is inside the
watched version or elsewhere, and of the upgraders only the owner's place is known. All counts are unbounded. What
holds for the watched version holds for each, since nothing says which one it is.
"""

from __future__ import annotations

from typing import NamedTuple

from proofs._logic import among, either, from_to, implies, no


class Phase:
    """Numbers, since a prover takes an enum apart member by member."""

    ACTIVE, PREPARING_UPGRADE, SWAPPING, DRAINING, UPGRADE_COMPLETE, ROLLED_BACK, CLOSED = range(7)


class Place:
    """Where the owner is. AWAY: it has prepared and gone, and whoever comes may execute. NOWHERE: nobody owns."""

    NOWHERE, PREPARING, PREPARED, AWAY, SWAPPING, PUBLISHED, DRAINING, GRACE, READY, COMMITTED, ROLLED_BACK = range(11)


class At:
    FRESH, CANDIDATE, LIVE, RETIRED, RECLAIMED = range(5)


class Ref(NamedTuple):
    """Is it the watched version's?"""

    code: bool
    manifest: bool


OTHER = Ref(False, False)


class Counted(NamedTuple):
    phase: int
    shut: bool
    closed: bool
    endless: bool
    attempts: int
    successes: int
    failures: int
    cancelled: int
    # the watched version
    at: int
    interrupted: bool
    kept: bool
    current: Ref
    before: Ref  # history for S4, as in the specification
    # callers
    outside: int
    held: int  # by a gate that has not opened since
    passing: int  # held by a gate that has opened since
    inside: int  # in the watched version
    elsewhere: int  # in any other version
    torn: int  # inside with the code of one version and the manifest of another
    # upgraders
    owners: int
    place: int
    exclusive: bool
    old: Ref
    new: Ref
    idle: int  # not counting an owner
    lost: int  # preparing or prepared, and own nothing any more
    stopped: int  # executing, and own nothing any more
    # others
    cancellers: int
    closers: int  # that have not begun
    emptying: int
    insisting: int


def early(s: Counted) -> bool:
    """The attempt has not begun to execute."""
    return from_to(s.place, Place.PREPARING, Place.AWAY)


def offered(s: Counted) -> bool:
    return among(s.place, Place.PREPARED, Place.AWAY)


def trying(s: Counted) -> bool:
    """The attempt executes and may still be rolled back."""
    return from_to(s.place, Place.SWAPPING, Place.READY) & (s.exclusive | (s.place != Place.GRACE))


def switched(s: Counted) -> bool:
    """The candidate is current and the old version kept: OVERLAP before its commit."""
    return trying(s) & no(s.exclusive) & (s.place != Place.SWAPPING)


def undecided(s: Counted) -> bool:
    return among(s.phase, Phase.PREPARING_UPGRADE, Phase.DRAINING, Phase.SWAPPING)


def same(a: Ref, b: Ref) -> bool:
    return (a.code == b.code) & (a.manifest == b.manifest)


# The invariant ---------------------------------------------------------------------------------------------


def counts(s: Counted) -> bool:
    """Nobody is counted who is not there."""
    return (
        (s.outside >= 0) & (s.held >= 0) & (s.passing >= 0) & (s.inside >= 0) & (s.elsewhere >= 0)
        & (s.idle >= 0) & (s.lost >= 0) & (s.stopped >= 0)
        & (s.cancellers >= 0) & (s.closers >= 0) & (s.emptying >= 0) & (s.insisting >= 0)
        & (s.attempts >= 0) & (s.successes >= 0) & (s.failures >= 0) & (s.cancelled >= 0)
    )  # fmt: skip


def owned(s: Counted) -> bool:
    """One owner at most (S5), who is somewhere; without one the phase is ACTIVE or CLOSED, and only then."""
    return (
        from_to(s.owners, 0, 1)
        & from_to(s.place, Place.NOWHERE, Place.ROLLED_BACK)
        & ((s.owners == 0) == (s.place == Place.NOWHERE))
        & ((s.owners == 0) == among(s.phase, Phase.ACTIVE, Phase.CLOSED))
        & (s.closed == (s.phase == Phase.CLOSED))
        & implies(s.stopped > 0, s.closed)
    )


def in_step(s: Counted) -> bool:
    """The phase is that of the owner's place."""
    return (
        from_to(s.phase, Phase.ACTIVE, Phase.CLOSED)
        & (early(s) == (s.phase == Phase.PREPARING_UPGRADE))
        & implies(among(s.place, Place.SWAPPING, Place.PUBLISHED), s.phase == Phase.SWAPPING)
        & implies(s.place == Place.DRAINING, s.phase == Phase.DRAINING)
        & implies((s.place == Place.GRACE) & s.exclusive, s.phase == Phase.DRAINING)
        & implies((s.place == Place.GRACE) & no(s.exclusive), s.phase == Phase.UPGRADE_COMPLETE)
        & implies((s.place == Place.READY) & s.exclusive, s.phase == Phase.SWAPPING)
        & implies((s.place == Place.READY) & no(s.exclusive), s.phase == Phase.DRAINING)
        & implies(s.place == Place.COMMITTED, s.phase == Phase.UPGRADE_COMPLETE)
        & implies(s.place == Place.ROLLED_BACK, s.phase == Phase.ROLLED_BACK)
        & implies(s.exclusive, s.place >= Place.DRAINING)
    )


def gated(s: Counted) -> bool:
    """The gate is shut exactly while an EXCLUSIVE upgrade is undecided; when it opens, all it held may pass."""
    return (s.shut == (s.exclusive & trying(s))) & implies(no(s.shut) & no(s.closed), s.held == 0)


def booked(s: Counted) -> bool:
    """S7. Every attempt has ended in one of three ways, but for the one under way."""
    under_way = undecided(s) & (s.owners > 0)
    return s.endless | (s.attempts == s.successes + s.failures + s.cancelled + under_way)


def whole(s: Counted) -> bool:
    """S6. No reference, and no call, has the code of one version and the manifest of another."""
    return (
        (s.current.code == s.current.manifest)
        & (s.before.code == s.before.manifest)
        & (s.old.code == s.old.manifest)
        & (s.new.code == s.new.manifest)
        & (s.torn == 0)
    )


def remembered(s: Counted) -> bool:
    """What an attempt goes back to is what was current when it began; it is kept just as long as that may be."""
    return (
        implies(early(s) | (s.place == Place.ROLLED_BACK), same(s.current, s.before))
        & implies(trying(s), same(s.old, s.before) & (s.kept == s.old.code))
        & implies(trying(s), either(switched(s), same(s.current, s.new), same(s.current, s.old)))
        & implies(s.kept, trying(s))
        & implies(among(s.place, Place.NOWHERE, Place.PREPARING), no(s.new.code))
    )


def placed(s: Counted) -> bool:
    """The watched version is where what refers to it says."""
    shutting = s.exclusive & trying(s)
    waiting = offered(s) | (s.place == Place.SWAPPING) | shutting
    return (
        from_to(s.at, At.FRESH, At.RECLAIMED)
        & ((s.at == At.LIVE) == (s.current.code & no(s.closed) & no(shutting)))
        & ((s.at == At.CANDIDATE) == (s.new.code & waiting))
        & implies(s.kept, (s.at == At.RETIRED) | no(switched(s) | shutting))
        & implies(s.interrupted, s.at == At.RETIRED)
    )


def entered(s: Counted) -> bool:
    """S3. Calls are inside a version only while it is live or retired."""
    return implies(s.inside > 0, among(s.at, At.LIVE, At.RETIRED))


def parted(s: Counted) -> bool:
    """S2. When an EXCLUSIVE upgrade is ready to commit, nobody is inside the old version, and nobody gets in."""
    return implies((s.place == Place.READY) & s.exclusive & s.old.code, s.inside == 0)


def invariant(s: Counted) -> bool:
    once = counts(s) & owned(s) & in_step(s) & gated(s) & booked(s)
    return once & whole(s) & remembered(s) & placed(s) & entered(s) & parted(s)


# What a step keeps -----------------------------------------------------------------------------------------


def stay(s: Counted, t: Counted) -> bool:
    """S1. Nobody who is inside a version leaves it."""
    return (t.inside >= s.inside) & (t.elsewhere >= s.elsewhere)


def keeps(s: Counted, t: Counted) -> bool:
    """S1, S3, S4. Nobody leaves, no version is interrupted, one that is reclaimed remains so, and so does history."""
    return (
        stay(s, t)
        & implies(t.interrupted, s.interrupted)
        & implies(s.at == At.RECLAIMED, t.at == At.RECLAIMED)
        & same(t.before, s.before)
    )


def as_before(s: Counted) -> bool:
    """S4. Version, code and manifest are those before the attempt, and calls are let in."""
    return same(s.current, s.before) & no(s.shut) & implies(s.current.code, (s.at == At.LIVE) & no(s.interrupted))
