"""The cases of a state of the upgrade level: finitely many, but for numbers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from proofs._logic import among, implies, no
from proofs.upgrade import At, Counted, Phase, Place, Ref, invariant, offered, same, trying, undecided
from proofs.upgrade_steps import start

PHASES = {
    Place.SWAPPING: Phase.SWAPPING,
    Place.PUBLISHED: Phase.SWAPPING,
    Place.DRAINING: Phase.DRAINING,
    Place.COMMITTED: Phase.UPGRADE_COMPLETE,
    Place.ROLLED_BACK: Phase.ROLLED_BACK,
}


def settled(s: Counted) -> bool:
    """The owner's attempt is decided: nothing rolls it back."""
    committed = (s.place == Place.GRACE) & no(s.exclusive)
    return among(s.place, Place.COMMITTED, Place.ROLLED_BACK) | committed


def executes(s: Counted) -> bool:
    return s.place >= Place.SWAPPING


def real(s: Counted) -> bool:
    """What the invariant leaves open and `impl_real.py` proves: references are of this attempt, or of none."""
    ends = among(s.at, At.RETIRED, At.RECLAIMED)
    committed = settled(s) & (s.phase == Phase.UPGRADE_COMPLETE)
    return (
        implies(s.closed & s.current.code, ends)
        & implies(no(executes(s)), no(s.old.code))
        & implies(no(executes(s) | offered(s)), no(s.new.code))
        & implies(committed, same(s.current, s.new) & implies(s.old.code, ends & no(s.new.code)))
        & implies(s.place == Place.ROLLED_BACK, same(s.current, s.old) & implies(s.new.code, ends & no(s.old.code)))
    )


def sound(s: Counted) -> bool:
    """A state in which a plugin can be. Nothing is counted in an endless one."""
    k = placed(s)
    if k is None:
        return False
    derived = (s.exclusive == k.exclusive) & (s.phase == k.phase) & (s.closed == k.closed) & (s.shut == k.shut)
    return no(s.endless) & derived & (s.owners == k.owners) & invariant(k) & real(k)


def sure(p: bool) -> bool:
    """Follow both cases, so that what comes is a plain bool."""
    return True if p else False  # noqa: SIM210


def placed(s: Counted) -> Counted | None:
    """The same state, with plain values for where the owner is and what follows from that. None if he is nowhere."""
    place = next((one for one in range(Place.ROLLED_BACK + 1) if s.place == one), None)
    if place is None:
        return None
    exclusive = place in (Place.DRAINING, Place.GRACE, Place.READY) and sure(s.exclusive)
    closed = place == Place.NOWHERE and sure(s.closed)
    s = s._replace(endless=False, place=place, exclusive=exclusive, closed=closed, owners=int(place != Place.NOWHERE))
    if place == Place.NOWHERE:
        phase = Phase.CLOSED if closed else Phase.ACTIVE
    elif place == Place.GRACE:
        phase = Phase.DRAINING if exclusive else Phase.UPGRADE_COMPLETE
    elif place == Place.READY:
        phase = Phase.SWAPPING if exclusive else Phase.DRAINING
    else:
        phase = PHASES.get(place, Phase.PREPARING_UPGRADE)
    return s._replace(phase=phase, shut=exclusive and trying(s))


class Case(NamedTuple):
    state: Counted
    alive: bool
    """The watched version has been offered and is not reclaimed. Else it makes no difference which of the two."""


def case_of(s: Counted) -> Case:
    """A sound state with plain values for all but numbers."""
    k = placed(s)
    assert k is not None, "unsound"
    current = sure(k.current.code)
    old, new = executes(k) and sure(k.old.code), (executes(k) or offered(k)) and sure(k.new.code)
    at, alive = k.at, True
    if new and (offered(k) or k.place == Place.SWAPPING or k.shut):
        at = At.CANDIDATE
    elif current and not k.closed and not k.shut:
        at = At.LIVE
    elif sure(k.at == At.RETIRED):
        at = At.RETIRED
    else:
        alive = False
    kept, interrupted = old and trying(k), k.interrupted if alive and at == At.RETIRED else False
    k = k._replace(current=Ref(current, current), old=Ref(old, old), new=Ref(new, new))
    return Case(k._replace(at=at, kept=kept, interrupted=interrupted), alive)


def every_case() -> Iterator[Case]:
    """Every case that `case_of` tells apart, with numbers as small as they can be: for who does without a prover."""
    refs, flags = (Ref(False, False), Ref(True, True)), (False, True)
    first = start(True, False, 1, 1, 1, 1)._replace(attempts=4, successes=2, failures=1, cancelled=1, lost=1)
    for place, exclusive, closed in product(range(Place.ROLLED_BACK + 1), flags, flags):
        t = first._replace(place=place, exclusive=exclusive, closed=closed)
        for at, current, old, new in product(range(At.FRESH, At.RECLAIMED + 1), refs, refs, refs):
            before = old if trying(t) | (place == Place.ROLLED_BACK) else current
            t = t._replace(at=at, current=current, before=before, old=old, new=new)
            for interrupted, inside in product(flags, (0, 1)):
                yield from filled_in(t._replace(interrupted=interrupted, inside=inside))


def filled_in(s: Counted) -> Iterator[Case]:
    """With what follows from the rest, if that is a state at all and nothing in it had to be changed for it."""
    case = case_of(s)
    k = case.state._replace(at=s.at, attempts=s.attempts + (undecided(case.state) & (case.state.owners > 0)))
    derived = s._replace(phase=k.phase, owners=k.owners, shut=k.shut, kept=k.kept, attempts=k.attempts)
    if k == derived and sound(k):
        yield case._replace(state=k)
