"""What becomes of an upgrade that fails: all is as it was before."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import PROTOCOL, UPGRADE

ROLLBACK: Final = (
    mutant(
        "failed-prepare-sticks",
        "A prepare that failed does not give the plugin up",
        swap(
            UPGRADE,
            "undone = self._protocol.abort(attempt, type(error).__name__)",
            "undone = True",
        ),
        tries="failures: bad_module",
        seed=1,
    ),
    mutant(
        "rolled-back-for-ever",
        "An upgrade that timed out stays in ROLLED_BACK",
        diff(
            PROTOCOL,
            """
        -        self._owner = attempt if executed else None
        +        self._owner, attempt.decided = (attempt, False) if executed else (None, True)
                 self.phase.value = HotReloadState.ROLLED_BACK if executed else HotReloadState.ACTIVE
            """,
        ),
        tries="call, execute, may time out | upgrade: rollback",
        seed=2,
    ),
    mutant(
        "manifest-at-prepare",
        "A prepare replaces the manifest, the code follows at the upgrade",
        diff(
            PROTOCOL,
            """
                 candidate.wake = self.wake
        +        self.current.value.manifest = manifest
                 attempt.candidate, candidate.live.value = candidate, True
            """,
        ),
        tries="upgrade, cancel",
        seed=3,
    ),
    mutant(
        "manifest-before-code",
        "The upgrade publishes the new manifest in one step and the new code in another",
        diff(
            PROTOCOL,
            """
                 candidate.attention.value = True  # until those who wait are served: no newcomer passes
        +        old.manifest = candidate.manifest
                 self.current.value = candidate
            """,
        ),
        tries="call, execute, may time out",
    ),
    mutant(
        "rollback-keeps-the-new-version",
        "A rollback does not make the old version current again",
        diff(
            PROTOCOL,
            """
                     self._reinstate(attempt.old)
        -            self.current.value = attempt.old
                     self._open_gate()
            """,
        ),
        tries="call, execute, may time out",
    ),
    mutant(
        "rollback-reinstates-nothing",
        "A rollback makes the old version current and leaves it retired",
        diff(
            PROTOCOL,
            """
        -            self._reinstate(attempt.old)
                     self.current.value = attempt.old
                     self._open_gate()
            """,
        ),
        tries="call, execute, may time out",
    ),
    mutant(
        "rollback-leaks-the-candidate",
        "A rollback does not retire the candidate",
        diff(
            PROTOCOL,
            """
        -        self._drop_candidate(attempt)
                 self._settle()
                 book = self._failed(reason)
            """,
        ),
        tries="call, execute, may time out",
    ),
    mutant(
        "rollback-leaves-the-interrupt",
        "After an interrupt that was of no use, the old version's calls are stopped for ever",
        diff(
            PROTOCOL,
            """
                 if attempt.old is not None:
        -            attempt.old.code.interrupt(False)
                     self._reinstate(attempt.old)
            """,
        ),
        tries="upgrade: heed | upgrade: interrupt",
    ),
    mutant(
        "rollback-after-close",
        "An upgrader that fails after a close brings the old version back",
        swap(
            PROTOCOL,
            "if self._owner is not attempt or attempt.decided or self.closed.value:",
            "if self._owner is not attempt or attempt.decided:",
        ),
        tries="core: cut_short",
    ),
    mutant(
        "rollback-after-commit",
        "A failure after the commit rolls the upgrade back",
        swap(
            PROTOCOL,
            "if self._owner is not attempt or attempt.decided or self.closed.value:",
            "if self._owner is not attempt or self.closed.value:",
        ),
        swap(
            UPGRADE,
            "if not attempt.decided and protocol.abort(attempt, type(failure).__name__):",
            "if protocol.abort(attempt, type(failure).__name__):",
        ),
        tries="failures: after_the_commit",
    ),
    mutant(
        "replaces-only-what-it-decides",
        "A Ctrl-C right after the rollback leaves interrupted instances unreplaced",
        swap(
            UPGRADE,
            "attempt.old is not None:\n                self.replace_instances()",
            "attempt.old is not None and not attempt.decided:\n                self.replace_instances()",
        ),
        tries="upgrade: right_after_the_rollback",
    ),
    mutant(
        "ctrl-c-keeps-the-token",
        "Only errors are undone: a Ctrl-C in an upgrade leaves its token behind",
        diff(
            UPGRADE,
            """
                     self._commit(attempt, started)
        -        except BaseException as error:
        +        except Exception as error:
                     failure = error
            """,
        ),
        tries="failures: KeyboardInterrupt",
    ),
    mutant(
        "ctrl-c-in-prepare-keeps-the-token",
        "Only errors are undone: a Ctrl-C in a prepare leaves its token behind",
        diff(
            UPGRADE,
            """
                     protocol.offer(attempt, code, manifest, made)
        -        except BaseException as error:
        +        except Exception as error:
                     try:
            """,
        ),
        tries="failures: KeyboardInterrupt",
    ),
)
