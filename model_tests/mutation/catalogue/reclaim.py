"""Close the instances of what has drained, and replace those that trapped."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import LIFECYCLE, PLUGIN, UPGRADE

RECLAIM: Final = (
    mutant(
        "reclaim-before-commit",
        "An old version that is drained is reclaimed while the attempt may still roll back to it",
        swap(LIFECYCLE, "if version is self._kept or version not in self._retired", "if version not in self._retired"),
        tries="core: before_the_commit",
    ),
    mutant(
        "reclaim-undrained",
        "A retired version is reclaimed while calls are inside",
        swap(
            LIFECYCLE,
            "version not in self._retired or not version.drained:",
            "version not in self._retired:",
        ),
        tries="call, execute, may time out | upgrade: detach",
    ),
    mutant(
        "reclaim-publishes-nothing",
        "The old version is never closed",
        diff(
            UPGRADE,
            """
                     leases = self._protocol.reclaim(version)
        -            for lease in leases:
        -                lease.instance.close()
                     self._protocol.forget(version)
            """,
        ),
        tries="call, execute",
        seed=16,
    ),
    mutant(
        "reclaimed-and-remembered",
        "A version that was reclaimed stays on the list of those to be reclaimed",
        diff(
            LIFECYCLE,
            """
                 if version in self._retired and not version.live.value:
        -            self._retired.remove(version)
        +            version.announced = True
            """,
        ),
        tries="call, execute",
    ),
    mutant(
        "reclaims-one-at-a-time-no-more",
        "Two threads may reclaim at once: close returns while another still closes instances",
        diff(
            UPGRADE,
            """
        -        with self._reclaiming:
        +        if True:
                     leases = self._protocol.reclaim(version)
            """,
        ),
        tries="execute, strict close",
    ),
    mutant(
        "no-reaper",
        "Nobody waits for the calls that a detached or rolled back version still has",
        diff(
            UPGRADE,
            """
                     if version is attempt.old or version is attempt.candidate:
        -                self._spawn(partial(self._reap, version), f"hotswap-reap-{self._protocol.name}-{version.id}")
        +                self.reclaim(version)
            """,
        ),
        tries="upgrade: detach_lets | upgrade: run_to_their_end",
    ),
    mutant(
        "reaper-does-not-wait",
        "The reaper does not wait until its version has drained",
        diff(
            UPGRADE,
            """
             def _reap(self, version: Version) -> None:
        -        self._protocol.await_drain(version, None, closing=True)
                 self.reclaim(version)
            """,
        ),
        tries="upgrade: detach_lets | upgrade: run_to_their_end",
    ),
)
TRAPS: Final = (
    mutant(
        "trapped-instance-serves-on",
        "An instance that trapped is given to the next call",
        swap(PLUGIN, "if lease.instance.broken:", "if lease.dead:"),
        tries="trap, call | upgrade: trapped",
    ),
    mutant(
        "tombstone-in-silence",
        "The drain is not told that an instance was discarded",
        diff(
            LIFECYCLE,
            """
                 lease.version.tombs.append(lease)
        -        self._settle()
            """,
        ),
        tries="trap, execute",
    ),
    mutant(
        "trap-leaks-the-instance",
        "An instance that trapped is discarded and not closed",
        diff(
            PLUGIN,
            """
                     lease.dead = True  # before the close: from here on its finalizer knows that it is a tombstone
        -            lease.instance.close()
                     self._protocol.bury(lease)
            """,
        ),
        tries="trap, call",
    ),
    mutant(
        "no-replacement",
        "A discarded instance is replaced only when a call finds none",
        diff(
            PLUGIN,
            """
                     self._protocol.bury(lease)
        -            self._upgrades.replace_instances()
                 else:
            """,
        ),
        tries="trap",
    ),
    mutant(
        "revived-and-dead",
        "A replaced lease is still a tombstone: after one call it is gone again",
        swap(LIFECYCLE, "lease.instance, lease.dead = instance, False", "lease.instance = instance"),
        tries="trap, call",
    ),
    mutant(
        "late-replacement-is-put-in",
        "A replacement that was made for a version which has been upgraded since is put in all the same",
        diff(
            LIFECYCLE,
            """
        -        if not self._has_use(version):
        -            return False
                 lease = version.tombs.pop()
            """,
        ),
        tries="core: too_late",
    ),
    mutant(
        "late-replacement-leaks",
        "A replacement that comes too late is not closed",
        diff(
            UPGRADE,
            """
        -                    if not self._protocol.revive(version, instance):
        -                        instance.close()
        +                    self._protocol.revive(version, instance)
            """,
        ),
        tries="core: too_late",
    ),
)
