"""What a forked child is told of its parent's plugins. wasmtime does not survive a fork, and nor do threads that others
wait for."""

from __future__ import annotations

import os

from hotswap._errors import HotswapError


def forked() -> HotswapError:
    return HotswapError(
        "this process was forked from one that runs plugins, which wasmtime does not survive; "
        "make the plugins after the fork, or start the process with subprocess or a spawning pool"
    )


def demand_process(process: int) -> None:
    """Raise `HotswapError` in any process but that one."""
    if os.getpid() != process:
        raise forked()
