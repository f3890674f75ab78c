"""The layout rules, so that they hold without anybody remembering them.

Imports are read from the syntax tree, those inside functions and under `if TYPE_CHECKING` too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
IMPL: Final = ROOT / "impl"
SPEC: Final = ROOT / "spec"
RUNTIME: Final = IMPL / "hotswap" / "_runtime"
CORE: Final = IMPL / "hotswap" / "_core.py"

FILE_LINES_MAX: Final = 300
CORE_LINES_MAX: Final = 200
CAPI: Final = RUNTIME / "_capi.py"
CAPI_LINES_MAX: Final = 200
SPEC_LINES_MAX: Final = 1200
SPEC_FILE_LINES_MEDIAN_MAX: Final = 120

CORE_MAY_IMPORT: Final = ("__future__", "typing", "collections", "dataclasses", "enum")
REAL_PORTS: Final = ("hotswap._runtime", "hotswap._threads")
"""They import wasmtime, time and threading, which the core meets only through `hotswap._ports`."""

PUBLIC_MODULES: Final = {"__init__.py", "testing.py"}
THE_SPECS_ONLY_DOOR: Final = IMPL / "hotswap" / "monitor"


def python_files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py"))


def package_of(path: Path, root: Path) -> list[str]:
    """The names of the package that a file's relative imports start from."""
    return list(path.relative_to(root).parent.parts)


def imports(source: str, package: list[str]) -> Iterator[str]:
    """Every imported name, absolute and dotted: `from a import b` gives `a.b`, whether b is a module or not."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = package[: len(package) - level + 1] if level else []
                base = [*base, module] if module else base
                yield from (".".join([*base, alias.name]) for alias in names)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name


def imports_of(path: Path, root: Path) -> set[str]:
    return set(imports(path.read_text(), package_of(path, root)))


def is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def who_imports(module: str, *, exempt: Path | str | None = None) -> list[str]:
    """The files of impl that import a module, but for those in an exempt folder or of an exempt name."""
    return [
        str(path.relative_to(ROOT))
        for path in python_files(IMPL)
        if exempt not in (path.name, *path.parents) and any(is_within(name, module) for name in imports_of(path, IMPL))
    ]


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def core_may_import(name: str) -> bool:
    if any(is_within(name, port) for port in REAL_PORTS):
        return False
    return name.startswith("hotswap._") or name.split(".")[0] in CORE_MAY_IMPORT


# The checks can fail ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import a.b as c, d", {"a.b", "d"}),
        ("from a.b import c, d", {"a.b.c", "a.b.d"}),
        ("from . import c", {"p.q.c"}),
        ("from .a import c", {"p.q.a.c"}),
        ("from .. import c", {"p.c"}),
        ("def f():\n    import a", {"a"}),
        ("if TYPE_CHECKING:\n    from a import c", {"a.c"}),
        ("importlib.import_module('a.b')", {"a.b"}),
        ("__import__('a')", {"a"}),
        ("'import a'  # import b", set()),
    ],
)
def test_an_import_is_found_however_it_is_written(source: str, found: set[str]) -> None:
    assert set(imports(source, ["p", "q"])) == found


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("collections.abc.Callable", True),
        ("hotswap._errors.Busy", True),
        ("hotswap._ports.Sync", True),
        ("hotswap._runtime._code.WasmRuntime", False),
        ("hotswap.Busy", False),
        ("hotswap_spec", False),
        ("wasmtime.Store", False),
        ("time", False),
        ("os.path", False),
        ("threading.Lock", False),
    ],
)
def test_the_cores_allowlist_lets_in_what_it_says(name: str, may: bool) -> None:
    assert core_may_import(name) is may


# The rules -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", [IMPL, SPEC], ids=["impl", "spec"])
def test_a_source_root_is_no_package(root: Path) -> None:
    """With an `__init__.py` there, `import impl.hotswap` from the root would be a second copy of the package."""
    assert [path.name for path in root.glob("*.py")] == []
    assert python_files(root)


def test_embedders_never_load_the_spec_unless_they_ask_for_the_monitor() -> None:
    assert who_imports("hotswap_spec", exempt=THE_SPECS_ONLY_DOOR) == []


def test_wasmtime_is_behind_one_package() -> None:
    assert who_imports("wasmtime", exempt=RUNTIME) == []
    assert who_imports("wasmtime") != []


def test_what_is_private_to_wasmtime_py_is_in_one_short_file() -> None:
    """The linter has every use of a private name marked, so the marks show where there are any."""
    marked = [path for path in python_files(RUNTIME) if "SLF001" in path.read_text()]
    assert who_imports("wasmtime._ffi", exempt=CAPI.name) == []
    assert marked == [CAPI]
    assert lines(CAPI) <= CAPI_LINES_MAX


def test_the_core_is_pure() -> None:
    assert sorted(name for name in imports_of(CORE, IMPL) if not core_may_import(name)) == []


def test_the_core_is_short() -> None:
    assert lines(CORE) <= CORE_LINES_MAX


@pytest.mark.parametrize("root", [IMPL, SPEC], ids=["impl", "spec"])
def test_no_file_is_too_long(root: Path) -> None:
    too_long = {str(path.relative_to(ROOT)): lines(path) for path in python_files(root) if lines(path) > FILE_LINES_MAX}
    assert too_long == {}


def test_the_specification_is_short() -> None:
    all_ = [lines(path) for path in python_files(SPEC)]
    assert sum(all_) <= SPEC_LINES_MAX
    assert median(all_) <= SPEC_FILE_LINES_MEDIAN_MAX


def test_what_is_not_public_begins_with_an_underscore() -> None:
    names = (path for path in python_files(IMPL) if path.name not in PUBLIC_MODULES)
    assert [str(path.relative_to(ROOT)) for path in names if not path.name.startswith("_")] == []


def test_the_spec_needs_the_standard_library_only_and_not_the_implementation() -> None:
    known = sys.stdlib_module_names | {"hotswap_spec"}
    foreign = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in python_files(SPEC)
        for name in imports_of(path, SPEC)
        if name.split(".")[0] not in known
    }
    assert foreign == set()
