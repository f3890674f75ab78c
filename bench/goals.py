"""What was aimed at, as ratios within one run where that is possible: is each goal met in a run?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from contenders import BODIES
from measuring import ratios
from runs import Run, megabytes, seconds, spread, times

FASTER_MIN, METERED_FASTER_MIN, BYTES_FASTER_MIN = 50, 40, 15
NO_OP_MAX, NO_OP_MAX_OLD, NEW_PYTHON = 2.0, 2.2, (3, 13)
GUARD_S_MAX = 80e-9
P99_MAX, STALL_S_MAX = 1.25, 20e-3
CACHED_S_MAX = 5e-3
PLUGINS, ROUND, PLUGINS_BYTES_MAX, FLAT_MAX = 10_000, 100, 200e6, 1.25
QUIET, BUSY = "nothing", "a busy thread"
BESIDE: Final = {QUIET: 10e-3, BUSY: 250e-3}
"""How late after its deadline a call may be stopped, by what runs beside it; 10 ms are two ticks."""
TWO_THREADS_MIN, CONTROL_MIN, BODY_S_MIN = 1.85, 1.9, 10e-6


@dataclass(frozen=True)
class Answer:
    """What was found of a goal; `met` is None where it cannot be judged."""

    found: str
    met: bool | None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "**MISSED**", None: "not judged"}[self.met]


def at_least(found: Sequence[float], least: float, form: Callable[[float], str] = times) -> Answer:
    return Answer(spread(found, form), median(found) >= least)


def at_most(found: Sequence[float], most: float, form: Callable[[float], str] = times) -> Answer:
    return Answer(spread(found, form), median(found) <= most)


def faster(run: Run, name: str, least: float, workload: str = "i32 add") -> Answer:
    return at_least(ratios(run.call("bare wasmtime-py", workload), run.call(name, workload)), least)


def near_the_floor(run: Run) -> Answer:
    recent = tuple(map(int, str(run.machine["python_version"]).split(".")[:2])) >= NEW_PYTHON
    return at_most(ratios(run.call("hotswap: call"), run.call("ctypes no-op")), NO_OP_MAX if recent else NO_OP_MAX_OLD)


def guard(run: Run) -> Answer:
    return at_most(run.call("hotswap: guard alone"), GUARD_S_MAX, seconds)


def p99(run: Run, name: str) -> Answer:
    return at_most(run.p99_ratio(name), P99_MAX)


def cached(run: Run) -> Answer:
    return at_most(run.one("cost", size=1000, step="from the cache").seconds, CACHED_S_MAX, seconds)


def stall(run: Run, name: str) -> Answer:
    longest, plain = (run.latency(each, "during", "max") for each in (name, "lock and replace"))
    return Answer(f"{seconds(longest)}; lock and replace {seconds(plain)}", longest <= STALL_S_MAX)


def memory(run: Run) -> Answer:
    found = run.one("plugins", number=PLUGINS).facts["rss"]
    return Answer(f"{megabytes(found)}, all of the process", found <= PLUGINS_BYTES_MAX)


def flat(run: Run) -> Answer:
    """Of one plugin again and again, and of a hundred in turn; each beside its like among few plugins.

    Each as a multiple of a no-op that was timed in the same moments: they are minutes apart.
    """
    one, some, many = (run.one("plugins", number=number) for number in (1, ROUND, PLUGINS))
    again = many.facts["call_to_floor"] / one.facts["call_to_floor"]
    turn = many.facts["round_to_floor"] / some.facts["round_to_floor"]
    return Answer(f"{times(again)}; a hundred in turn {times(turn)}", max(again, turn) <= FLAT_MAX)


def late(run: Run, beside: str) -> Answer:
    found = run.one("late", beside=beside).seconds
    return Answer(f"{seconds(max(found))}; {spread(found, seconds)}", max(found) <= BESIDE[beside])


def two_threads(run: Run) -> Answer:
    """Judged on the bodies on which the C control gets what the machine should give."""
    found, judged = [], []
    for body, length in BODIES.items():
        control, ours = (median(run.speed_up(name, body, 2)) for name in ("C", "hotswap"))
        if length >= BODY_S_MIN:
            found.append(f"{body}: {times(ours)}, C {times(control)}")
            judged += [ours >= TWO_THREADS_MIN] if control >= CONTROL_MIN else []
    return Answer("; ".join(found), all(judged) if judged else None)


CUTOVERS: Final = ("hotswap: OVERLAP", "hotswap: EXCLUSIVE")


Goal = tuple[str, Callable[..., Answer], tuple[object, ...]]

GOALS: Final[list[Goal]] = [
    (f"i32 add: at least {FASTER_MIN}x faster than bare wasmtime-py", faster, ("hotswap: call", FASTER_MIN)),
    (f"i32 add: at most {NO_OP_MAX}x a ctypes no-op ({NO_OP_MAX_OLD}x before Python 3.13)", near_the_floor, ()),
    (
        f"i32 add, metered: at least {METERED_FASTER_MIN}x faster than bare wasmtime-py",
        faster,
        ("hotswap: metered call", METERED_FASTER_MIN),
    ),
    (f"guard alone: at most {seconds(GUARD_S_MAX)}", guard, ()),
    (
        f"1 KiB upper-case: at least {BYTES_FASTER_MIN}x faster than bare wasmtime-py",
        faster,
        ("hotswap: call", BYTES_FASTER_MIN, "1 KiB upper-case"),
    ),
    *((f"{name}, p99 during an upgrade: at most {P99_MAX}x steady", p99, (name,)) for name in CUTOVERS),
    *((f"{name}, longest call meanwhile: at most {seconds(STALL_S_MAX)}", stall, (name,)) for name in CUTOVERS),
    (f"upgrade to 1 MB that is in the compile cache: at most {seconds(CACHED_S_MAX)}", cached, ()),
    (f"{PLUGINS:,} plugins of one instance each: at most {megabytes(PLUGINS_BYTES_MAX)}", memory, ()),
    (f"a call of one of {PLUGINS:,} plugins: at most {FLAT_MAX}x that of one of few", flat, ()),
    *(
        (f"an endless loop beside {beside}: stopped at most {seconds(most)} after its deadline", late, (beside,))
        for beside, most in BESIDE.items()
    ),
    (
        f"two threads: at least {TWO_THREADS_MIN}x from bodies of {seconds(BODY_S_MIN)}, where C gives {CONTROL_MIN}x",
        two_threads,
        (),
    ),
]


def judged(run: Run) -> Iterator[tuple[str, Answer]]:
    """Each goal, and what became of it."""
    for text, goal, arguments in GOALS:
        try:
            yield text, goal(run, *arguments)
        except LookupError:
            yield text, Answer("not measured here", None)
