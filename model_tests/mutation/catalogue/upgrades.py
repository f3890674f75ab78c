"""What an upgrade does in which order: prepare, publish, drain timeouts, commit; and what it leaves behind."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import FRAMES, PLUGIN, PROTOCOL, UPGRADE

PREPARE: Final = (
    mutant(
        "no-probe",
        "A candidate is not probed",
        swap(UPGRADE, "made.append(code.instantiate(probe=not made))", "made.append(code.instantiate(probe=False))"),
        tries="failures: bad_module",
        seed=17,
    ),
    mutant(
        "half-a-candidate",
        "A candidate has one instance, whatever its manifest says",
        swap(UPGRADE, "while len(made) < manifest.resources.max_instances:", "if not made:"),
        tries="survivors: instances | upgrade",
    ),
    mutant(
        "failed-prepare-leaks",
        "The instances of a prepare that failed are not closed",
        diff(
            UPGRADE,
            """
        -            for instance in made:
        -                instance.close()
        +            made.clear()
                 return undone
            """,
        ),
        tries="upgrade, cancel | failures",
    ),
    mutant(
        "failed-register-leaks",
        "The instances of a plugin that could not be made are not closed",
        diff(
            PLUGIN,
            """
                 except BaseException:
        -            for instance in made:
        -                instance.close()
                     raise
                 first.live.value = True
            """,
        ),
        tries="survivors: register | failures",
    ),
    mutant(
        "upgrade-leaves-what-it-prepared",
        "An `upgrade` that fails between prepare and execute leaves its candidate prepared",
        diff(
            UPGRADE,
            """
        -        self._drop(prepared, [], error)
        +        self.last_failure = None
            """,
        ),
        tries="failures: prepared",
    ),
    mutant(
        "upgrade-waits-for-itself",
        "An upgrade from inside the plugin's own call is not refused, and waits for that call",
        swap(
            FRAMES,
            'if frame.f_code in among and frame.f_locals.get("self") is this:',
            'if frame.f_code in among and frame.f_locals.get("self") is None:',
        ),
        tries="survivors: inside | upgrade: refused_at_once",
        seed=18,
    ),
    mutant(
        "drain-timeout-of-the-start",
        "The drain timeout is the one given at the start, whatever is set later",
        diff(
            PLUGIN,
            """
             def drain_timeout(self, seconds: float) -> None:
        -        self._drain_timeout = seconds_of("drain_timeout", seconds)
        +        seconds_of("drain_timeout", seconds)
            """,
        ),
        tries="upgrade: in_force | survivors",
        seed=20,
    ),
)
PUBLISH: Final = (
    mutant(
        "publish-takes-no-lock",
        "A publish retires the old version first, and takes no lock",
        diff(
            PROTOCOL,
            """
        -    @locked
             def publish(self, old: Version, candidate: Version) -> None:
            """,
        ),
        diff(
            PROTOCOL,
            """
        -        self.current.value = candidate
                 self._retire(old)
                 self._settle()
        +        self.current.value = candidate
            """,
        ),
        tries="two calls, execute",
    ),
    mutant(
        "newcomers-pass-at-a-publish",
        "At a publish newcomers pass those who wait",
        diff(
            PROTOCOL,
            """
        -        candidate.attention.value = True  # until those who wait are served: no newcomer passes
                 self.current.value = candidate
            """,
        ),
        tries="core: version_changes",
    ),
    mutant(
        "newcomers-pass-at-a-commit",
        "At the commit of an EXCLUSIVE upgrade newcomers pass those who were held",
        diff(
            PROTOCOL,
            """
        -        candidate.attention.value = True
                 self.current.value = candidate
                 self.book.value, attempt.decided, self._kept = book, True, None
            """,
        ),
        tries="survivors: newcomer",
    ),
    mutant(
        "published-and-not-retired",
        "A publish does not retire the old version",
        diff(
            PROTOCOL,
            """
                 self.current.value = candidate
        -        self._retire(old)
                 self._settle()
            """,
        ),
        tries="call, execute",
    ),
    mutant(
        "publish-after-close",
        "An upgrade that has not published yet does so after a close",
        diff(
            PROTOCOL,
            """
        -        self._refuse_closed()
                 candidate.attention.value = True  # until those who wait are served: no newcomer passes
            """,
        ),
        tries="survivors: publishes_nothing",
    ),
    mutant(
        "exclusive-is-overlap",
        "EXCLUSIVE holds nobody and publishes at once, as OVERLAP does",
        diff(
            PROTOCOL,
            """
        -        if cutover is Cutover.EXCLUSIVE:
        +        if old is candidate:
                     self.phase.value = HotReloadState.DRAINING
            """,
        ),
        diff(
            UPGRADE,
            """
        -            if policy.cutover is Cutover.OVERLAP:
        +            if attempt.old is not None:
                         protocol.publish(old, candidate)
            """,
        ),
        tries="two calls, execute, exclusive | call, execute, exclusive",
    ),
)
TIMEOUTS: Final = (
    mutant(
        "detach-without-bound",
        "Any number of versions may be detached",
        swap(UPGRADE, "if others < policy.max_detached:", "if others >= 0:"),
        tries="upgrade: bounded",
    ),
    mutant(
        "detach-counts-its-own",
        "The bound on detached versions counts the version that is to be detached",
        swap(
            UPGRADE,
            "others = sum(version is not old for version in protocol.retired())",
            "others = len(protocol.retired())",
        ),
        tries="upgrade: bounded | upgrade: detach",
    ),
    mutant(
        "interrupt-publishes-at-once",
        "EXCLUSIVE does not wait until the calls that it interrupts have left",
        swap(
            UPGRADE,
            "if protocol.await_drain(old, INTERRUPT_GRACE_S) or attempt.decided:",
            "if protocol.await_drain(old, INTERRUPT_GRACE_S) or not attempt.decided or attempt.decided:",
        ),
        tries="upgrade: not_heed",
    ),
    mutant(
        "interrupt-stops-who-was-held",
        "An interrupt lets calls in that were held, to be stopped",
        diff(
            PROTOCOL,
            """
        -        for waiter in self._waiters:
        -            waiter.held = False
                 old.code.interrupt(True)
            """,
        ),
        tries="upgrade: not_inside_yet",
    ),
    mutant(
        "interrupts-the-new-version",
        "An interrupt stops the calls on the version that was just published",
        swap(UPGRADE, "protocol.interrupt(old)", "protocol.interrupt(protocol.current.value)"),
        tries="upgrade: no_others",
    ),
    mutant(
        "close-is-told-as-a-timeout",
        "An upgrader whose drain timeout passes after a close is told of the timeout",
        diff(
            UPGRADE,
            """
        -        protocol.confirm(attempt)  # a close that came first is what the upgrader is told
                 raise DrainTimeout(
            """,
        ),
        tries="survivors: told",
    ),
)
COMMIT: Final = (
    mutant(
        "commit-keeps-the-old",
        "After the commit the old version is still kept for a rollback, and never reclaimed",
        diff(
            PROTOCOL,
            """
        -        self.book.value, attempt.decided, self._kept = book, True, None
        +        self.book.value, attempt.decided = book, True
                 self.phase.value = HotReloadState.UPGRADE_COMPLETE
            """,
        ),
        tries="call, execute",
    ),
    mutant(
        "commit-after-close",
        "An upgrade commits though the plugin was closed meanwhile",
        diff(
            PROTOCOL,
            """
        -        self._refuse_closed()
                 book, candidate = self.book.value, attempt.candidate or self.current.value
            """,
        ),
        tries="call, execute, close | call, execute, close, exclusive",
    ),
    mutant(
        "phase-after-close",
        "An upgrade that goes on to its next phase does not notice a close",
        diff(
            PROTOCOL,
            """
        -        self._refuse_closed()
                 self.phase.value = phase
            """,
        ),
        tries="call, execute, close | call, execute, close, exclusive",
    ),
)
