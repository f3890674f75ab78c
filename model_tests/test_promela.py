"""An independent count: `upgrade.pml` says the upgrade level once more, and spin visits as many states as we do.

The two models share neither code nor checker, so that a mistake in one of them shows as another number of states or
of steps. A mistake that both make does not show. Liveness is not compared, and of the properties of a single step only
that an attempt which failed or was cancelled changes nothing (S4).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from hotswap_spec._explore import Exploration
from hotswap_spec._model import Level
from hotswap_spec.upgrade import Ref, State
from hotswap_spec.upgrade_properties import LEVEL
from mutants import BROKEN, with_effects

MODEL: Final = Path(__file__).with_name("upgrade.pml")
SOUND: Final = 0
NOTHING_MERGED: Final = ("-o1", "-o2", "-o3")
"""Without spin's optimizations of data flow and statements, which may make one state or step of several."""
EVERY_STATE: Final = ("-DSAFETY", "-DNOREDUCE")
"""No partial order reduction, which leaves out states on purpose."""
DEEP_ENOUGH: Final = 1_000_000
RUN_SECONDS_MAX: Final = 300
TROUBLE: Final = re.compile(r"not completed|too small|out of memory|^error|^pan: (?!elapsed|rate)", re.MULTILINE)
"""What the verifier says if it did not look at everything, or could not go on."""


class Bound(NamedTuple):
    callers: int
    upgraders: int
    versions: int
    cancellers: int = 0
    closers: int = 0
    endless: bool = False


class Found(NamedTuple):
    states: int
    edges: int
    violated: str | None = None


BOUNDS: Final = (
    Bound(1, 1, 2),
    Bound(2, 1, 3, 1, 1),
    Bound(1, 3, 4, 1),
    Bound(2, 2, 3, 1, 1),
    Bound(1, 1, 2, 2, 2, endless=True),
    Bound(2, 1, 3, 1, 1, endless=True),
    Bound(1, 2, 3, 1, 1, endless=True),
)
SMALL: Final = Bound(1, 2, 3, 1)


def read(report: str) -> Found:
    """What spin's verifier found; raises `ValueError` unless it says so, and that it looked at everything."""
    states = re.findall(r"^ *(\d+) states, stored$", report, re.MULTILINE)
    transitions = re.findall(r"^ *(\d+) transitions ", report, re.MULTILINE)
    errors = re.findall(r"errors: (\d+)$", report, re.MULTILINE)
    violated = re.findall(r"assertion violated (\w+)", report)
    if not (len(states) == len(transitions) == len(errors) == 1) or "\nFull statespace search" not in report:
        raise ValueError(f"expected the report of a full search, found:\n{report}")
    if int(errors[0]) != len(violated) or (TROUBLE.search(report) and not violated):
        raise ValueError(f"expected a complete search or a violated property, found:\n{report}")
    # The verifier's way into the initial state is a transition too, and no step.
    return Found(int(states[0]), int(transitions[0]) - 1, violated[0] if violated else None)


def run(*command: str | Path, where: Path) -> str:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


Spin = Callable[..., str]


@pytest.fixture
def spin(tmp_path: Path) -> Spin:
    """Compiles and runs the model in Promela, and returns what the verifier reports."""
    if not shutil.which("spin"):
        pytest.skip("spin is not installed: apt install spin")
    if not shutil.which("cc"):
        pytest.skip("no C compiler, which spin needs: apt install gcc")

    def report(bound: Bound, *defines: str, seeded: int = SOUND, depth: int = DEEP_ENOUGH) -> str:
        settings = [f"-D{name.upper()}={int(value)}" for name, value in bound._asdict().items()]
        run("spin", *NOTHING_MERGED, *settings, f"-DSEEDED={seeded}", "-a", MODEL, where=tmp_path)
        run("cc", "-O2", "-w", *EVERY_STATE, *defines, "-o", "pan", "pan.c", where=tmp_path)
        return run("./pan", f"-m{depth}", where=tmp_path)

    return report


# The counts ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: "-".join(str(int(n)) for n in bound))
def test_spin_finds_as_many_states_and_steps_as_the_explorer(spin: Spin, bound: Bound) -> None:
    ours = Exploration(replace(LEVEL, symmetric=()), LEVEL.initial(**bound._asdict()))
    assert ours.failure is None
    assert read(spin(bound)) == Found(len(ours.states), ours.edges)


# Errors planted in both ------------------------------------------------------------------------------------


def torn(s: State, t: State) -> State:
    """`t`, but with the manifest of `s`."""
    return t._replace(current=Ref(t.current.code, s.current.manifest))


SEEDED: Final[dict[int, Level]] = {
    **{int(name[1:]): level for name, level in BROKEN.items()},
    6: with_effects(LEVEL, publish=lambda s, i: torn(s, s.publish(i)), commit=lambda s, i: torn(s, s.commit(i))),
}
"""By the number of the property that must find it, which is the value of SEEDED in Promela."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seeded", SEEDED, ids=lambda seeded: f"S{seeded}")
def test_both_find_a_seeded_error_after_as_many_steps(spin: Spin, seeded: int, tmp_path: Path) -> None:
    ours = Exploration(SEEDED[seeded], LEVEL.initial(**SMALL._asdict())).failure
    assert ours
    assert ours.what.split()[0] == f"S{seeded}"

    assert read(spin(SMALL, "-DBFS", seeded=seeded)).violated == f"S{seeded}"
    trail = (tmp_path / f"{MODEL.name}.trail").read_text().splitlines()
    steps = [line for line in trail if not line.startswith("-")]  # what begins with a minus are settings
    assert len(steps) == len(ours.steps)


# The checks can fail ---------------------------------------------------------------------------------------

REPORT: Final = """
Full statespace search for:

State-vector 60 byte, depth reached 10, errors: 0
       82 states, stored
      255 transitions (= stored+matched)
"""


def test_a_report_is_read() -> None:
    assert read(REPORT) == Found(82, 254)


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        (REPORT, ""),
        ("82 states, stored", "82 states"),
        ("255 transitions", "transitions"),
        ("Full", "Bit"),
        ("errors: 0", "errors: 1"),
        ("errors: 0", ""),
        ("\n\n", "\nerror: max search depth too small\n"),
        ("\n\n", "\npan: out of memory\n"),
        ("\n\n", "\nWarning: Search not completed\n"),
    ],
)
def test_a_report_that_says_something_else_is_an_error(found: str, instead: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        read(REPORT.replace(found, instead, 1))


@pytest.mark.slow
def test_a_search_that_is_cut_short_is_an_error(spin: Spin) -> None:
    with pytest.raises(ValueError, match="too small"):
        read(spin(SMALL, depth=5))
