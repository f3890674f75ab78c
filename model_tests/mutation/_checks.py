"""The quick checks, by name, in the order in which they are tried on a mutant that has passed its likely ones.

To add a check, add a line. A check's command runs in the copy of the tree, where the mutated code is what is imported.
A mutant may name a check, a part of one (`core: late_reader`, an expression for pytest -k), or a case of the scheduler.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final, NamedTuple

PYTHON: Final = (sys.executable, "-B")


class Check(NamedTuple):
    name: str
    command: tuple[str, ...]
    limit_s: int
    """Longer is a hang."""
    only: str = ""
    """For pytest -k."""
    of_the_specification: bool = False

    @property
    def argv(self) -> tuple[str, ...]:
        return (*self.command, "-k", self.only) if self.only else self.command


def unit_tests(name: str, file: str, *, only: str = "", limit_s: int = 200, stuck_s: int = 30) -> Check:
    """The quick tests of a file. A single one that takes longer than `stuck_s` hangs: that is told as what it found."""
    options = f"-x -v -rfE -p no:cacheprovider --timeout={stuck_s} --timeout-method=thread".split()
    return Check(name, (*PYTHON, "-m", "pytest", *options, "-m", "not slow", f"model_tests/{file}"), limit_s, only)


def schedules(names: Iterable[str], preemptions: int) -> Check:
    """These cases, all of them with no preemption before any of them with one, and so on."""
    names = list(names)
    command = (*PYTHON, "-m", "mutation.schedules", f"--preemptions={preemptions}", *names)
    return Check("schedules", command, 400)


def explorer(level: str) -> Check:
    return Check(f"explorer: {level}", (*PYTHON, "-m", "mutation.explorer", level), 180, of_the_specification=True)


CHECKS: Final = {
    check.name: check
    for check in (
        schedules((), 1),  # all cases
        unit_tests("core", "test_core.py"),
        unit_tests("survivors", "test_survivors.py"),
        unit_tests("epoch", "test_epoch.py"),
        unit_tests("compat", "test_compat.py"),
        unit_tests("signature", "test_signature.py"),
        unit_tests("seed", "test_seed.py"),
        unit_tests("manager", "test_manager.py", only="fake"),
        unit_tests("failures", "test_failures.py", only="fake"),
        unit_tests("upgrade", "test_upgrade.py", only="fake"),
        unit_tests("manifest", "test_manifest.py"),
        unit_tests("manifest toml", "test_manifest_toml.py"),
        unit_tests("wasm reader", "test_wasm_reader.py"),
        unit_tests("wasm malformed", "test_wasm_malformed.py"),
        unit_tests("wasm off", "test_wasm_off.py"),
        unit_tests("wasm limits", "test_wasm_limits.py"),
        unit_tests("wasm fuzz", "test_wasm_fuzz.py", stuck_s=120),
        unit_tests("cache", "test_cache.py"),
        unit_tests("monitor", "test_monitor.py"),
        unit_tests("monitor names", "test_monitor_names.py"),
        unit_tests("compile child", "test_compile_child.py"),
        unit_tests("runtime calls", "test_runtime_calls.py"),
        unit_tests("runtime load", "test_runtime_load.py"),
        unit_tests("runtime bytes", "test_runtime_bytes.py"),
        unit_tests("runtime values", "test_runtime_values.py"),
        unit_tests("runtime prepared", "test_runtime_prepared.py", stuck_s=60),
        unit_tests("runtime interrupts", "test_runtime_interrupts.py"),
        unit_tests("runtime stop", "test_runtime_stop.py", only="not storm and not ctrl_c"),
        unit_tests("host functions", "test_host_functions.py"),
        unit_tests("host calls", "test_host_calls.py", stuck_s=60),
        unit_tests("signing", "test_signing.py"),
        unit_tests("signing fuzz", "test_signing_fuzz.py", stuck_s=120),
        unit_tests("interrupts", "test_interrupts.py", only="OVERLAP and idle or waits", limit_s=400, stuck_s=120),
        unit_tests("survivors of ctrl-c", "test_survivors_ctrl_c.py", stuck_s=120),
        unit_tests("faults", "test_faults.py", limit_s=400, stuck_s=120),
        unit_tests("faults of the cache", "test_faults_cache.py", stuck_s=120),
        explorer("admission"),
        explorer("upgrade"),
        explorer("manager"),
    )
}


def resolved(tries: Iterable[str], preemptions: int = 2) -> list[Check]:
    """The checks that a mutant asks for; cases of the scheduler that follow each other are searched together."""
    found: list[Check] = []
    cases: list[str] = []
    for name in [*tries, ""]:
        base, _, only = name.partition(": ")
        known = name in CHECKS or base in CHECKS
        if name and not known:
            cases.append(name)
            continue
        if cases:
            found.append(schedules(cases, preemptions))
            cases = []
        if name in CHECKS:
            found.append(CHECKS[name])
        elif name:
            whole = CHECKS[base]
            found.append(whole._replace(name=name, only=f"({whole.only}) and ({only})" if whole.only else only))
    return found


def others(of_the_specification: bool) -> list[Check]:
    return [check for check in CHECKS.values() if check.of_the_specification is of_the_specification]
