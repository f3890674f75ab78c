"""How a call is admitted, waits and is served: the core's own steps."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import CORE, PLUGIN, VERSION

ADMISSION: Final = (
    mutant(
        "release-does-not-look",
        "A release does not look whether somebody waits",
        diff(
            CORE,
            """
                     (version.tombs if lease.dead else version.free).append(lease)
                 finally:
        -            if version.attention.value:
        -                self.settle()
        +            pass
            """,
        ),
        tries="two calls",
    ),
    mutant(
        "settle-before-append",
        "A release tells those who wait before its lease is home: the notice comes before the change",
        diff(
            CORE,
            """
                 version = lease.version
        -        try:
        -            (version.tombs if lease.dead else version.free).append(lease)
        -        finally:
        -            if version.attention.value:
        -                self.settle()
        +        if version.attention.value:
        +            self.settle()
        +        (version.tombs if lease.dead else version.free).append(lease)
            """,
        ),
        tries="two calls",
    ),
    mutant(
        "newcomers-pass",
        "A newcomer takes a free lease without a look at who waits",
        diff(
            CORE,
            """
                 version = self.current.value
        -        if version.attention.value:
        -            return None
                 try:
                     return version.free.pop()
            """,
        ),
        tries="core: newcomer",
    ),
    mutant(
        "look-before-the-queue",
        "Who is about to wait looks for a lease first and queues then, with no look in between",
        diff(
            CORE,
            """
        +        self._settle()
                 self._waiters.append(waiter)
        -        self._settle()
        +        self.current.value.attention.value = True
                 return self._left(waiter)
            """,
        ),
        tries="two calls",
    ),
    mutant(
        "queue-parks-once",
        "Who waits for a lease parks once: `if` for `while`",
        swap(
            CORE,
            "while waiter.lease is None and (left is None or left > 0):",
            "if waiter.lease is None and (left is None or left > 0):",
        ),
        tries="two calls, waking for no reason",
    ),
    mutant(
        "last-come-first-served",
        "Who comes last is served first",
        swap(CORE, "self._waiters.append(waiter)", "self._waiters.appendleft(waiter)"),
        tries="core: newcomer | upgrade: first_come",
    ),
    mutant(
        "served-and-not-told",
        "Who is given a lease is not woken",
        diff(
            CORE,
            """
                 while self._waiters and self._waiters[0].lease is not None:
        -            self._waiters[0].parker.unpark()
                     del self._waiters[0]
            """,
        ),
        tries="two calls",
    ),
    mutant(
        "no-look-after-a-wake",
        "Who wakes does not settle before it looks, and misses a lease that came home by itself",
        diff(
            CORE,
            """
             def _look(self, waiter: Waiter) -> float | None:
        -        self._settle()
                 if waiter.lease is None:
            """,
        ),
        tries="call, lose",
    ),
    mutant(
        "closed-is-not-looked-for",
        "Who wakes does not look whether the plugin was closed",
        diff(
            CORE,
            """
                 self._settle()
        -        if waiter.lease is None:
        -            self._refuse_closed()
                 return self._left(waiter)
            """,
        ),
        tries="survivors: wakes_who_waits",
    ),
    mutant(
        "closed-is-not-looked-for-at-the-queue",
        "Who queues does not look whether the plugin was closed",
        diff(
            CORE,
            """
             def _enqueue(self, waiter: Waiter) -> float | None:
        -        self._refuse_closed()
                 waiter.since = self._open_clock()
            """,
        ),
        tries="call, close | upgrade: close",
    ),
    mutant(
        "a-closed-plugin-serves-who-waits",
        "A lease that comes home after the close goes to a call that waits",
        swap(CORE, "may_be = self._waiters and not self.closed.value and", "may_be = self._waiters and"),
        tries="core: closing",
    ),
    mutant(
        "concurrent-calls-are-refused",
        "A call that finds no free instance is refused instead of waiting for one",
        swap(PLUGIN, "self._protocol.queue(self._queue_timeout)", "self._protocol.queue(0)"),
        tries="two calls",
        seed=5,
    ),
    mutant(
        "lost-lease",
        "A lease whose holder was struck by an exception does not come home",
        swap(
            VERSION,
            "if version is not None and version.live.value:",
            "if version is not None and version.live.value and self.dead:",
        ),
        tries="call, lose | core",
        seed=12,
    ),
    mutant(
        "lost-lease-wakes-nobody",
        "A lease that comes home by its finalizer wakes nobody",
        diff(
            VERSION,
            """
                     version.home_of(lease).append(lease)
        -            version.wake()
            """,
        ),
        tries="call, lose",
    ),
    mutant(
        "lost-lease-wakes-too-early",
        "A finalizer wakes those who wait, and sends the lease home then",
        diff(
            VERSION,
            """
        -            version.home_of(lease).append(lease)
                     version.wake()
        +            version.home_of(lease).append(lease)
            """,
        ),
        tries="call, lose",
    ),
)
GATE: Final = (
    mutant(
        "gate-lets-newcomers-in",
        "The gate stops nobody: calls keep entering the old version while it drains",
        swap(CORE, "(self._shut_since is None or self._waiters[0].held)", "True"),
        tries="survivors: gate_stops",
    ),
    mutant(
        "gate-stops-who-was-held",
        "The next gate stops a call that was held by the one before",
        swap(CORE, "(self._shut_since is None or self._waiters[0].held)", "self._shut_since is None"),
        tries="core | upgrade: next_gate",
    ),
    mutant(
        "held-is-not-marked",
        "Who waits when a gate opens gets no right to pass the next one",
        diff(
            CORE,
            """
                 if self._shut_since is not None:
        -            for waiter in self._waiters:
        -                waiter.held = True
                     now = self._clock.now()
            """,
        ),
        tries="core",
    ),
    mutant(
        "gate-opens-in-silence",
        "Who is held is not woken when the gate opens, and its queue timeout does not begin",
        diff(
            CORE,
            """
                     self._shut_s_total, self._shut_since = self._shut_s_total + now - self._shut_since, None
        -            self.wake()
            """,
        ),
        tries="survivors: gate | two calls, execute, exclusive",
    ),
    mutant(
        "gate-time-counts",
        "Time at the gate counts towards the queue timeout once the gate is open",
        swap(
            CORE,
            "self._shut_s_total, self._shut_since = self._shut_s_total + now - self._shut_since, None",
            "self._shut_since = None",
        ),
        tries="core: shut_gate",
    ),
    mutant(
        "gate-time-runs",
        "The queue timeout runs on while the gate is shut",
        swap(
            CORE,
            "return waiter.timeout - (self._open_clock() - waiter.since) if self._shut_since is None else None",
            "return waiter.timeout - (self._clock.now() - self._shut_s_total - waiter.since)",
        ),
        tries="core: shut_gate",
    ),
    mutant(
        "gate-stays-shut-after-rollback",
        "A rollback does not open the gate",
        diff(
            "impl/hotswap/_protocol.py",
            """
                     self.current.value = attempt.old
        -            self._open_gate()
                 self._drop_candidate(attempt)
            """,
        ),
        tries="core | upgrade: held_at_the_gate",
    ),
    mutant(
        "gate-never-opens-again",
        "Neither a rollback nor the end of the attempt opens the gate",
        diff(
            "impl/hotswap/_protocol.py",
            """
                     self.current.value = attempt.old
        -            self._open_gate()
                 self._drop_candidate(attempt)
            """,
        ),
        diff(
            "impl/hotswap/_protocol.py",
            """
                 if self._owner is attempt and attempt.decided and not self.closed.value:
        -            self._open_gate()
                     self._settle()
            """,
        ),
        tries="call, execute, exclusive, may time out",
    ),
)
