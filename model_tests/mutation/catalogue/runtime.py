"""Real wasm: fuel, deadlines, interrupts, values, instances."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import CODE, DEADLINE, INSTANCE, VALUES

RUNTIME: Final = (
    mutant(
        "fuel-is-never-refilled",
        "An instance gets its fuel once, and not for each call",
        diff(
            INSTANCE,
            """
        +        first = not self._deadline._ends_at
                 self._deadline.arm(self._store, self._timeout_s)
        -        if self._fuel:
        +        if self._fuel and first:
                     self._store.set_fuel(self._fuel)
            """,
        ),
        tries="runtime calls: fuel",
        seed=11,
    ),
    mutant(
        "one-deadline-for-all-calls",
        "The deadline is that of an instance's first call",
        swap(DEADLINE, "self._ends_at = now + timeout_s", "self._ends_at = self._ends_at or now + timeout_s"),
        tries="runtime calls: deadline",
    ),
    mutant(
        "deadline-is-centiseconds",
        "The deadline is ten times what the manifest says",
        swap(INSTANCE, "self._timeout_s = limits.timeout_ms / 1000", "self._timeout_s = limits.timeout_ms / 100"),
        tries="runtime calls: too_long",
    ),
    mutant(
        "an-interrupt-stops-everybody",
        "An interrupt reaches the calls of every version",
        swap(CODE, "self._interrupted = StopFlag()", "self._interrupted = _EVERYBODY"),
        diff(
            CODE,
            """
             INIT, PROBE = "hotswap_init", "hotswap_probe"
            +_EVERYBODY = StopFlag()
            """,
        ),
        tries="runtime stop: own_version",
    ),
    mutant(
        "an-interrupt-is-never-taken-back",
        "An interrupt cannot be taken back",
        swap(CODE, "self._interrupted.on = stop", "self._interrupted.on = True"),
        tries="runtime stop: taken_back",
    ),
    mutant(
        "a-trap-breaks-nothing",
        "An instance that trapped counts as good",
        swap(INSTANCE, "self.broken = not isinstance(error, OutOfMemory)", "self.broken = False"),
        tries="runtime calls: trapped | runtime calls",
    ),
    mutant(
        "a-full-memory-breaks",
        "An instance that had no room for a call's bytes is discarded",
        swap(INSTANCE, "self.broken = not isinstance(error, OutOfMemory)", "self.broken = True"),
        tries="runtime bytes: no_room",
    ),
    mutant(
        "arguments-wrap",
        "An i32 argument that is too large is cut to 32 bits",
        diff(
            VALUES,
            """
                 if not low <= number <= high:
        -            raise _outside(bits, number)
        +            number = (number - low) % (1 << bits) + low
                 return number
            """,
        ),
        tries="runtime values",
    ),
    mutant(
        "instances-are-not-counted-out",
        "A closed instance stays in the count of those that live",
        diff(
            INSTANCE,
            """
                     CENSUS.enter()
        -            self._exits.callback(CENSUS.leave)
                     TICKER.enter()
            """,
        ),
        tries="runtime load: nothing_behind | runtime stop: dropped",
    ),
    mutant(
        "stores-are-not-closed",
        "The store of a closed instance is left to the garbage collector",
        diff(
            INSTANCE,
            """
                     self._exits.callback(self._deadline.close)
        -            self._exits.callback(delete_store, self._store)
                     self._store.set_limits(
            """,
        ),
        tries="survivors: store | runtime stop",
    ),
    mutant(
        "memory-limit-in-megabits",
        "The memory limit is an eighth of what the manifest says",
        swap(INSTANCE, "return megabytes << 20", "return megabytes << 17"),
        tries="runtime load: memory_grows",
    ),
    mutant(
        "a-reply-may-end-beyond",
        "A reply that ends one byte beyond the memory is taken",
        swap(INSTANCE, "if start + size > limit:", "if start + size > limit + 1:"),
        tries="runtime bytes: outside_the_memory",
    ),
    mutant(
        "a-reply-may-not-end-at-the-end",
        "A reply that ends with the last byte of the memory is refused",
        swap(INSTANCE, "if start + size > limit:", "if start + size >= limit:"),
        tries="runtime bytes: last_byte",
    ),
    mutant(
        "the-reply-is-not-freed",
        "The block of a reply is not given back to the plugin",
        diff(
            INSTANCE,
            """
                 self._step(FREE, _i32(pointer), len(data))
        -        self._step(FREE, _i32(reply), _i32(size))
                 return result
            """,
        ),
        tries="runtime bytes: freed",
    ),
    mutant(
        "init-runs-once-a-version",
        "The init export runs in the first instance only",
        diff(
            CODE,
            """
        -            self._run(instance, INIT, InitFailed)
                     if probe:
        +                self._run(instance, INIT, InitFailed)
                         self._run(instance, PROBE, ProbeFailed)
            """,
        ),
        tries="runtime load: every_instance",
    ),
    mutant(
        "probe-before-init",
        "The probe runs before the init",
        diff(
            CODE,
            """
        -            self._run(instance, INIT, InitFailed)
                     if probe:
                         self._run(instance, PROBE, ProbeFailed)
        +            self._run(instance, INIT, InitFailed)
            """,
        ),
        tries="runtime load: in_this_order",
    ),
    mutant(
        "dead-ticker",
        "A ticker that has died is not started anew, and calls run for ever",
        diff(
            DEADLINE,
            """
        -        if now - TICKER.beat > STALE_S:
        -            TICKER.revive()
                 self._ends_at = now + timeout_s
            """,
        ),
        tries="runtime stop: revived",
    ),
)
