"""Ctrl-C: what looks like twice too much, until a signal strikes between two steps."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import CORE, LOCKED, PLUGIN, PROTOCOL, UPGRADE

INTERRUPTS: Final = (
    mutant(
        "cut-short-in-silence",
        "A critical section that is cut short wakes nobody",
        diff(
            LOCKED,
            """
                 except BaseException:
        -            self.wake()
                     raise
            """,
        ),
        tries="survivors: cut_short",
    ),
    mutant(
        "end-is-not-run-again",
        "A Ctrl-C in the end of an upgrade leaves it half done",
        diff(
            UPGRADE,
            """
                         self._end(attempt, failure)
                     except BaseException:
        -                try:
        -                    self._end(attempt, failure)
        -                except BaseException:
        -                    self._end(attempt, failure)
        -                    raise
                         raise
            """,
        ),
        tries="interrupts: upgrade and OVERLAP and idle",
    ),
    mutant(
        "end-is-run-twice-only",
        "A second Ctrl-C, while the end of an upgrade is done anew after the first, leaves it half done",
        diff(
            UPGRADE,
            """
        -                try:
        -                    self._end(attempt, failure)
        -                except BaseException:
        -                    self._end(attempt, failure)
        -                    raise
        +                self._end(attempt, failure)
                         raise
            """,
        ),
        tries="faults: undoes",
    ),
    mutant(
        "decided-and-not-done",
        "A Ctrl-C between the decision to interrupt the old version's calls and that leaves them running",
        diff(
            UPGRADE,
            """
        -            if attempt.overdue and not protocol.closed.value and protocol.current.value is attempt.candidate:
        -                protocol.interrupt(attempt.old)  # it is committed, with that decision
        -                attempt.overdue = False
            """,
        ),
        tries="faults: one_fault and interrupt",
    ),
    mutant(
        "drop-is-not-run-again",
        "A Ctrl-C while a failed prepare is undone leaves it half undone",
        diff(
            UPGRADE,
            """
                         undone = self._drop(attempt, made, error)
                     except BaseException:
        -                try:
        -                    self._drop(attempt, made, error)
        -                except BaseException:
        -                    self._drop(attempt, made, error)
        -                    raise
                         raise
            """,
        ),
        tries="survivors of ctrl-c: prepare_that_fails",
    ),
    mutant(
        "withdraw-is-not-run-again",
        "A Ctrl-C while `upgrade` withdraws what it had prepared leaves it prepared",
        diff(
            PLUGIN,
            """
                         self._upgrades.withdraw(prepared, error)
                     except BaseException:
        -                self._upgrades.withdraw(prepared, error)
                         raise
            """,
        ),
        tries="survivors of ctrl-c: nothing_prepared",
    ),
    mutant(
        "close-is-not-run-again",
        "A Ctrl-C in the first step of a close leaves the plugin half closed",
        diff(
            UPGRADE,
            """
                     protocol.close()
                 except BaseException:
        -            protocol.close()
                     raise
            """,
        ),
        tries="survivors of ctrl-c: close",
    ),
    mutant(
        "who-leaves-the-queue-is-not-made-sure-of",
        "A Ctrl-C while a call leaves the queue leaves it there",
        diff(
            CORE,
            """
                             self._leave(waiter)
                         except BaseException:
        -                    self._leave(waiter)
                             raise
            """,
        ),
        tries="interrupts: waits",
    ),
    mutant(
        "the-traceback-keeps-the-lease",
        "Who keeps the exception that cut a call short keeps the call's lease",
        diff(
            PLUGIN,
            """
        -        traceback.clear_frames(error.__traceback__)
                 self._protocol.settle()
            """,
        ),
        tries="interrupts: call and OVERLAP and idle",
    ),
    mutant(
        "cancel-drops-once",
        "A Ctrl-C in a cancel leaves the candidate behind",
        diff(
            PROTOCOL,
            """
                     self._drop_candidate(attempt)
                 except BaseException:
        -            self._drop_candidate(attempt)
                     raise
            """,
        ),
        tries="interrupts: cancel and OVERLAP and idle",
    ),
    mutant(
        "counted-before-it-is-decided",
        "A rollback counts the failure in one step and decides in another, with a call between them",
        swap(
            PROTOCOL,
            """        book = self._failed(reason)
        self.book.value, attempt.decided, self._kept = book, True, None
""",
            """        self.book.value = self._failed(reason)
        self._settle()
        attempt.decided, self._kept = True, None
""",
        ),
        tries="interrupts: rollback and OVERLAP and idle | interrupts: failed_prepare and OVERLAP and idle",
    ),
)
