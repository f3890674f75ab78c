"""What the documents show of the specification is what it says now, and they speak of all its properties."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import generate
from hotswap_spec import LEVELS
from seed_protocol import DEFECTS

PAGES = {path.name: path.read_text() for path in generate.DOCS.glob("*.md")}
PROPERTIES = [
    (level.name, what)
    for level in LEVELS.values()
    for what in [*level.always, *level.steps, *level.sometimes, *level.leads_to]
]


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return generate.blocks()


def written(page: str) -> str:
    """The page without what is generated."""
    return re.sub(r"<!-- generated: (\S+) -->.*?<!-- end of \1 -->\n", "", PAGES[page], flags=re.DOTALL)


def sections(page: str) -> dict[str, str]:
    """By the id that the heading begins with."""
    return dict(re.findall(r"^## ([SL]\d): (.*?)(?=^## |\Z)", PAGES[page], re.DOTALL | re.MULTILINE))


# What is generated -----------------------------------------------------------------------------------------


def test_no_block_is_stale_or_missing(made: dict[str, str]) -> None:
    assert generate.differences(PAGES, made)[1] == []


def test_whatever_is_stale_missing_or_unknown_is_named(made: dict[str, str]) -> None:
    for name, block in made.items():
        mark = f"<!-- generated: {name} -->"
        stale = {page: text.replace(f"{mark}\n{block}", f"{mark}\n{block[:-1]}") for page, text in PAGES.items()}
        missing = {page: text.replace(mark, "") for page, text in PAGES.items()}
        assert generate.differences(stale, made) == (PAGES, [f"stale: {name}"])
        assert generate.differences(missing, made)[1] == [f"missing: {name}"]
        unknown = {other: text for other, text in made.items() if other != name}
        assert generate.differences(PAGES, unknown) == (PAGES, [f"unknown: {name}"])


def test_the_command_writes_and_with_check_only_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(old := "a\n<!-- generated: x -->\n\n<!-- end of x -->\nb\n")
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    monkeypatch.setattr(generate, "blocks", lambda: {"x": "new"})
    assert (generate.main(["--check"]), page.read_text()) == (1, old)
    assert (generate.main([]), page.read_text()) == (0, old.replace("\n\n", "\nnew\n"))
    assert generate.main(["--check"]) == 0
    page.write_text("a\n")
    assert generate.main([]) == generate.main(["--check"]) == 1


def test_one_command_prints_the_seeds_defects(capsys: pytest.CaptureFixture[str], made: dict[str, str]) -> None:
    assert generate.main(["--seed"]) == 0
    assert capsys.readouterr().out == made["seed"] + "\n"
    assert re.findall(r"^## Defect (\d+)$", made["seed"], re.MULTILINE) == list(map(str, DEFECTS))


# What the pages say of it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cutover", ["overlap", "exclusive"])
def test_every_phase_but_closed_leads_back_to_active(made: dict[str, str], cutover: str) -> None:
    edges = set(re.findall(r"^ +(\w+) --> (\w+) : ", made[cutover], re.MULTILINE))
    back = {"ACTIVE"}
    for _ in edges:
        back |= {here for here, there in edges if there in back}
    phases = {phase for edge in edges for phase in edge}
    assert len(phases) == 7
    assert phases - back == {"CLOSED"}
    assert {here for here, there in edges if there == "CLOSED"} == back


def test_the_guide_prints_the_story_that_it_tells(made: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGES["spec.md"], re.DOTALL)
    exec(example)
    assert f"```text\n{capsys.readouterr().out}```" == made["gate"]


def test_the_guide_explains_each_step_of_the_story(made: dict[str, str]) -> None:
    told = written("spec.md").partition("Line by line:")[2].partition("Who was wrong?")[0]
    steps = re.findall(r"^ +\d+\. \w+ \d (\w+):", made["gate"], re.MULTILINE)
    explained = [
        name for line in re.findall(r"^- (.*?): ", told, re.MULTILINE) for name in re.findall(r"`(\w+)`", line)
    ]
    assert explained == steps


def test_the_guide_quotes_properties_that_there_are() -> None:
    guide = " ".join(written("spec.md").split())
    quoted = {match.rstrip(".") for match in re.findall(r"[*\"]([SL]\d [^*\"]+)[*\"]", guide)}
    assert len(quoted) >= 4
    assert quoted <= {what for _, what in PROPERTIES}


def test_the_guide_is_at_most_240_lines() -> None:
    assert len(written("spec.md").splitlines()) <= 240


def test_each_refuted_claim_is_explained() -> None:
    explained = re.findall(r"^\| ([^|]+) \| ", written("spec-refuted.md"), re.MULTILINE)
    assert explained == ["claim", *(what for level in LEVELS.values() for what in level.refuted)]


def test_every_property_belongs_to_a_guarantee_that_has_a_heading() -> None:
    stated = {what.split()[0] for _, what in PROPERTIES}
    assert sorted(stated) == sorted(sections("guarantees.md")) == sorted(generate.GUARANTEES)


def test_names_are_the_managers_matter() -> None:
    assert {level for level, what in PROPERTIES if what.startswith("S9 ")} == {"manager"}


@pytest.mark.parametrize("guarantee", generate.GUARANTEES)
def test_a_guarantee_says_where_it_is_stated_what_checks_it_and_what_would_break_it(guarantee: str) -> None:
    text = sections("guarantees.md")[guarantee]
    parts = [f"<!-- generated: {guarantee} -->", "*Stated*:", "*Code*: ", "*Checked*: ", "*What would break it*: "]
    assert [text.count(part) for part in parts] == [1] * len(parts)
    assert sorted(parts, key=text.index) == parts
