"""Real wasm: fuel, deadlines, interrupts, values, instances."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import (
    CAPI_CHECK,
    CHILD_PROCESS,
    CODE,
    DEADLINE,
    INSTANCE,
    LIMITS,
    PLUGIN,
    PREPARED,
    TICKER,
    VALUES,
)

RUNTIME: Final = (
    mutant(
        "fuel-is-never-refilled",
        "An instance gets its fuel once, and not for each call",
        swap(PREPARED, "_REFUEL if metered else", "_REFUEL if False else"),
        tries="runtime calls: fuel",
        seed=11,
    ),
    mutant(
        "one-deadline-for-all-calls",
        "The deadline is that of an instance's first call",
        diff(
            DEADLINE,
            """
                 beat = TICKER.current()
                 store.set_epoch_deadline(slice_ticks(self.timeout_s))
        -        self.beat = beat
        +        self.beat = self.beat or beat
            """,
        ),
        tries="runtime calls: deadline | runtime prepared: beat",
    ),
    mutant(
        "deadline-is-centiseconds",
        "The deadline is ten times what the manifest says",
        swap(LIMITS, "limits.timeout_ms / 1000", "limits.timeout_ms / 100"),
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
        swap(LIMITS, "return self.spoiled or bool(self.trap) or deadline.reason is not None or", "return False and"),
        tries="runtime calls: trapped | runtime calls",
    ),
    mutant(
        "a-full-memory-breaks",
        "An instance that had no room for a call's bytes is discarded",
        swap(LIMITS, "self.spoiled = not isinstance(error, OutOfMemory)", "self.spoiled = True"),
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
        -            self._exits.append(partial(_leave, place, CENSUS))
                     CENSUS.enter(place)
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
                     self._exits.append(partial(close_all, self._hosts))
        -            self._exits.append(partial(delete_store, store))
                     store.set_limits(
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
        swap(PREPARED, "or start + size <= self.memory_size()", "or start + size <= self.memory_size() + 1"),
        tries="runtime bytes: outside_the_memory",
    ),
    mutant(
        "a-reply-may-not-end-at-the-end",
        "A reply that ends with the last byte of the memory is refused",
        diff(
            PREPARED,
            """
        -        return self._where is not None and (start + size <= self._size or start + size <= self.memory_size())
        +        return self._where is not None and (start + size < self._size or start + size < self.memory_size())
            """,
        ),
        tries="runtime bytes: last_byte",
    ),
    mutant(
        "the-reply-is-not-freed",
        "The block of a reply is not given back to the plugin",
        diff(
            INSTANCE,
            """
                 linkage.step(free, _i32(pointer), size)
        -        linkage.step(free, _i32(reply), _i32(reply_size))
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
        "a-close-forgets-what-was-cut-short",
        "A step of a close is off the list before it is done, and lost if Ctrl-C strikes in between",
        diff(
            INSTANCE,
            """
                     while self._exits:
        -                self._exits[-1]()
        -                self._exits.pop()
        +                self._exits.pop()()
            """,
        ),
        tries="runtime interrupts",
    ),
    mutant(
        "an-interrupt-needs-a-ticker",
        "Whoever interrupts calls does not look whether there is a tick that can stop them",
        swap(CODE, "            TICKER.supervise()\n", "            pass\n"),
        tries="runtime stop: nobody_calls",
    ),
    mutant(
        "a-late-ticker-goes-first",
        "A ticker that is late is sent away before another has begun",
        swap(
            TICKER,
            "        self.beat = beat = Beat(time.monotonic())  # first",
            "        self._shift.over = True\n        self.beat = beat = Beat(time.monotonic())  # first",
        ),
        tries="runtime stop: goes_on",
    ),
    mutant(
        "a-forked-child-waits",
        "A call in a forked child waits for an instance that its parent has",
        swap(PLUGIN, "        demand_process(self._process)\n        self._imports", "        self._imports"),
        tries="runtime stop: forked_child_does_not",
    ),
    mutant(
        "a-child-looks-in-the-current-folder",
        "The child that compiles takes any wasmtime that lies in the current folder",
        swap(
            CHILD_PROCESS,
            '"path": [found, *(each for each in sys.path if isinstance(each, str) and Path(each).is_absolute())],',
            '"path": [str(Path(each).absolute()) for each in sys.path if isinstance(each, str)],',
        ),
        tries="compile child: current_folder",
    ),
    mutant(
        "dead-ticker",
        "A ticker that has died is not started anew, and calls run for ever",
        swap(TICKER, "if time.monotonic() - beat.since <= STALE_S:", "if beat is not None:"),
        tries="runtime stop: revived",
    ),
    mutant(
        "a-dying-ticker-says-nothing",
        "A ticker that dies leaves the beat as it was, and instances that are ready in it go on trusting it",
        diff(
            TICKER,
            """
                     if not shift.over:  # it dies: the next call of each instance must notice
        -                self.beat = _DEAD
        +                return
            """,
        ),
        tries="runtime stop: revived",
    ),
    mutant(
        "ticks-drift",
        "A ticker that wakes late shifts all ticks to come",
        swap(TICKER, "tick_at = max(tick_at + TICK_S, now + BEAT_S)", "tick_at = now + TICK_S"),
        tries="runtime stop: drift",
    ),
    mutant(
        "missed-ticks-are-made-up-for",
        "After a suspend, the ticker ticks for all the time that has passed, without a pause",
        swap(TICKER, "tick_at = max(tick_at + TICK_S, now + BEAT_S)", "tick_at += TICK_S"),
        tries="runtime stop: left_out",
    ),
    mutant(
        "no-tick-is-asked-for",
        "A call that is let go on asks for no tick, and is stopped at a usual one",
        swap(DEADLINE, "        TICKER.tick_in(left_s)\n", ""),
        tries="runtime stop: asks_for",
    ),
    mutant(
        "a-usual-tick-stands-for-all",
        "A tick that was asked for is forgotten at the next usual one",
        swap(TICKER, "                if asked:\n", "                if asked or usual:\n"),
        tries="runtime stop: asked_for_is_made",
    ),
    mutant(
        "ticks-without-a-rest",
        "The ticker makes every tick that is asked for, be it a microsecond after the last",
        swap(TICKER, "max(self._asked_at - now, REST_S)", "self._asked_at - now"),
        tries="runtime stop: rest",
    ),
    mutant(
        "time-counts-from-the-beat",
        "The time of a call counts from the beginning of its beat, long ago if the ticker is late",
        swap(
            DEADLINE,
            "return beat.ended_at + self.timeout_s - now",
            "return beat.since + self.timeout_s - now",
        ),
        tries="runtime prepared: all_its_time",
    ),
    mutant(
        "the-deadline-is-set-once",
        "An instance is made ready in its first beat, and in no other",
        swap(
            PREPARED,
            "    if deadline.beat is not TICKER.beat:\n        arm(store)",
            "    if deadline.beat is None:\n        arm(store)",
        ),
        tries="runtime prepared: changed | runtime calls: deadline",
    ),
    mutant(
        "traps-are-not-freed",
        "The trap of a prepared call is copied and not freed",
        swap(
            LIMITS,
            "        return _capi.trap_from(address)\n\n    def close",
            '        _capi.trap_from(address)._consume()\n        return wasmtime.Trap("lost")\n\n    def close',
        ),
        tries="runtime prepared: million",
    ),
    mutant(
        "a-bool-is-a-number",
        "A prepared call takes True for 1",
        swap(PREPARED, 'f"{name} is True or {name} is False"', 'f"{name} is None"'),
        tries="runtime values",
    ),
    mutant(
        "the-memory-stays-where-it-was",
        "The memory is not looked up anew when it has moved",
        swap(PREPARED, "if base != self._base:", "if not self._base:"),
        tries="runtime prepared: moved",
    ),
    mutant(
        "no-headroom",
        "A prepared call enters the wasm with no frame left for the callback that stops it",
        swap(PREPARED, '"isinstance(None, HEADROOM)"', '"pass"'),
        tries="runtime stop: recursion",
    ),
    mutant(
        "a-failed-trial-is-passed-over",
        "Prepared calls are made though their trial went wrong",
        diff(
            CAPI_CHECK,
            """
                     SWITCH,
                 )
        -        return PublicLinkage
             return PreparedLinkage
            """,
        ),
        tries="runtime prepared: logged",
    ),
)
