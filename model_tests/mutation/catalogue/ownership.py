"""Who owns an upgrade: claim, offer, cancel, begin, finish."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import PROTOCOL, UPGRADE

OWNERSHIP: Final = (
    mutant(
        "two-prepares",
        "A second prepare claims what the first one owns",
        diff(
            PROTOCOL,
            """
                 self._refuse_closed()
        -        if self._owner is not None:
        -            raise self._busy()
                 book = replace(self.book.value, attempts=self.book.value.attempts + 1)
            """,
        ),
        tries="execute, upgrade | upgrade: second_attempt",
        seed=10,
    ),
    mutant(
        "claim-takes-no-lock",
        "A claim looks and then takes, in two steps",
        diff(
            PROTOCOL,
            """
        -    @locked
             def claim(self, attempt: Attempt) -> None:
            """,
        ),
        tries="upgrade, upgrade | execute, upgrade",
    ),
    mutant(
        "cancelled-and-offered",
        "A prepare that was cancelled meanwhile offers its candidate",
        diff(
            PROTOCOL,
            """
        -        self._refuse_lost(attempt)
        +        self._refuse_closed()
                 self._versions += 1
            """,
        ),
        tries="upgrade, cancel",
        seed=9,
    ),
    mutant(
        "cancel-beside-execute",
        "A cancel wins over an upgrade that already executes",
        swap(PROTOCOL, "if self.phase.value is not HotReloadState.PREPARING_UPGRADE:", "if self.closed.value:"),
        tries="execute, cancel",
        seed=8,
    ),
    mutant(
        "cancel-leaks-the-candidate",
        "A cancel does not retire the candidate",
        diff(
            PROTOCOL,
            """
                 self.phase.value = HotReloadState.ACTIVE
        -        try:
        -            self._drop_candidate(attempt)
        -        except BaseException:
        -            self._drop_candidate(attempt)
        -            raise
                 return True
            """,
        ),
        tries="cancel",
    ),
    mutant(
        "cancel-does-not-sweep",
        "A cancel leaves the candidate to be reclaimed by the next upgrade",
        diff(
            UPGRADE,
            """
                     return self._protocol.cancel()
                 finally:
        -            try:
        -                self._sweep()
        -            except BaseException:
        -                self._sweep()
        -                raise
        +            pass
            """,
        ),
        tries="cancel",
    ),
    mutant(
        "cancel-is-a-failure",
        "A cancel is counted as a failure",
        swap(
            PROTOCOL,
            "book = replace(book, cancelled_upgrades=book.cancelled_upgrades + 1)",
            'book = self._failed("UpgradeCancelled")',
        ),
        tries="cancel",
    ),
    mutant(
        "executes-anothers-candidate",
        "`upgrade` executes whatever is prepared when it gets there",
        diff(
            PROTOCOL,
            """
        -        if prepared is not None:
        -            self._refuse_lost(prepared)
                 if self._owner is None:
            """,
        ),
        tries="upgrade, cancel | upgrade: no_other",
    ),
    mutant(
        "executes-what-executes",
        "A second execute takes over an upgrade that already executes",
        swap(
            PROTOCOL,
            "if self.phase.value is not HotReloadState.PREPARING_UPGRADE or candidate is None:",
            "if candidate is None:",
        ),
        tries="upgrade: two_executes",
    ),
    mutant(
        "begin-keeps-nothing",
        "The old version may be reclaimed while the upgrade can still roll back",
        swap(
            PROTOCOL, "self._owner, self._kept = old, candidate, attempt, old", "self._owner = old, candidate, attempt"
        ),
        tries="core: before_the_commit",
    ),
    mutant(
        "anybody-aborts",
        "An abort does not ask who owns the upgrade",
        swap(
            PROTOCOL,
            "if self._owner is not attempt or attempt.decided or self.closed.value:",
            "if attempt.decided or self.closed.value:",
        ),
        tries="execute, upgrade",
    ),
    mutant(
        "phase-is-left",
        "A finished upgrade gives up its token, and leaves the phase where it was",
        diff(
            PROTOCOL,
            """
                     self._settle()
                     self._owner = None
        -            self.phase.value = HotReloadState.ACTIVE
            """,
        ),
        tries="call, execute",
    ),
    mutant(
        "token-is-kept",
        "A finished upgrade goes back to ACTIVE, and keeps its token",
        diff(
            PROTOCOL,
            """
                     self._settle()
        -            self._owner = None
                     self.phase.value = HotReloadState.ACTIVE
            """,
        ),
        tries="call, execute",
    ),
)
