"""Explore the specification: `python -m hotswap_spec`."""

import argparse
import gc
import json
import sys
from time import perf_counter
from typing import Any

from hotswap_spec import LEVELS
from hotswap_spec._explore import Exploration
from hotswap_spec._fairness import counterexample, leads_to
from hotswap_spec._model import Level


def main(argv: list[str] | None = None) -> int:
    """Returns 0 if every property holds, and 1 if one does not."""
    parser = argparse.ArgumentParser(prog="python -m hotswap_spec", description="Explore the specification.")
    parser.add_argument("levels", nargs="*", metavar="LEVEL", help=f"{', '.join(LEVELS)}; without one, all")
    parser.add_argument("--bounds", default="small live", help="of small, live, large; or like callers=3,versions=2")
    parser.add_argument("--trace", metavar="TEXT", help="tell a shortest way to what properties of that name speak of")
    parser.add_argument("--json", action="store_true", help="print the results as JSON, and nothing else")
    asked = parser.parse_args(argv)
    levels = [level for name, level in LEVELS.items() if name in asked.levels or not asked.levels]
    say = print if not asked.json else lambda *_, **__: None
    if unknown := set(asked.levels) - LEVELS.keys():
        parser.error(f"expected levels of {', '.join(LEVELS)}; found {', '.join(unknown)}")
    if asked.trace:
        told = [(level, what) for level in levels for what in level.sometimes | level.refuted if asked.trace in what]
        found = [(what, counterexample(level, what)) for level, what in told]
        print(*[failure.story() if failure else f"never: {what}" for what, failure in found], sep="\n\n")
        return int(not all(failure for _, failure in found) or not told)
    try:
        runs = [(level, name, *bounds_of(level, name)) for level in levels for name in asked.bounds.split()]
    except (TypeError, ValueError) as error:
        parser.error(f"expected bounds of {', '.join(levels[0].bounds)}, or like users=3,upgraders=1; found {error}")
    say(f"{'level':10} {'bounds':20} {'states':>11} {'edges':>12} {'s':>7}  properties")
    reports = []
    for level, name, size, pinned in runs:
        reports.append(one := run(level, name, size, pinned, bar=sys.stderr.isatty() and not asked.json))
        checked = ", ".join(f"{n} {what}" for what, n in one["checked"].items())
        say(f"{level.name:10} {name:20} {one['states']:11,} {one['edges']:12,} {one['seconds']:7.1f}  {checked}")
        say(*one["failures"], sep="\n\n", end="\n" * bool(one["failures"]), flush=True)
    print(json.dumps(reports, indent=2) if asked.json else "", end="")
    return int(any(one["failures"] for one in reports))


def bounds_of(level: Level, text: str) -> tuple[dict[str, Any], int]:
    """The bounds of that name; or the small ones, but for what the text says. Raises `TypeError` or `ValueError`."""
    if text in level.bounds:
        return level.bounds[text]
    size = level.bounds["small"][0] | {name: int(n) for name, _, n in (one.partition("=") for one in text.split(","))}
    level.initial(**size)
    return size, 0


def run(level: Level, name: str, size: dict[str, Any], pinned: int, *, bar: bool = False) -> dict[str, Any]:
    """Explore a level: safety at all bounds, what is refuted at the small ones too, leads-to at the live ones."""

    def progress(states: int) -> None:
        done = "#" * min(30, 30 * states // (pinned or 1 << 62))
        print(f"\r{level.name} {name} [{done:30}] {states:,} states\r", end="", file=sys.stderr, flush=True)

    began, start = perf_counter(), level.initial(**size)
    found = Exploration(level, start, progress=progress if bar else lambda _: None)
    failures, states = [found.failure.story()] if found.failure else [], len(found.states)
    checked = {"always": len(level.always), "steps": len(level.steps), "sometimes": len(found.seen)}
    if pinned and not failures:  # bounds of the specification, not of who asks
        failures += [f"never: {what}" for what in level.sometimes.keys() - found.seen]
        failures += [f"{pinned:,} states expected, {states:,} found"] if pinned != states else []
    if name == "small":
        checked["refuted"] = len(level.refuted)
        failures += [f"not refuted: {what}" for what in level.refuted if not counterexample(level, what)]
    if name == "live" and not failures:
        checked["leads-to"] = len(level.leads_to)
        failures += [failure.story() for failure in leads_to(level, start, level.leads_to)]
    counts = {"states": states, "edges": found.edges, "seconds": round(perf_counter() - began, 2)}
    return {"level": level.name, "bounds": name, "size": size, **counts, "checked": checked, "failures": failures}


if __name__ == "__main__":
    gc.disable()  # no state is part of a cycle, so to look for cycles is in vain
    sys.exit(main())
