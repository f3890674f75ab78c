"""A copy of the tree, into which mutants are put one after the other, and commands that run in it.

The copy's packages come first on the path, before the editable install of the tree itself; `whose` shows it. Nothing
compiled is written or read for them: Python would take a mutated file of the same size and second for the old one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from mutation._mutant import ROOT

SOURCES: Final = "impl", "spec", "model_tests"
LEFT_OUT: Final = shutil.ignore_patterns(
    ".git", ".venv*", "__pycache__", ".hypothesis", ".benchmarks", ".*_cache", ".coverage*", "htmlcov", "dist", "build"
)


class Copy:
    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mutant-")
        self.root = Path(self._folder.name).resolve() / "tree"
        shutil.copytree(ROOT, self.root, ignore=LEFT_OUT)
        path = os.pathsep.join(str(self.root / source) for source in SOURCES)
        storage = str(self.root / ".hypothesis")
        self._environment = os.environ | {
            "PYTHONPATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": storage,
            "COLUMNS": "1000",  # pytest shortens what it says to the width of a terminal
        }
        self._environment.pop("PYTHONPYCACHEPREFIX", None)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        for name in [name for name in self._environment if name.startswith(("COV_", "COVERAGE_", "PYTEST_"))]:
            del self._environment[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @contextmanager
    def changed(self, texts: Mapping[str, str]) -> Iterator[None]:
        """The copy has these texts inside, and its own again afterwards."""
        before = {file: (self.root / file).read_text() for file in texts}
        try:
            for file, text in texts.items():
                (self.root / file).write_text(text)
            yield
        finally:
            for file, text in before.items():
                (self.root / file).write_text(text)
            shutil.rmtree(self.root / ".hypothesis", ignore_errors=True)

    def run(self, command: tuple[str, ...], limit_s: float) -> tuple[int | None, str]:
        """The status and all that was printed; None for one that was ended at its limit, with all it had started."""
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._process = process
            if self._stopped:
                self.stop()
            status: int | None = None
            try:
                status = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                pass
            finally:
                self._kill(process)
            output.seek(0)
            return status, output.read()

    def stop(self) -> None:
        """Whatever runs in the copy is ended, and whatever begins to."""
        self._stopped = True
        if self._process is not None:
            self._kill(self._process)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """With all that it has started, which may still run when it has ended itself."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # nothing is left of its group
        process.wait()

    def whose(self) -> list[Path]:
        """Where the packages come from that are imported in the copy."""
        show = "import hotswap as a, hotswap_spec as b, worlds as c; print(*(one.__file__ for one in (a, b, c)))"
        status, output = self.run((sys.executable, "-B", "-c", show), 60)
        if status != 0:
            raise RuntimeError(f"the copy cannot be imported:\n{output}")
        return [Path(file) for file in output.split()]
