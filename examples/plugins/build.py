"""Builds the example plugins that are written in C. Run it as `make plugins`.

The compiler is PyPI's `ziglang` (the extra `plugins`): one wheel, no toolchain to install. The same version
of it gives the same bytes, wherever the checkout lies: no paths, names or dates go into the output.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
SHIPPED: Final = HERE.parents[1] / "impl" / "hotswap" / "_demo" / "plugins"

COMPILE: Final = (
    *(sys.executable, "-m", "ziglang", "cc"),
    *("-target", "wasm32-freestanding", "-mcpu=mvp"),  # mvp: nothing that a host might have switched off
    *("-std=c11", "-O2", "-g0", "-Wall", "-Wextra", "-Werror"),
    *("-nostdlib", "-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=8192"),
)

CRC32_VARIANTS: Final = {
    "1.0.0": ("-DVARIANT_SLOW",),
    "2.0.0": (),
    "2.1.0": ("-DVARIANT_BAD_PROBE",),
    "2.2.0": ("-DVARIANT_HANG",),
}


def build(source: Path, output: Path, defines: tuple[str, ...], cache: Path) -> None:
    """Compile one C file to one wasm file; the compiler's complaints go to stderr and end the program."""
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)}
    subprocess.run([*COMPILE, *defines, source.name, "-o", str(output)], cwd=source.parent, env=environment, check=True)
    output.chmod(0o644)


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        print(f"ziglang {version('ziglang')}")
        for number, defines in CRC32_VARIANTS.items():
            output = SHIPPED / f"crc32-{number}.wasm"
            build(HERE / "crc32" / "crc32.c", output, defines, Path(cache))
            print(f"{output.relative_to(HERE.parents[1])}: {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
