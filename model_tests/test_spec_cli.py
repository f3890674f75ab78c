"""`python -m hotswap_spec`: what it prints, and that it says no when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from hotswap_spec import LEVELS
from hotswap_spec.__main__ import main
from mutants import with_guard

MANAGER = LEVELS["manager"]


def test_the_command_explores_and_prints_a_table() -> None:
    command = [sys.executable, "-W", "error", "-m", "hotswap_spec", "manager"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    head, small, live = run.stdout.splitlines()
    assert head.split() == ["level", "bounds", "states", "edges", "s", "properties"]
    assert small.split()[:4] == ["manager", "small", "2,652", "12,308"]
    assert small.endswith("3 always, 1 steps, 3 sometimes, 2 refuted")
    assert live.endswith("3 always, 1 steps, 3 sometimes, 3 leads-to")


def test_json_has_the_same_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manager", "--bounds", "small users=1", "--json"]) == 0
    small, own = json.loads(capsys.readouterr().out)
    assert small["size"] == MANAGER.bounds["small"][0]
    assert (small["level"], small["bounds"], small["states"], small["edges"]) == ("manager", "small", 2652, 12308)
    assert small["checked"] == {"always": 3, "steps": 1, "sometimes": 3, "refuted": 2}
    assert small["failures"] == []
    assert own["size"] == {**small["size"], "users": 1}
    assert own["states"] < small["states"]


def test_without_a_level_all_are_explored(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--bounds", "small", "--json"])
    assert [one["level"] for one in json.loads(capsys.readouterr().out)] == list(LEVELS)


def test_a_failure_is_told_as_a_story_and_ends_the_command_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LEVELS, "manager", with_guard(MANAGER, "delete", "-"))
    assert main(["manager", "--bounds", "small"]) == 1
    told = capsys.readouterr().out
    assert "S9 a name is one plugin: no other runs until it is unregistered" in told
    assert "remover 0 delete: has unregistered it: the name is free" in told
    assert "removers 0 at: closing -> done" in told


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bounds": {"small": (MANAGER.bounds["small"][0], 2653)}}, "2,653 states expected, 2,652 found"),
        ({"sometimes": {"S9 pigs fly": lambda s: False}}, "never: S9 pigs fly"),
        ({"refuted": {"S9 is S9": lambda s: True}}, "not refuted: S9 is S9"),
    ],
)
def test_a_count_a_sometimes_and_a_refuted_claim_can_fail(
    change: dict[str, object], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LEVELS, "manager", replace(MANAGER, **change))
    assert main(["manager", "--bounds", "small"]) == 1
    assert says in capsys.readouterr().out


def test_leads_to_can_fail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    never = {"L4 it closes": (lambda s: True, lambda s: s.closed)}
    monkeypatch.setitem(LEVELS, "manager", replace(MANAGER, leads_to=never))
    assert main(["manager", "--bounds", "live"]) == 1
    assert "L4 it closes\n" in capsys.readouterr().out


def test_trace_tells_a_shortest_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manager", "--trace", "taken can be got"]) == 0
    first, step, *_ = capsys.readouterr().out.splitlines()
    assert first == "a name that is taken can be got"
    assert step == "   1. registrar 0 take: takes the name, to register a plugin"
    assert main(["manager", "--trace", "S9"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in MANAGER.sometimes if name.startswith("S9"))
    assert main(["manager", "--trace", "no such thing"]) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "expected levels of admission, upgrade, manager; found nothing"),
        (["manager", "--bounds", "tiny"], "expected bounds of small, live, large, or like users=3,upgraders=1"),
        (["manager", "--bounds", "users=many"], "invalid literal"),
        (["manager", "--bounds", "pigs=1"], "unexpected keyword argument 'pigs'"),
    ],
)
def test_a_wrong_question_is_refused(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert says in capsys.readouterr().err


def test_on_a_terminal_progress_is_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    main(["admission", "--bounds", "small"])
    shown = capsys.readouterr().err
    assert "admission small [                              ] 0 states" in shown
    assert f"admission small [{'#' * 24}      ] 10,000 states" in shown
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    main(["manager", "--bounds", "small"])
    assert capsys.readouterr().err == ""
