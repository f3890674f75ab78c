"""Retire a version, and wait until nothing is in flight on it."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import CORE, LIFECYCLE, UPGRADE, VERSION

DRAIN: Final = (
    mutant(
        "retire-without-attention",
        "A retired version does not ask for attention: what comes home is not gathered",
        diff(
            CORE,
            '''
                 """No new admissions. Refines: retire."""
        -        version.attention.value = True
            ''',
        ),
        tries="call, execute",
    ),
    mutant(
        "drain-counts-free-leases",
        "The drain counts free leases instead of taking them: a late reader still enters what was found empty",
        swap(
            VERSION,
            "return len(self.gathered) + len(self.tombs) == self.size",
            "return len(self.free) + len(self.gathered) + len(self.tombs) == self.size",
        ),
        swap(CORE, "if (lease := version.take()) is None:", "if waiter is None or (lease := version.take()) is None:"),
        swap(
            LIFECYCLE,
            "return [*version.gathered, *version.tombs.copy()]",
            "return [*version.gathered, *iter(version.take, None), *version.tombs.copy()]",
        ),
        tries="call, execute",
        seed=7,
    ),
    mutant(
        "drain-before-publish",
        "OVERLAP drains before it publishes: calls still enter the old version after it was found to be empty",
        diff(
            UPGRADE,
            """
                     started = self._ports.clock.now()
        +            empty = policy.cutover is Cutover.OVERLAP and old.in_flight == 0
                     if policy.cutover is Cutover.OVERLAP:
            """,
        ),
        swap(
            UPGRADE,
            "if not protocol.await_drain(old, policy.drain_timeout):",
            "if not empty and not protocol.await_drain(old, policy.drain_timeout):",
        ),
        tries="call, execute",
        seed=4,
    ),
    mutant(
        "drained-but-one",
        "A drain ends one call too early",
        swap(VERSION, "+ len(self.tombs) == self.size", "+ len(self.tombs) >= self.size - 1"),
        tries="call, execute",
    ),
    mutant(
        "drain-wakes-nobody",
        "The end of a drain wakes nobody",
        diff(
            CORE,
            """
                     if version.drained and not version.announced:
        -                self.wake()
                         version.announced = True
            """,
        ),
        tries="call, execute",
    ),
    mutant(
        "drain-is-announced-for-ever",
        "That a version is drained is told once only, also when it has served again since",
        diff(
            CORE,
            """
                     self._retired.remove(version)
        -        version.announced = False
                 while version.gathered:
            """,
        ),
        tries="core: told_again",
    ),
    mutant(
        "reinstate-keeps-leases",
        "A version that serves again gets the leases that the drain had taken back by their finalizers only",
        diff(
            CORE,
            """
        -        while version.gathered:
        -            version.free.append(version.gathered.pop())
        +        version.gathered.clear()
            """,
        ),
        tries="interrupts: upgrade and OVERLAP and idle",
    ),
    mutant(
        "drain-parks-once",
        "The drain parks once: `if` for `while`",
        diff(
            LIFECYCLE,
            """
        -            while not self._drained(version, closing):
        +            if not self._drained(version, closing):
                         left = None if deadline is None else deadline - self._clock.now()
            """,
        ),
        tries="call, execute, waking for no reason",
    ),
    mutant(
        "drain-registers-late",
        "Who waits for a drain looks first and says then that it waits",
        diff(
            LIFECYCLE,
            """
                 try:
        -            self._parked.append(parker)
        -            while not self._drained(version, closing):
        +            drained = self._drained(version, closing)
        +            self._parked.append(parker)
        +            while not drained:
                         left = None if deadline is None else deadline - self._clock.now()
                         if left is not None and left <= 0:
                             return False
                         parker.park(left)
        +                drained = self._drained(version, closing)
                     return True
            """,
        ),
        tries="call, execute",
    ),
    mutant(
        "timeout-is-a-drain",
        "A drain that times out counts as done",
        diff(
            LIFECYCLE,
            """
                         if left is not None and left <= 0:
        -                    return False
        +                    return True
                         parker.park(left)
            """,
        ),
        tries="call, execute, may time out",
    ),
    mutant(
        "drain-does-not-heed-close",
        "An upgrader that waits for a drain is not told of a close",
        diff(
            LIFECYCLE,
            """
                 self._settle()
        -        if not closing:
        -            self._refuse_closed()
                 return version.drained or self.abandoned
            """,
        ),
        tries="survivors: heeds_a_close",
    ),
    mutant(
        "drains-the-new-version",
        "The upgrade waits for the calls on the version it has just published",
        swap(
            UPGRADE,
            "if not protocol.await_drain(old, policy.drain_timeout):",
            "if not protocol.await_drain(candidate, policy.drain_timeout):",
        ),
        tries="call, execute",
    ),
    mutant(
        "no-drain",
        "The upgrade commits and returns without waiting for the calls on the old version",
        swap(
            UPGRADE,
            "if not protocol.await_drain(old, policy.drain_timeout):",
            "if policy.cutover is Cutover.EXCLUSIVE and not protocol.await_drain(old, policy.drain_timeout):",
        ),
        tries="call, execute",
    ),
)
