"""What the documents claim and show is there, and runs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hotswap

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "model_tests").glob("*.md")])

LAYERS = [
    "_errors _frames _signature _state",
    "_cache _fork _host _manifest_text _wasm",
    "_manifest_toml",
    "_manifest",
    "_compat",
    "_ports",
    "_threads",
    "_epoch _locked _version",
    "_core",
    "_lifecycle",
    "_protocol",
    "_upgrade testing",
    "_runtime",
    "monitor",
    "_plugin",
    "_manager",
    "signing",
    "__init__",
    "_demo",
    "_cli",
]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def test_the_example_of_the_readme_runs_as_pasted_and_prints_what_it_says() -> None:
    (example,) = blocks(ROOT / "README.md", "python")
    said = [line.split("# ")[-1] for line in example.splitlines() if "print(" in line]
    run = subprocess.run([sys.executable, "-W", "error", "-c", example], capture_output=True, text=True, timeout=60)
    assert run.stderr == ""
    assert run.stdout.splitlines() == said
    lines = [line for line in example.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(lines) <= 15


USING = blocks(ROOT / "docs" / "using.md", "python")


@pytest.mark.parametrize("example", USING, ids=range(len(USING)))
def test_the_examples_of_the_guide_run_as_pasted_and_print_what_they_say(example: str) -> None:
    said = [line.split("  # ")[-1] for line in example.splitlines() if "print(" in line]
    run = subprocess.run([sys.executable, "-W", "error", "-c", example], capture_output=True, text=True, timeout=60)
    assert run.stderr == ""
    assert run.stdout.splitlines() == said != []


def test_the_guide_knows_each_public_name() -> None:
    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    assert [name for name in hotswap.__all__ if not re.search(rf"\b{name}\b", pages)] == []


def test_the_readme_is_at_most_120_lines_and_names_every_guarantee() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert [f"[S{number}](docs/guarantees.md#s{number}-" in text for number in range(1, 10)] == [True] * 9


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    files = {path.name for path in ROOT.rglob("*.py") if ".venv" not in path.parts}
    for name in re.findall(r"`(?:[\w./]+/)?(\w+\.py)`", page.read_text()):
        assert name in files, name


def test_imports_go_one_way() -> None:
    """Each module imports from layers above its own in the list, never from below or beside (types excepted)."""
    order = {name: number for number, layer in enumerate(LAYERS) for name in layer.split()}
    package = ROOT / "impl" / "hotswap"
    for path in package.rglob("*.py"):
        me = layer_name(path.relative_to(package).with_suffix("").parts[0])
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hotswap":
                them = layer_name([*(node.module or "").split("."), "__init__"][1])
                assert them == me or order[them] < order[me], f"{path.name} imports {node.module}"


def layer_name(module: str) -> str:
    return "_cli" if module.startswith("_cli") else module
