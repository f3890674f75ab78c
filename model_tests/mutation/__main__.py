"""Try mutants and print what finds them: `python -m mutation`. The status is 1 if one survives, or if none is found."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from time import monotonic
from typing import Final

from mutation._mutant import ROOT, Mutant
from mutation._run import CONTROL, Result, run
from mutation._table import as_json, found_by, markdown, plain, rewritten
from mutation.catalogue import MUTANTS

PAGE: Final = ROOT / "docs" / "mutants.md"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mutation", description="Try mutants and print what finds them.")
    parser.add_argument("--only", metavar="ID", nargs="+", help="these, each told with its story")
    parser.add_argument("--sample", metavar="N", type=int, help="so many, drawn by --seed")
    parser.add_argument("--seed", metavar="S", type=int, default=0)
    parser.add_argument("--workers", metavar="W", type=int, default=2)
    parser.add_argument("--likely", action="store_true", help="try only the checks that a mutant names")
    parser.add_argument("--json", action="store_true", help="print the results as JSON, and nothing else")
    parser.add_argument("--write", action="store_true", help="write the table into docs/mutants.md")
    asked = parser.parse_args(argv)
    if unknown := [name for name in asked.only or () if name not in MUTANTS]:
        parser.error(f"expected ids of the catalogue, found {', '.join(unknown)}")
    chosen = chosen_of(asked.only, asked.sample, asked.seed)
    complete = len(chosen) == len(MUTANTS) and not asked.likely
    if asked.write and not complete:
        parser.error("--write needs results of all mutants")
    began, done, width = monotonic(), 0, max(len(mutant.id) for mutant in chosen)

    def progress(result: Result) -> None:
        nonlocal done
        done += 1
        told = f"{done:3}/{len(chosen) + complete} {monotonic() - began:4.0f} s  {result.mutant.id:{width}}"
        sys.stderr.write(f"{told}  {result.seconds:5.1f} s  {found_by(result)}\n")

    results = run(chosen, workers=asked.workers, thorough=not asked.likely, with_control=complete, progress=progress)
    if asked.json:
        print(as_json(results))
    else:
        print(plain(results))
        if asked.only:
            print(*(story(result) for result in results), sep="\n\n")
    if asked.write:
        tried = [result for result in results if result.mutant is not CONTROL]
        write(PAGE, markdown(tried))
    return verdict(results, asked.json, monotonic() - began)


def chosen_of(only: list[str] | None, sample: int | None, seed: int) -> list[Mutant]:
    chosen = [MUTANTS[name] for name in only] if only else list(MUTANTS.values())
    if sample is not None:
        chosen = random.Random(seed).sample(chosen, min(sample, len(chosen)))
    return chosen


def story(result: Result) -> str:
    told = result.answer.story if result.answer is not None else ()
    error = result.answer.error if result.answer is not None else "survived"
    return "\n".join([f"{result.mutant.id}: {result.mutant.says}", error, *told])


def write(page: Path, block: str) -> None:
    page.write_text(rewritten(page.read_text(), block))


def verdict(results: list[Result], quiet: bool, seconds: float) -> int:
    survived = [result.mutant.id for result in results if not result.killed and result.mutant is not CONTROL]
    false = [result for result in results if result.killed and result.mutant is CONTROL]
    killed = sum(result.killed for result in results) - len(false)
    told = [f"{killed} mutants killed, {len(survived)} survived, in {seconds:.0f} s."]
    told += [f"Survived: {name}" for name in survived]
    told += [f"The code as it is was found guilty by {result.check}: these results mean nothing." for result in false]
    print(*told, sep="\n", file=sys.stderr if quiet else sys.stdout)
    return int(bool(survived or false))


if __name__ == "__main__":
    sys.exit(main())
