"""The protocol itself: steps, guards and effects of the specification, which its own properties must defend."""

from typing import Final

from mutation._mutant import mutant, swap
from mutation.catalogue._files import SPEC_ADMISSION, SPEC_MANAGER, SPEC_UPGRADE

SPECIFICATION: Final = (
    mutant(
        "spec-release-does-not-look",
        "A call that leaves does not look whether somebody waits",
        swap(
            SPEC_ADMISSION,
            "outside    not attention         must  sees that nobody",
            "outside    -         must  sees that nobody",
        ),
        tries="explorer: admission",
    ),
    mutant(
        "spec-drain-wakes-nobody",
        "The end of a drain wakes nobody",
        swap(
            SPEC_ADMISSION, 'self.go("versions", v, at="drained").wake() if', 'self.go("versions", v, at="drained") if'
        ),
        tries="explorer: admission",
    ),
    mutant(
        "spec-rollback-leaks",
        "A rollback does not retire the new version",
        swap(SPEC_ADMISSION, "s.retire_version(s.newest)._replace(kept=NONE)", "s._replace(kept=NONE)"),
        tries="explorer: admission",
    ),
    mutant(
        "spec-reclaim-before-commit",
        "The old version may be reclaimed before the commit",
        swap(SPEC_ADMISSION, "reclaimed  unlocked, not kept  must", "reclaimed  unlocked  must"),
        tries="explorer: admission",
    ),
    mutant(
        "spec-exclusive-commits-undrained",
        "EXCLUSIVE may commit while calls are on the old version",
        swap(SPEC_UPGRADE, "ready committed  owns, drained  ", "ready committed  owns  "),
        tries="explorer: upgrade",
    ),
    mutant(
        "spec-two-prepares",
        "A second prepare claims what the first one owns",
        swap(SPEC_UPGRADE, "not owned, not closed  may   claims", "not closed  may   claims"),
        tries="explorer: upgrade",
        seed=10,
    ),
    mutant(
        "spec-cancel-beside-execute",
        "A cancel wins over an upgrade that already executes",
        swap(
            SPEC_UPGRADE,
            "ready done  preparing              may  cancels",
            "ready done  owned              may  cancels",
        ),
        tries="explorer: upgrade",
        seed=8,
    ),
    mutant(
        "spec-reclaim-undrained",
        "A version is reclaimed while calls are inside",
        swap(SPEC_UPGRADE, "reclaimed  not kept, not inside  must", "reclaimed  not kept  must"),
        tries="explorer: upgrade",
    ),
    mutant(
        "spec-gate-stays-shut",
        "A rollback does not open the gate",
        swap(
            SPEC_UPGRADE,
            'interrupted=False).drop(i).open_gate().tally("failures")',
            'interrupted=False).drop(i).tally("failures")',
        ),
        tries="explorer: upgrade",
    ),
    mutant(
        "spec-failed-prepare-leaks",
        "A prepare that fails leaves its candidate",
        swap(SPEC_UPGRADE, '"fail": lambda s, i: s.drop(i).part(i)', '"fail": lambda s, i: s.part(i)'),
        tries="explorer: upgrade",
    ),
    mutant(
        "spec-torn-offer",
        "A candidate has the new code and the old manifest",
        swap(SPEC_UPGRADE, "new=Ref(s.fresh(), s.fresh())", "new=Ref(s.fresh(), s.current.manifest)"),
        tries="explorer: upgrade",
        seed=3,
    ),
    mutant(
        "spec-held-calls-pass-always",
        "A call that was held passes the next gate also after the drain",
        swap(SPEC_UPGRADE, '(s.callers[i].passes and s.phase == "DRAINING")', "s.callers[i].passes"),
        tries="explorer: upgrade",
    ),
    mutant(
        "spec-published-and-not-retired",
        "A publish does not retire the old version",
        swap(
            SPEC_UPGRADE,
            's = self.go("versions", me.new.code, at="live").go("versions", me.old.code, at="retired")',
            's = self.go("versions", me.new.code, at="live")',
        ),
        tries="explorer: upgrade",
        seed=16,
    ),
    mutant(
        "spec-unregister-does-not-wait",
        "An unregister returns while calls run",
        swap(SPEC_MANAGER, "done shutting  mine closed  must", "done shutting  -  must"),
        tries="explorer: manager",
        seed=15,
    ),
    mutant(
        "spec-name-is-free-too-early",
        "A name that is taken and not listed yet can be taken again",
        swap(SPEC_MANAGER, '"name free": lambda s, _: s.taken == NONE', '"name free": lambda s, _: s.listed == NONE'),
        tries="explorer: manager",
    ),
)
