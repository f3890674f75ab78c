"""Writes docs/benchmarks.md and docs/benchmarks.svg from what `make bench` saved: `python bench/report.py FILE...`

One file an interpreter. The prose below holds no figures; whatever is a figure comes from the files.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

from chart import chart
from contenders import BODIES, LADDER, WORKLOADS
from goals import CUTOVERS, judged
from measuring import HERE, ratios
from runs import Run, megabytes, seconds, spread, times

DOCS = HERE.parent / "docs"
SERVICES = ("lock and replace", "extism", *CUTOVERS)

INTRO = """# Benchmarks

`make bench` measures and writes this page; nothing in it is written by hand. Figures are medians, with their quartiles
in brackets. Contenders run in blocks, in turn, in one run, and a ratio is taken within a turn: ratios hold on other
machines, absolute figures do not. For another interpreter: `make bench VENV=.venv-3.13 PYTHON=python3.13`; runs of one
commit stand side by side.

![The call ladder, and the longest call during an upgrade](benchmarks.svg)
"""

CALLS = """One thread, nobody else. All run the same wasm body but pluggy, which has none, and every answer is checked.
*C* calls wasmtime's C interface from a loop in C: the limit of the machine. *Bare wasmtime-py* is its own call,
`func(store, ...)`; for bytes it takes the steps of a bytes call, from allocating to freeing.

An interpreter and native Python are shown, and are not comparable: the one is slow as soon as there is work to do,
the other has no sandbox and no limits.
"""

THREADS = """Calls of so many threads together, as a ratio to those of one thread; every thread has its own instance.
The control is C: what threads of the system reach with the same module, in the same turns. Short bodies are bounded by
the interpreter's lock, which each call has to take again.
"""

LOAD = """Callers make their next call when the last has come back, and one core is left to the upgrade. So a stall is
one slow call among many: look at the longest. *Lock and replace* is a lock around a bare instance, under which the new
module is compiled; *extism* is a new Plugin, put in the place of the old one. The bytes are new each time, and no
compiled code is kept: wasmtime's cache is off, extism's and hotswap's too. hotswap compiles in a child process, on one
core, and makes four instances; the others compile on all cores, as they do when nobody tells them otherwise, and make
one.
"""

COST = """Nobody calls meanwhile. *Prepare* reads, compiles, checks and makes the instances while the old version
serves; *cut over* publishes, drains and reclaims. *From the cache* is an upgrade to bytes that the compile cache has,
and nothing in the process; the entry lies in the system's cache of files. Modules are compiled in the process here; the
child, in which they are unless one asks for something else, adds its start, less than 0.1 s.
"""

DRAIN = """So many threads are inside a call of one length when the upgrade cuts over. *Work left* is the processor's
time for all of it, had none begun, spread over the cores.
"""

DEADLINES = """An endless loop is stopped so long after its deadline: deadlines of several lengths, and calls that begin
at all moments of a tick of 5 ms. *A busy thread* runs Python all the while, so the ticker and the call that is to be
stopped each wait for the interpreter.
"""

GROWTH = """Each in a process of its own. Memory is all that the process holds resident; maps are the lines of
`/proc/self/maps`. One plugin is called again and again; and a hundred in turn, spread over all, whose memory no cache
holds. A process may have more instances than the largest number here, and has a cap ([operating](operating.md)).
"""


def table(head: str, rows: Iterable[Iterable[object]]) -> str:
    lines = ("| " + " | ".join(map(str, row)) + " |" for row in rows)
    return "\n".join([f"| {head} |", "|---" * len(head.split(" | ")) + "|", *lines]) + "\n"


def overview(runs: list[Run]) -> str:
    """The machine, then each goal and its verdict by interpreter."""
    first = runs[0]
    cpu = first.machine.get("cpu", {}).get("brand_raw", first.machine["processor"])
    lines = [f"Machine: {cpu}, {first.facts.get('cores')} cores, {first.machine['system']} {first.machine['release']}."]
    for run in runs:
        packages = ", ".join(f"{name} {what or 'missing'}" for name, what in run.facts.get("packages", {}).items())
        lines.append(
            f"Python {run.python}: commit {run.commit['id'][:10]}{', changed' if run.commit['dirty'] else ''}; "
            f"{packages}; load before the run {run.facts.get('load', 0):.2f}."
        )
        if run.facts.get("size") != "usual":
            lines.append("**A short run, which shows that everything works: its figures mean nothing.**")
    found = [dict(judged(run)) for run in runs]
    heads = " | ".join(f"Python {run.python} | verdict" for run in runs)
    rows = [[goal, *(cell for one in found for cell in (one[goal].found, one[goal].verdict))] for goal in found[0]]
    return "\n\n".join(lines) + "\n\n## Goals\n\n" + table(f"goal | {heads}", rows)


def ladder(run: Run) -> Iterator[str]:
    for workload in WORKLOADS:
        there = {name: run.of("ladder", name=name, workload=workload) for name in LADDER}
        rows = []
        for name, found in there.items():
            if found:
                to_bare = ratios(run.call("bare wasmtime-py", workload), found[0].seconds)
                rows.append([name, spread(found[0].seconds, seconds), spread(to_bare, times)])
        yield f"### {workload}\n\n" + table("who | a call | faster than bare", rows)
    notes = [[name, found[0].facts["note"]] for name in LADDER if (found := run.of("ladder", name=name))]
    yield "### What to know when comparing\n\n" + table("who | what it has and has not", notes)
    for name, why in next((one.facts["missing"] for one in run.of("ladder")), {}).items():
        yield f"Not measured: {name}. {why}\n"


def threads(run: Run) -> str:
    rows = []
    for body in BODIES:
        for name in ("C", "hotswap", "bare wasmtime-py"):
            if run.of("threads", name=name, body=body):
                alone = run.one("threads", name=name, body=body, count=1).seconds
                ups = [spread(run.speed_up(name, body, count), times) for count in (2, 4)]
                rows.append([body, name, spread(alone, seconds), *ups])
    return table("body | who | a call, one thread | two threads | four threads", rows)


def load(run: Run) -> Iterator[str]:
    rows, ratio = [], []
    for name in SERVICES:
        for one in run.of("upgrade_under_load", name=name):
            for phase, found in one.facts["latencies"].items():
                calls = f"{one.facts['calls'][phase]:,}"
                rows.append([name, phase, calls, *(seconds(found[which]) for which in ("p50", "p99", "p99.9", "max"))])
            longest = [turn["during"]["max"] for turn in one.facts["turns"]]
            ratio.append(
                [name, spread(one.seconds, seconds), spread(run.p99_ratio(name), times), spread(longest, seconds)]
            )
    yield f"{run.of('upgrade_under_load')[0].group[0].upper()}{run.of('upgrade_under_load')[0].group[1:]}.\n"
    yield table("who | calls | number | p50 | p99 | p99.9 | max", rows)
    yield "By turn:\n"
    yield table("who | an upgrade | p99 during, to steady | longest call during", ratio)


def cost(run: Run) -> Iterator[str]:
    rows = []
    for one in run.of("cost", step="compile alone"):
        size = one.params["size"]
        steps = [run.one("cost", size=size, step=step).seconds for step in ("compile alone", "prepare", "cut over")]
        whole = [sum(each) for each in zip(*steps[1:], strict=True)]
        kept = run.one("cost", size=size, step="from the cache").seconds
        rows.append([f"{one.facts['bytes']:,}", *(spread(each, seconds) for each in (*steps, whole, kept))])
    yield table("bytes | compile alone | prepare | cut over | the upgrade | from the cache", rows)
    yield f"### Drain\n\n{DRAIN}"
    rows = []
    for one in run.of("drain"):
        work = [max(1, there / one.facts["cores"]) * one.facts["body_s"] for there in one.facts["in_flight"]]
        rows.append([f"{median(one.facts['in_flight']):g}", spread(one.seconds, seconds), seconds(median(work))])
    yield table("in flight | drain | work left", rows)


def deadlines(run: Run) -> str:
    rows = [
        [one.params["beside"], len(one.seconds), spread(one.seconds, seconds), seconds(max(one.seconds))]
        for one in run.of("late")
    ]
    return table("beside | calls | late | latest", rows)


def growth(run: Run) -> Iterator[str]:
    rows = [
        [
            f"{one.facts['number']:,}",
            megabytes(one.facts["rss"]),
            f"{one.facts['maps']:,}",
            seconds(one.facts["register"][1]),
            seconds(one.facts["look_up"][1]),
            spread(one.seconds, seconds),
            f"{seconds(turn[1])} ({seconds(turn[0])} to {seconds(turn[2])})"
            if (turn := one.facts.get("round"))
            else "",
        ]
        for one in run.of("plugins")
    ]
    yield table("plugins | memory | maps | to register one | to look one up | a call | of a hundred in turn", rows)
    rows = [
        [
            one.facts["number"],
            seconds(one.facts["made"]),
            megabytes(one.facts["rss"] - one.facts["empty"]["rss"]),
            one.facts["maps"] - one.facts["empty"]["maps"],
            spread(one.seconds, seconds),
        ]
        for one in run.of("instances")
    ]
    yield table("instances of one version | to make the plugin | memory added | maps added | a call", rows)
    for one in run.of("reloads"):
        before, after = one.facts["empty"], one.facts
        yield table(
            f"{after['number']:,} reloads | memory | maps | threads | an upgrade",
            [
                ["before", megabytes(before["rss"]), before["maps"], before["threads"], ""],
                ["after", megabytes(after["rss"]), after["maps"], after["threads"], spread(one.seconds, seconds)],
            ],
        )


def page(runs: list[Run]) -> str:
    parts = [INTRO, overview(runs)]
    for run in runs:
        parts += [f"## Python {run.python}: calls\n\n{CALLS}", *ladder(run)]
        parts += [f"## Python {run.python}: threads\n\n{THREADS}", threads(run)]
        parts += [f"## Python {run.python}: upgrades under load\n\n{LOAD}", *load(run)]
        parts += [f"## Python {run.python}: cost of an upgrade\n\n{COST}", *cost(run)]
        parts += [f"## Python {run.python}: deadlines\n\n{DEADLINES}", deadlines(run)]
        parts += [f"## Python {run.python}: growth\n\n{GROWTH}", *growth(run)]
    return "\n".join(parts)


def main(paths: list[Path]) -> None:
    """The newest run first; runs of other commits than its are left out, since they measured other code."""
    runs = [Run.read(path) for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)]
    same = [run for run in runs if run.commit["id"] == runs[0].commit["id"]]
    (DOCS / "benchmarks.md").write_text(page(same))
    (DOCS / "benchmarks.svg").write_text(chart(same[0]))
    for goal, answer in judged(same[0]):
        print(f"{answer.verdict.strip('*'):11}{goal}: {answer.found}")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
