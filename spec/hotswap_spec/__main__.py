"""Explore the specification: `python -m hotswap_spec`."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from time import perf_counter
from typing import Any

from hotswap_spec import LEVELS
from hotswap_spec._explore import explore
from hotswap_spec._fairness import Graph, check, counterexample
from hotswap_spec._model import Bounds, Level
from hotswap_spec._story import story

SHAPE = "{level:10} {bounds:18} {states:>11,} {edges:>11,} {seconds:>8.1f}  {properties}"
HEAD = "level      bounds                  states       edges        s  properties\n"
NOTHING = "No property that can be told has that in its name: one of `sometimes` or `refuted`."


def main(argv: list[str] | None = None) -> int:
    """Returns 0 if every property holds, and 1 if one does not."""
    parser = argparse.ArgumentParser(prog="python -m hotswap_spec", description="Explore the specification.")
    parser.add_argument("levels", nargs="*", metavar="LEVEL", help=f"{', '.join(LEVELS)}; without one, all")
    parser.add_argument("--bounds", default="small live", help="small, live, large; or like callers=3,versions=2")
    parser.add_argument("--trace", metavar="TEXT", help="tell a shortest way to what a property of that name speaks of")
    parser.add_argument("--json", action="store_true", help="print the results as JSON, and nothing else")
    asked = parser.parse_args(argv)
    if unknown := set(asked.levels) - LEVELS.keys():
        parser.error(f"expected of {', '.join(LEVELS)}, found {', '.join(sorted(unknown))}")
    levels = [LEVELS[name] for name in asked.levels or LEVELS]
    if asked.trace:
        names = [
            (level, what) for level in levels for what in (*level.sometimes, *level.refuted) if asked.trace in what
        ]
        print("\n\n".join(story(found) for one in names if (found := counterexample(*one))) or NOTHING)
        return int(not names)
    try:
        runs = [(level, name, bounds_of(level, name)) for level in levels for name in asked.bounds.split()]
    except ValueError as error:
        parser.error(str(error))
    show = sys.stderr.isatty() and not asked.json
    reports = []
    for one in runs:
        reports.append(report := run(*one, shown=show))
        if not asked.json:
            print(HEAD if len(reports) == 1 else "", end="")
            says = ", ".join(f"{n} {what}" for what, n in report["checked"].items())
            print("\n\n".join([SHAPE.format(**report, properties=says), *report["failures"]]), flush=True)
    if asked.json:
        print(json.dumps(reports, indent=2))
    return int(any(report["failures"] for report in reports))


def bounds_of(level: Level, text: str) -> Bounds:
    """The bounds of that name; or the small ones, but for what the text says. Raises `ValueError`."""
    if text in level.bounds:
        return level.bounds[text]
    change = dict(part.partition("=")[::2] for part in text.split(","))
    known = inspect.signature(level.initial).parameters
    if not change.keys() <= known.keys() or not all(value.isdecimal() for value in change.values()):
        raise ValueError(
            f"--bounds for {level.name}: expected {', '.join(level.bounds)}; or numbers, of {', '.join(known)}; found {text}"
        )
    return Bounds({**level.bounds["small"].size, **{name: int(value) for name, value in change.items()}}, 0)


def run(level: Level, name: str, bounds: Bounds, *, shown: bool = False) -> dict[str, Any]:
    """Explore a level: safety at all bounds, what is refuted at the small ones too, leads-to at the live ones."""

    def progress(states: int) -> None:
        bar = "#" * min(40, 40 * states // bounds.states if bounds.states else 0)
        print(f"\r{level.name} {name} [{bar:40}] {states:,} states ", end="", file=sys.stderr, flush=True)

    began, start = perf_counter(), level.initial(**bounds.size)
    result = explore(level, start, symmetry=True, progress=progress if shown else lambda _: None)
    failures = [story(result.failure)] if result.failure else []
    checked = {"always": len(level.always), "steps": len(level.steps), "sometimes": len(result.seen)}
    if bounds.states and not failures:  # bounds of the specification, not of who asks
        failures += [f"never: {what}" for what in level.sometimes.keys() - result.seen]
        if result.states != bounds.states:
            failures.append(f"expected {bounds.states:,} distinct states, found {result.states:,}")
    if name == "small":
        checked["refuted"] = len(level.refuted)
        failures += [f"not refuted: {what}" for what in level.refuted if not counterexample(level, what)]
    if name == "live" and not failures:
        checked["leads-to"], graph = len(level.leads_to), Graph(level, start)
        found = [(what, check(graph, claim)) for what, claim in level.leads_to.items()]
        failures += [story(failure._replace(what=what)) for what, failure in found if failure]
    return {
        "level": level.name,
        "bounds": name,
        "size": bounds.size,
        "states": result.states,
        "edges": result.edges,
        "seconds": round(perf_counter() - began, 2),
        "checked": checked,
        "failures": failures,
    }


if __name__ == "__main__":
    sys.exit(main())
