"""The golden races: each file's schedule still shows its race, and its story is what happens now."""

from __future__ import annotations

import re

import pytest

from golden_races import BEGINS, FOLDER, RACES, Race, Step, schedule_of, text_of, told, words_of
from interleaved_workloads import CASES
from scheduler import replay

pytestmark = [pytest.mark.schedules, pytest.mark.usefixtures("watched_code")]

FAMOUS = {
    "late_reader",
    "aba_of_versions",
    "cancel_beside_execute",
    "rollback_beside_a_held_call",
    "unregister_beside_prepare",
}


def schedule_in(text: str) -> str:
    found = re.search(r"^schedule: (\S+)$", text, re.MULTILINE)
    assert found is not None
    return found[1]


def steps_in(story: list[str]) -> list[str]:
    """Each step as `Step` spells it."""
    who, found = "", []
    for line in story:
        if not line.startswith("  "):
            who = line.rstrip(":")
        else:
            found.append(f"{who} {re.split('  +', line.strip())[0]}")
    return found


def shows(race: Race, steps: list[str]) -> bool:
    """Whether the steps of the race come in their order; a step that names no object is any such step."""
    left = iter(steps)
    return all(
        any(there == str(step) or (not step.on and there.startswith(str(step).partition(" [")[0])) for there in left)
        for step in race.steps
    )


@pytest.mark.parametrize("name", RACES)
def test_a_golden_race_is_what_happens_now(name: str) -> None:
    """If the code has changed on purpose: `python model_tests/replay.py --races`, and read the difference."""
    text, race = (FOLDER / f"{name}.txt").read_text(), RACES[name]
    assert text == text_of(race, words_of(name), schedule_in(text))
    assert shows(race, steps_in(list(told(race.case, schedule_in(text)))))
    assert replay(CASES[race.case].program, schedule_in(text), CASES[race.case].limits) is None, "nothing goes wrong"


@pytest.mark.parametrize("name", RACES)
def test_the_schedule_of_a_race_is_made_from_its_steps(name: str) -> None:
    assert schedule_of(RACES[name]) == schedule_in((FOLDER / f"{name}.txt").read_text())


def test_every_famous_race_is_there_in_words() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == RACES.keys() >= FAMOUS
    for name in RACES:
        assert len(words_of(name)) > 200
        assert BEGINS not in words_of(name)


def test_another_schedule_tells_another_story() -> None:
    """The comparison can fail: without its critical order the late reader is no late reader."""
    race = RACES["late_reader"]
    story = list(told(race.case, "0x9"))
    assert not shows(race, steps_in(story))
    assert text_of(race, words_of("late_reader"), "0x9") != (FOLDER / "late_reader.txt").read_text()


def test_steps_that_cannot_come_in_this_order_are_refused() -> None:
    race = RACES["late_reader"]
    with pytest.raises(ValueError, match="left"):
        schedule_of(race._replace(steps=(Step("executor 1", "ends:"), Step("executor 1", "begins:"))))
