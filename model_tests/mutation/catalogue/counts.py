"""Counts: attempts, failures, drain times, calls in flight."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import LIFECYCLE, PROTOCOL, STATE, UPGRADE, VERSION

COUNTS: Final = (
    mutant(
        "failed-prepares-are-not-counted",
        "A prepare that failed is not counted as a failed upgrade",
        swap(
            PROTOCOL,
            "        book = self._failed(reason)",
            "        book = self._failed(reason) if executed else self.book.value",
        ),
        tries="failures: bad_module",
        seed=19,
    ),
    mutant(
        "busy-is-an_attempt".replace("_", "-"),
        "A prepare that is refused as Busy is counted as an attempt",
        diff(
            PROTOCOL,
            """
        +        book = replace(self.book.value, attempts=self.book.value.attempts + 1)
        +        self.book.value = book
                 if self._owner is not None:
                     raise self._busy()
        -        book = replace(self.book.value, attempts=self.book.value.attempts + 1)
        -        self.book.value, self._owner = book, attempt
        +        self._owner = attempt
            """,
        ),
        tries="execute, upgrade",
    ),
    mutant(
        "reasons-are-overwritten",
        "The second failure for one reason is lost",
        swap(PROTOCOL, "reason: book.failures.get(reason, 0) + 1}", "reason: 1}"),
        tries="survivors: counts",
    ),
    mutant(
        "longest-drain-is-the-last",
        "The longest drain is the latest one",
        swap(PROTOCOL, "max(book.max_drain_time_us, drain_us)", "drain_us"),
        tries="survivors: counts",
    ),
    mutant(
        "drain-times-are-not-added",
        "The total of drain times is the latest one",
        swap(PROTOCOL, "total_drain_time_us=book.total_drain_time_us + drain_us", "total_drain_time_us=drain_us"),
        tries="survivors: counts",
    ),
    mutant(
        "drain-time-in-milliseconds",
        "Drain times are milliseconds",
        swap(UPGRADE, "(self._ports.clock.now() - started) * 1_000_000", "(self._ports.clock.now() - started) * 1_000"),
        tries="survivors: counts",
    ),
    mutant(
        "version-is-attempts",
        "`stats().version` counts attempts",
        swap(STATE, "return self.successful_upgrades", "return self.attempts"),
        tries="call, upgrade, cancel | failures",
    ),
    mutant(
        "gathered-leases-are-in-flight",
        "What the drain has taken in counts as in flight",
        swap(
            VERSION,
            "return self.size - len(self.free) - len(self.tombs) - len(self.gathered)",
            "return self.size - len(self.free) - len(self.tombs)",
        ),
        tries="survivors: in_flight | upgrade",
    ),
    mutant(
        "in-flight-of-the-wrong-version",
        "Calls in flight on a retired version are counted for the current one",
        swap(
            LIFECYCLE,
            "max(0, version.in_flight) for version in",
            "max(0, self.current.value.in_flight) for version in",
        ),
        tries="survivors: in_flight | upgrade",
    ),
    mutant(
        "the-current-version-is-retired-too",
        "The count of retired versions includes the current one",
        swap(STATE, "return max(0, len(self.in_flight) - 1)", "return len(self.in_flight)"),
        tries="survivors: in_flight | upgrade",
    ),
    mutant(
        "discards-are-not-counted",
        "Instances lost to traps are not counted",
        diff(
            LIFECYCLE,
            """
        -        self.discarded += 1
                 lease.version.tombs.append(lease)
            """,
        ),
        tries="upgrade: trapped",
    ),
)
