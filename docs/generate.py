"""What the documents show of the specification, made from the specification: `python docs/generate.py` rewrites it.

A block stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`, in one page of this folder. With `--check`
nothing is written, and what is stale, missing or unknown is named. With `--seed` the seed's defects are printed.
"""

import argparse
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hotswap_spec import LEVELS, admission
from hotswap_spec._explore import Exploration, Failure
from hotswap_spec._fairness import counterexample

sys.path.append(str(Path(__file__).resolve().parents[1] / "model_tests"))
import seed_protocol

DOCS = Path(__file__).resolve().parent
UPGRADE = LEVELS["upgrade"]
GUARANTEES = [*(f"S{n}" for n in range(1, 10)), *(f"L{n}" for n in range(1, 5))]
CUTOVERS = ("OVERLAP", "EXCLUSIVE")
Edge = tuple[str, str, str]  # from which phase, by which step, to which


def fenced(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.strip()}\n```"


def story(failure: Failure | None) -> str:
    if failure is None:
        raise ValueError("expected a counterexample, found none")
    return fenced(failure.story())


def table(head: str, rows: Iterable[Iterable[object]]) -> str:
    body = ("| " + " | ".join(map(str, row)) + " |" for row in rows)
    return "\n".join([f"| {head} |", "|---" * len(head.split(" | ")) + "|", *body])


def phase_changes() -> dict[str, list[Edge]]:
    """By cutover, how the phase can change within the small bounds, in the order of the table."""
    found: dict[str, set[Edge]] = {cutover: set() for cutover in CUTOVERS}

    def note(s: Any, step: str, t: Any) -> bool:
        for cutover in cutovers(s, t) if s.phase != t.phase else ():
            found[cutover].add((s.phase, step, t.phase))
        return True

    level, order = replace(UPGRADE, always={}, sometimes={}, steps={"": note}), [row.name for row in UPGRADE.rows]
    Exploration(level, level.initial(**level.bounds["small"][0]))
    return {one: sorted(edges, key=lambda edge: (order.index(edge[1]), edge)) for one, edges in found.items()}


def cutovers(s: Any, t: Any) -> Iterable[str]:
    """That of the owner who executes, before or after the step; both, if nobody does."""
    if {s.phase, t.phase} <= {"ACTIVE", "PREPARING_UPGRADE", "CLOSED"}:
        return CUTOVERS
    return [CUTOVERS[any(one.owns and one.exclusive for one in s.upgraders + t.upgraders)]]


def diagram(edges: Iterable[Edge]) -> str:
    labels: dict[tuple[str, str], list[str]] = {}
    for here, step, there in edges:
        labels.setdefault((here, there), []).append(step)
    lines = (f"    {here} --> {there} : {', '.join(steps)}" for (here, there), steps in labels.items())
    return fenced("\n".join(["stateDiagram-v2", "    [*] --> ACTIVE", *lines, "    CLOSED --> [*]"]), "mermaid")


def phases(changes: dict[str, list[Edge]]) -> str:
    """The steps that change the phase, and in each cutover from which phases to which."""
    rows = []
    for row in UPGRADE.rows:
        edges = [[edge for edge in changes[one] if edge[1] == row.name] for one in CUTOVERS]
        ways = [f"{', '.join(here for here, *_ in one)} → {one[0][2]}" if one else "-" for one in edges]
        rows += [(f"`{row.name}`", row.who, row.says, *ways)] if any(edges) else []
    return table(f"step | who | what it means | {' | '.join(CUTOVERS)}", rows)


def counts() -> str:
    bounds = [(level.name, name, *bound) for level in LEVELS.values() for name, bound in level.bounds.items()]
    sizes = [", ".join(f"{what}={n}" for what, n in size.items()) for _, _, size, _ in bounds]
    rows = [(*one, size, f"{n:,}" if n else "not pinned") for (*one, _, n), size in zip(bounds, sizes, strict=True)]
    return table("level | bounds | size | distinct states", rows)


def gate() -> str:
    """What went wrong while the guard of `let_in` did not ask for the phase."""
    level = replace(UPGRADE, guards=UPGRADE.guards | {"may pass": lambda s, i: not s.shut or s.callers[i].passes})
    return story(Exploration(level, level.initial(**level.bounds["small"][0])).failure)


def refuted() -> str:
    found = [(one.name, what, story(counterexample(one, what))) for one in LEVELS.values() for what in one.refuted]
    return "\n\n".join("## {}: {}\n\n{}".format(*one) for one in found)


def seed() -> str:
    said, shortest = "## Defect {}\n\nExpected by {}: {}.\nHere, {}.\n\n{}", seed_protocol.counterexample
    found = [(n, what[:2], what[3:], ours, story(shortest(n))) for n, (what, ours) in seed_protocol.DEFECTS.items()]
    return "\n\n".join(said.format(*one) for one in found)


def stated(guarantee: str) -> str:
    """The properties whose names begin with that id."""
    kinds = ("always", "steps", "leads_to", "sometimes")
    found = ((one, kind, what) for kind in kinds for one in LEVELS.values() for what in getattr(one, kind))
    lines = [f"- {one.name}, {kind}: `{what}`" for one, kind, what in found if what.split()[0] == guarantee]
    return "\n".join(["*Stated*:", "", *lines])


def blocks() -> dict[str, str]:
    """Every block, by name."""
    changes, rows = phase_changes(), "\n".join(admission.TABLE.strip().splitlines()[:7])
    shown = {one.lower(): diagram(changes[one]) for one in CUTOVERS} | {one: stated(one) for one in GUARANTEES}
    shown |= {"rows": fenced(rows), "phases": phases(changes), "counts": counts()}
    return shown | {"gate": gate(), "refuted": refuted(), "seed": seed()}


def differences(pages: dict[str, str], made: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """The pages with every block as it should be, and what is wrong with them."""
    marks = re.compile(r"(<!-- generated: (\S+) -->\n)(.*?)(\n<!-- end of \2 -->)", re.DOTALL)
    was = [(found[2], found[3]) for text in pages.values() for found in marks.finditer(text)]
    fresh = {page: marks.sub(lambda m: m[1] + made.get(m[2], m[3]) + m[4], text) for page, text in pages.items()}
    wrong = [f"{'stale' if name in made else 'unknown'}: {name}" for name, block in was if made.get(name) != block]
    return fresh, wrong + [f"missing: {name}" for name in made if name not in dict(was)]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Rewrite what the documents show of the specification.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if something is stale")
    parser.add_argument("--seed", action="store_true", help="print the seed's defects as shortest counterexamples")
    asked = parser.parse_args(argv)
    if asked.seed:
        print(seed())
        return 0
    fresh, wrong = differences({path.name: path.read_text() for path in sorted(DOCS.glob("*.md"))}, blocks())
    if not asked.check:
        wrong = [line for line in wrong if not line.startswith("stale")]
        for name, text in fresh.items():
            (DOCS / name).write_text(text)
    print("\n".join(wrong) or "The documents show the specification as it is.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
