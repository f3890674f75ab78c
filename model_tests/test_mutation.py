"""The catalogue of mutants applies to the code as it is, and the runner tells a defect from none."""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from mutation.__main__ import chosen_of, main, verdict
from mutation._answer import Answer, heard
from mutation._checks import CHECKS, Check, resolved
from mutation._copy import Copy
from mutation._mutant import ROOT, DoesNotApply, Mutant, Patch, diff, mutant, swap
from mutation._run import CONTROL, Result, control, judged, require_own, run, tried
from mutation._table import BEGIN, END, as_json, plain, rewritten
from mutation.catalogue import MUTANTS, TOPICS
from mutation.schedules import ALL

PAGE: Final = ROOT / "docs" / "mutants.md"
SEED_DEFECTS: Final = set(range(1, 23))
WORDS: Final = {"and", "or", "not"}
SAMPLE: Final = (
    "release-does-not-look",
    "drain-registers-late",
    "cancel-beside-execute",
    "bad-numbers-become-defaults",
    "epoch-is-read-before-it-is-counted",
    "spec-unregister-does-not-wait",
)
"""One for each kind of check, each found in a second or two."""


# The catalogue ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", MUTANTS.values(), ids=list(MUTANTS))
def test_a_mutant_applies_once_and_is_still_python(one: Mutant) -> None:
    texts = one.applied(ROOT)
    assert all(text != (ROOT / file).read_text() for file, text in texts.items())


def test_ids_are_unique_and_say_what_level_they_are_of() -> None:
    ids = Counter(one.id for mutants in TOPICS.values() for one in mutants)
    assert set(ids.values()) == {1}
    for one in MUTANTS.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", one.id), one.id
        assert one.id.startswith("spec-") is one.of_the_specification, one.id
        assert one.says[0].isupper() or one.says[0] == "`", one.id
        assert not one.says.endswith("."), one.id


def test_every_defect_of_the_seed_is_there() -> None:
    assert {one.seed for one in MUTANTS.values()} - {None} == SEED_DEFECTS


def test_there_are_many_more_than_the_seeds() -> None:
    assert sum(one.seed is None for one in MUTANTS.values()) >= 40
    assert sum(one.of_the_specification for one in MUTANTS.values()) >= 8


@pytest.mark.parametrize("one", MUTANTS.values(), ids=list(MUTANTS))
def test_a_mutant_names_checks_that_there_are(one: Mutant) -> None:
    assert one.tries
    for name in one.tries:
        assert name in CHECKS or name in ALL or name.partition(": ")[0] in CHECKS, name
    assert all(check.of_the_specification is one.of_the_specification for check in resolved(one.tries))


def test_a_part_of_a_check_has_tests() -> None:
    parts = {check for one in MUTANTS.values() for check in resolved(one.tries) if check.only}
    files = sorted({argument for check in parts for argument in check.command if argument.startswith("model_tests/")})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100).stdout.splitlines()
    for check in parts:
        (file,) = (argument for argument in check.command if argument in files)
        assert any(selects(check.only, test) for test in listed if test.startswith(f"{file}::")), check.name


def selects(expression: str, test: str) -> bool:
    """As pytest -k does."""
    words = re.sub(r"[^\s()]+", lambda word: word[0] if word[0] in WORDS else str(word[0] in test), expression)
    return bool(eval(words, {}))


def test_cases_that_follow_each_other_are_searched_together() -> None:
    assert ALL.keys() >= {"two calls", "call, close"}
    assert [check.name for check in resolved(["two calls", "call, close", "core: gate", "two calls"])] == [
        "schedules",
        "core: gate",
        "schedules",
    ]
    assert resolved(["manager: one_wins"])[0].only == "(fake) and (one_wins)"


def test_the_page_lists_the_catalogue_as_it_is() -> None:
    """What was found when is of the day on which it was written; which mutants there are is not."""
    block = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    rows = re.findall(r"^\| `(.*?)` \| (.*?) \| (\d*) \| (.*?) \|", block, re.MULTILINE)
    assert [row[:3] for row in rows] == [(one.id, one.says, str(one.seed or "")) for one in MUTANTS.values()]
    assert not [one for one, _, _, found in rows if "SURVIVED" in found or not found]
    assert re.findall(r"^### (.*)$", block, re.MULTILINE) == list(TOPICS)


# The parts of the runner -----------------------------------------------------------------------------------


def test_a_patch_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DoesNotApply, match="found 0 times"):
        swap("f.py", "a", "b").applied("c")
    with pytest.raises(DoesNotApply, match="found 2 times"):
        swap("f.py", "a", "b").applied("aa")
    with pytest.raises(ValueError, match="lines that begin with"):
        diff("f.py", "*a")
    with pytest.raises(SyntaxError):
        mutant("a-b", "No Python", swap("impl/hotswap/_core.py", "class Core:", "class Core"), tries="core").applied(
            ROOT
        )


def test_a_diff_is_whole_lines() -> None:
    patch = diff(
        "f.py",
        """
             def f():
        -        return 1

        +        return 2
        """,
    )
    assert patch == Patch("f.py", "    def f():\n        return 1\n\n", "    def f():\n\n        return 2\n")


CHECK: Final = Check("check", (), 60)


@pytest.mark.parametrize(
    ("status", "output", "answer"),
    [
        (0, "3 passed", None),
        (
            None,
            "t.py::test_a PASSED\nt.py::test_b[x y] ",
            Answer("test_b[x y]", "hangs: not done after 60 s (time limit)"),
        ),
        (
            1,
            "t.py::test_a FAILED\n\nFAILED m/t.py::test_a - assert 1 == 2\n1 failed",
            Answer("test_a", "assert 1 == 2"),
        ),
        (1, "FAILED m/t.py::test_a[x - y] - KeyError: 'a'", Answer("test_a[x - y]", "KeyError: 'a'")),
        (1, "t.py::test_b \n+++++ Timeout +++++", Answer("test_b", "hangs: the test was ended")),
        (1, "ERROR model_tests/test_a.py - ImportError: b", Answer("model_tests/test_a.py", "ImportError: b")),
        (-6, "t.py::test_b Fatal Python error: Aborted", Answer("test_b", "ends with status -6: ")),
        (
            1,
            'answer: {"what": "a", "error": "b", "schedule": "0", "preemptions": 1, "story": []}',
            Answer("a", "b", "0", 1),
        ),
        (0, "answer: null", None),
    ],
)
def test_what_a_check_prints_is_understood(status: int | None, output: str, answer: Answer | None) -> None:
    found = judged(CHECK, status, output)
    if found is not None and answer is not None and found.error.startswith("ends"):
        found = found._replace(error=found.error[: len(answer.error)])
    assert found == answer


def test_a_check_that_did_not_run_finds_nothing_and_says_so() -> None:
    with pytest.raises(RuntimeError, match="did not run: no tests ran"):
        judged(CHECK, 5, "no tests ran")
    with pytest.raises(ValueError, match="no answer"):
        heard("")


def test_a_table_is_rewritten_where_it_stands() -> None:
    assert rewritten(f"a\n{BEGIN}\nold\n{END}\nb", f"{BEGIN}\nnew\n{END}") == f"a\n{BEGIN}\nnew\n{END}\nb"
    with pytest.raises(ValueError, match="expected a page"):
        rewritten("a", "b")


def test_a_survivor_and_a_false_alarm_fail_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    one, found = MUTANTS[SAMPLE[0]], Answer("test_a", "wrong")
    killed, alive = Result(one, "core", found, 1.0), Result(one, "", None, 1.0)
    innocent, guilty = Result(CONTROL, "", None, 1.0), Result(CONTROL, "core", found, 1.0)
    assert verdict([innocent, killed], False, 2.0) == 0
    assert "1 mutants killed, 0 survived" in capsys.readouterr().out
    assert verdict([innocent, killed, alive], False, 2.0) == 1
    assert f"Survived: {one.id}" in capsys.readouterr().out
    assert verdict([guilty, killed], True, 2.0) == 1
    assert "found guilty by core" in capsys.readouterr().err
    assert ["SURVIVED" in plain([result]) for result in (killed, alive, innocent)] == [False, True, False]


def test_what_is_asked_for_is_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert [one.id for one in chosen_of(list(SAMPLE), None, 0)] == list(SAMPLE)
    drawn = chosen_of(None, 5, 3)
    assert (len(drawn), drawn) == (5, chosen_of(None, 5, 3))
    assert drawn != chosen_of(None, 5, 4)
    assert chosen_of(None, None, 0) == list(MUTANTS.values())
    for wrong in (["--only", "no-such"], ["--write", "--likely"]):
        with pytest.raises(SystemExit):
            main(wrong)
    assert "expected ids of the catalogue, found no-such" in capsys.readouterr().err


# The runner ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copy() -> Iterator[Copy]:
    with Copy() as made:
        yield made


@pytest.mark.timeout(300)
def test_a_sample_is_killed() -> None:
    results = run([MUTANTS[name] for name in SAMPLE], thorough=False)
    assert [(result.mutant.id, result.killed) for result in results] == [(name, True) for name in SAMPLE]
    found = {result.mutant.id: result.answer for result in results if result.answer}
    lost = found["release-does-not-look"]
    assert (lost.what, lost.error.partition(":")[0], lost.preemptions) == ("two calls", "LostWakeup", 1)
    assert found["spec-unregister-does-not-wait"].error.startswith("S9")
    assert found["bad-numbers-become-defaults"].what.startswith("test_")
    assert all(result.mutant.id in plain(results) and result.mutant.id in as_json(results) for result in results)


@pytest.mark.timeout(300)
def test_the_code_as_it_is_survives_the_same_checks(copy: Copy) -> None:
    """Otherwise that a mutant is killed would mean nothing."""
    checks = [check for name in SAMPLE for check in resolved(MUTANTS[name].tries, preemptions=1)]
    result = control(copy, checks)
    assert not result.killed, result


@pytest.mark.timeout(300)
def test_a_mutant_that_changes_nothing_survives(copy: Copy) -> None:
    harmless = mutant(
        "changes-nothing",
        "A comment",
        swap("impl/hotswap/_core.py", "class Core:", "class Core:  # the core"),
        tries="core: gate",
    )
    assert not tried(copy, harmless, thorough=False).killed


def test_the_copys_own_code_runs_with_the_mutant_in_it_and_without_it_afterwards(copy: Copy) -> None:
    require_own(copy)
    before = {path: path.read_text() for path in copy.root.rglob("*.py")}
    assert not list(copy.root.rglob("__pycache__"))
    assert all(Path(file).is_relative_to(copy.root) for file in copy.whose())
    broken = {"impl/hotswap/__init__.py": "raise SystemExit(7)"}
    with copy.changed(broken):
        assert copy.run((sys.executable, "-B", "-c", "import hotswap"), 60)[0] == 7
    assert {path: path.read_text() for path in copy.root.rglob("*.py")} == before


def test_code_of_another_tree_is_refused(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(copy._environment, "PYTHONPATH", str(ROOT / "model_tests"))
    with pytest.raises(RuntimeError, match="expected packages of"):
        require_own(copy)


def test_a_command_that_hangs_is_ended(copy: Copy) -> None:
    assert copy.run((sys.executable, "-c", "import time; time.sleep(1000)"), 0.5) == (None, "")


CHILD: Final = """import fcntl, sys, time
held = open(sys.argv[1], "w")
fcntl.flock(held, fcntl.LOCK_EX)
print("holds it", flush=True)
time.sleep(1000)"""
LEAVES_A_CHILD: Final = """import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
print(child.stdout.readline(), end="")"""


def test_what_a_command_leaves_behind_is_ended_with_it(copy: Copy, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        command = (sys.executable, "-c", LEAVES_A_CHILD, CHILD, lock.name)
        assert copy.run(command, 60) == (0, "holds it\n")
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for ever for one that lives on
