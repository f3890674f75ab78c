"""Steps that are broken, and contracts that prove nothing. Not one of them may count as proved."""

from __future__ import annotations

from proofs import admission
from proofs._logic import among, no
from proofs.upgrade import At, Counted, Phase, Place, Ref, as_before, early, invariant, keeps, undecided
from proofs.upgrade_effects import book, drop, forget, leave, part, restore, swap

# Steps -----------------------------------------------------------------------------------------------------


def trap_whom_nobody_interrupted(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.inside > 0
    post: invariant(_)
    post: s.interrupted
    """
    return leave(s, True)


def publish_and_drop_the_calls(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.place == Place.SWAPPING
    post: invariant(_)
    post: keeps(s, _)
    """
    return swap(s)._replace(place=Place.PUBLISHED, inside=0)


def reclaim_under_a_call(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.at == At.RETIRED) & no(s.kept)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(at=At.RECLAIMED, interrupted=False)


def reclaim_what_a_rollback_needs(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.at == At.RETIRED) & (s.inside == 0)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(at=At.RECLAIMED, interrupted=False)


def roll_back_and_stay(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.place == Place.DRAINING
    post: as_before(_) & (_.phase == Phase.ROLLED_BACK)
    """
    return restore(s)._replace(current=s.current)


def claim_what_is_owned(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.idle > 0) & no(s.closed)
    post: invariant(_)
    post: keeps(s, _)
    """
    s = book(s, attempts=1)._replace(phase=Phase.PREPARING_UPGRADE, before=s.current, idle=s.idle - 1)
    return s._replace(owners=s.owners + 1, place=Place.PREPARING)


def offer_code_without_its_manifest(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.place == Place.PREPARING) & (s.at == At.FRESH)
    post: invariant(_)
    post: keeps(s, _)
    """
    return s._replace(at=At.CANDIDATE, place=Place.PREPARED, new=Ref(True, False))


def fail_and_not_count_it(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: among(s.place, Place.PREPARING, Place.PREPARED)
    post: invariant(_)
    post: keeps(s, _)
    """
    return part(drop(s))._replace(phase=Phase.ACTIVE)


def cancel_and_keep_the_candidate(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: (s.cancellers > 0) & early(s)
    post: invariant(_)
    post: keeps(s, _)
    """
    return book(forget(s), cancelled=1)._replace(phase=Phase.ACTIVE, cancellers=s.cancellers - no(s.endless))


def take_what_is_not_free(s: admission.Counted) -> admission.Counted:
    """
    pre: admission.invariant(s)
    pre: s.cleared > 0
    post: admission.invariant(_)
    post: admission.keeps(s, _)
    """
    return s._replace(cleared=s.cleared - 1, inside=s.inside + 1, free=s.free - 1)


def see_drained_too_early(s: admission.Counted) -> admission.Counted:
    """
    pre: admission.invariant(s)
    pre: s.gathering & (s.free == 0)
    post: admission.invariant(_)
    post: admission.keeps(s, _)
    """
    return s._replace(settler=admission.Settler.UNMARK, gathering=False, at=admission.At.DRAINED)


def restore_without_the_lock(s: admission.Counted) -> admission.Counted:
    """
    pre: admission.invariant(s)
    pre: (s.operator == admission.Operator.DECIDE) & no(s.locked) & s.old & (s.gathered > 0)
    post: admission.invariant(_)
    post: admission.keeps(s, _)
    """
    return s._replace(at=admission.At.LIVE, free=s.free + 1, gathered=s.gathered - 1)


# Contracts -------------------------------------------------------------------------------------------------


def cannot_be_decided(numbers: list[int]) -> int:
    """
    post: _ <= sum(sorted(numbers))
    """
    return sum(numbers)


def can_never_be_done(s: Counted) -> Counted:
    """
    pre: invariant(s)
    pre: s.owners > 1
    post: False
    """
    return s


def has_no_postcondition(s: Counted) -> Counted:
    """
    pre: invariant(s)
    """
    return s


def raises(s: Counted) -> Counted:
    """
    pre: invariant(s)
    post: True
    """
    return s._replace(inside=s.inside // s.elsewhere)
