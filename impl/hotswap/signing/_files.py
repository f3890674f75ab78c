"""Files that decide about trust: read once and bounded, written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
OTHERS_MAY_READ = stat.S_IRWXG | stat.S_IRWXO


class Unusable(Exception):
    """A file is not there, is no plain file, or open to those it must not be. Its text says what is wrong with it."""


class TooLarge(Unusable):
    """It has more bytes than may be read."""


def read_file(path: Path, limit: int, *, forbidden: int = 0) -> bytes:
    """Its bytes, at most `limit`. With `forbidden` bits of the mode, its owner must be we or root. Raises `Unusable`.

    What is judged is the file that is read, not what bears its name a moment later.
    """
    try:
        # A FIFO would be waited for; what else is no plain file is refused below.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise Unusable("it is no plain file")
            if forbidden:
                require_owned(facts, forbidden)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(limit + 1)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise Unusable(f"it cannot be read: {error}") from error
    if len(data) > limit:
        raise TooLarge(f"it has more than {limit} bytes")
    return data


def require_owned(facts: os.stat_result, forbidden: int) -> None:
    """Raise `Unusable` if others could have changed it, or may do what is forbidden."""
    if facts.st_uid not in (0, os.geteuid()):
        raise Unusable(f"it belongs to user {facts.st_uid}, and not to root or to user {os.geteuid()}; chown it")
    mode = stat.S_IMODE(facts.st_mode)
    if mode & forbidden:
        raise Unusable(f"its mode is {mode:04o}, and may be {mode & ~forbidden:04o} at most; chmod it")


def create_file(path: Path, data: bytes, mode: int) -> None:
    """Write a new file with exactly this mode; raises `FileExistsError` rather than to overwrite, and `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123  it closes the descriptor
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def replace_file(path: Path, data: bytes) -> None:
    """Write a whole file in the place of one that may be there: readers see either. Raises `OSError`."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    create_file(new, data, 0o644)
    try:
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
