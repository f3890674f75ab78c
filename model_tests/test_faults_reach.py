"""No file of the product calls the system, or wasmtime, where no fault could strike it: unless it is said here why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from test_tidy import IMPL, imports_of

ROOT: Final = IMPL / "hotswap"
OTHERS: Final = ("_cli", "_demo", "monitor", "signing", "testing")
"""What is not on the way of a plugin that is registered, upgraded, called and closed."""
HARMLESS: Final = {
    *("__future__", "collections", "contextlib", "dataclasses", "enum", "functools", "hashlib", "itertools", "json"),
    *("operator", "queue", "re", "reprlib", "stat", "struct", "sys", "tomllib", "traceback", "types", "typing"),
    *("warnings", "weakref"),
}
"""They work on the process's own memory."""

STRUCK: Final = {
    "_cache.py": "hmac os pathlib secrets time",
    "_manifest.py": "pathlib",
    "_runtime/_admit.py": "wasmtime",
    "_runtime/_child.py": "socket threading",
    "_runtime/_child_process.py": "os selectors subprocess time",
    "_runtime/_compiled.py": "wasmtime",
    "_runtime/_deadline.py": "time",
    "_runtime/_instance.py": "wasmtime",
    "_runtime/_source.py": "pathlib wasmtime",
    "_runtime/_ticker.py": "threading time",
}
"""`test_faults_wasm.py`, `test_faults_cache.py` and `test_faults_child.py` put stand-ins there."""
NOT_STRUCK: Final = {
    "_cache.py": {"threading": "a lock for its counts"},
    "_fork.py": {"os": "which process this is"},
    "_host.py": {"threading": "a variable of each thread"},
    "_manifest.py": {"os": "names of types"},
    "_plugin.py": {"os": "names of types, and which process this is"},
    "_threads.py": {"threading": "it is a port: `faults_ports.py`", "time": "the same"},
    "_version.py": {"_thread": "where a finalizer has no frame left: `test_host_calls.py`"},
    "_runtime/_capi.py": {"ctypes": "its users have a stand-in for it", "wasmtime": "the same"},
    "_runtime/_capi_check.py": dict.fromkeys(
        ("ctypes", "importlib", "logging", "os", "threading", "wasmtime"),
        "once in a process; what it raises is an answer",
    ),
    "_runtime/_census.py": {"threading": "a lock for its counts"},
    "_runtime/_child.py": {"os": "which process this is", "time": "how long it has taken, to be told"},
    "_runtime/_child_errors.py": {"signal": "names of signals"},
    "_runtime/_child_main.py": dict.fromkeys(("os", "resource", "signal", "wasmtime"), "in the child, which is killed"),
    "_runtime/_child_process.py": {
        "fcntl": "larger pipes, if there are any",
        "pathlib": "where the script is, once",
        "socket": "the name of a type",
        "wasmtime": "where it is, once",
    },
    "_runtime/_code.py": {
        **dict.fromkeys(("resource", "threading"), "the size of stacks, which is a number"),
        "wasmtime": "names of types",
    },
    "_runtime/_compiled.py": {
        "importlib": "the version, once",
        "os": "a variable of the environment",
        "platform": "the machine, once",
        "threading": "a lock for what is shared",
    },
    "_runtime/_deadline.py": {"wasmtime": "names of types"},
    "_runtime/_engine.py": {
        "threading": "a lock for the two engines",
        "wasmtime": "the two are made once in a process",
    },
    "_runtime/_host_calls.py": {"wasmtime": "names of types; its calls go to `_capi.py`"},
    "_runtime/_instance.py": {"_thread": "where a finalizer has no frame left: `test_host_calls.py`"},
    "_runtime/_limits.py": {"ctypes": "a word of memory", "wasmtime": "names of types, and a store that has stand-ins"},
    "_runtime/_linkage.py": {"wasmtime": "calls into the wasm: `test_runtime_calls.py`"},
    "_runtime/_prepared.py": {
        "ctypes": "calls into the wasm: `test_runtime_prepared.py`",
        "wasmtime": "names of types",
    },
    "_runtime/_source.py": {"os": "names of types"},
    "_runtime/_ticker.py": {"os": "what a fork does, said once"},
}


def reaching(path: Path) -> set[str]:
    """The modules by which a file reaches out of the process's memory."""
    tops = {name.partition(".")[0] for name in imports_of(path, IMPL)}
    return {top for top in tops if top == "wasmtime" or top in sys.stdlib_module_names} - HARMLESS


def test_whatever_reaches_out_is_struck_or_it_is_said_why_not() -> None:
    found = {
        str(path.relative_to(ROOT)): names
        for path in sorted(ROOT.rglob("*.py"))
        if not str(path.relative_to(ROOT)).startswith(OTHERS) and (names := reaching(path))
    }
    assert found == {
        file: {*STRUCK.get(file, "").split(), *NOT_STRUCK.get(file, ())} for file in {*STRUCK, *NOT_STRUCK}
    }
