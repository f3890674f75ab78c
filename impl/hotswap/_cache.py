"""Compiled modules on disk, so that the same bytes are compiled once for many processes and restarts.

wasmtime trusts what it deserializes: one flipped bit may kill the process. So nothing is given to it that this file
has not authenticated, on the very bytes that are handed over: an entry carries an HMAC-SHA256 over its name and its
contents, and the key lies outside the folder. The folder and the key must be this user's and nobody else's, which is
looked at each time. An entry that is damaged, half written, foreign or another's is counted, left aside and made anew;
a disk that is full, or a folder that is gone, costs the cache and not the plugin.

Processes share a folder safely: an entry is written under another name and put in its place in one step, and reading
takes no lock. What has not been used for longest goes when there is too much.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from hotswap._errors import UnsafeCache

_KEY_BYTES: Final = 32
_MAC_BYTES: Final = hashlib.sha256().digest_size
_ENTRY: Final = ".cwasm"
_HALF: Final = ".half"
_HALF_AGE_S_MAX: Final = 3_600
"""A file that is half written for longer is a dead process's."""
_NO_FOLLOW: Final = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What became of the requests of this process. `hits + misses + rejected` is their number."""

    hits: int = 0
    misses: int = 0
    rejected: int = 0
    """Entries that were there and not authentic: damaged, half written, made with another key, or somebody else's."""
    stored: int = 0
    evicted: int = 0
    failures: int = 0
    """Times that the disk or the folder refused: an entry was not stored, or none could be looked for."""


class CompileCache:
    """A folder of compiled modules. Thread-safe, and shared by processes.

    `directory` is made if it is not there; `key_file` too, with a key drawn by chance, and must lie elsewhere. Both
    belong to this user alone. `max_mb` is the size of all entries together. Raises `UnsafeCache`, `OSError`.
    """

    def __init__(
        self, directory: str | os.PathLike[str], key_file: str | os.PathLike[str], *, max_mb: int = 512
    ) -> None:
        if max_mb < 1:
            raise ValueError(f"max_mb: expected 1 or more, found {max_mb}")
        self._path = Path(directory).resolve()
        self._bytes_max = max_mb << 20
        self._lock = threading.Lock()
        self._stats = CacheStats()
        key_path = Path(key_file).resolve()
        if key_path.is_relative_to(self._path):
            raise UnsafeCache(
                f"key file {str(key_path)!r}: expected it outside {str(self._path)!r}; whoever writes "
                "there could read it, and sign what he likes"
            )
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._key = _key(key_path)
        with self._folder():
            pass

    @property
    def stats(self) -> CacheStats:
        return self._stats

    def get(self, name: str) -> bytes | None:
        """The contents of an entry, authentic, or None."""
        try:
            with self._folder() as folder:
                mac, contents = _read(f"{name}{_ENTRY}", folder, self._bytes_max)
                if hmac.compare_digest(mac, self._mac(name, contents)):
                    with suppress(OSError):
                        os.utime(f"{name}{_ENTRY}", dir_fd=folder)  # used last
                    self._count(hits=1)
                    return contents
        except FileNotFoundError:
            self._count(misses=1)
        except OSError:
            self._count(misses=1, failures=1)
        except UnsafeCache:
            self._count(rejected=1)
        else:
            self._count(rejected=1)
        return None

    def refused(self) -> None:
        """What `get` gave last was authentic, and of no use: made for another processor, say."""
        self._count(hits=-1, rejected=1)

    def put(self, name: str, contents: bytes) -> None:
        """Store an entry; it is no error if that does not work. One that is larger than all may be is not kept."""
        if len(contents) + _MAC_BYTES > self._bytes_max:
            self._count(failures=1)
            return
        half = f"{name}.{secrets.token_hex(8)}{_HALF}"
        try:
            with self._folder() as folder:
                try:
                    _write(half, self._mac(name, contents), contents, folder)
                    os.replace(half, f"{name}{_ENTRY}", src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:
                    with suppress(OSError):
                        os.unlink(half, dir_fd=folder)
                    raise
                self._count(stored=1)
                self._evict(folder)
        except (OSError, UnsafeCache):
            self._count(failures=1)

    @contextmanager
    def _folder(self) -> Iterator[int]:
        """The open folder, after a look at whose it is. Raises `UnsafeCache`, `OSError`."""
        with _opened(self._path, os.O_RDONLY | os.O_DIRECTORY) as folder:
            _demand_ours(os.fstat(folder), f"folder {str(self._path)!r}", _OTHERS)
            yield folder

    def _mac(self, name: str, contents: bytes) -> bytes:
        mac = hmac.new(self._key, name.encode() + b"\0", "sha256")
        mac.update(contents)
        return mac.digest()

    def _evict(self, folder: int) -> None:
        """Entries that were not used for longest go until the others fit; so do files that nobody finishes."""
        entries: list[tuple[float, int, str]] = []
        with os.scandir(folder) as files:
            for file in files:
                with suppress(OSError):  # it is gone; or it is no file, and not ours
                    facts = file.stat(follow_symlinks=False)
                    if file.name.endswith(_ENTRY):
                        entries.append((facts.st_mtime, facts.st_size, file.name))
                    elif file.name.endswith(_HALF) and time.time() - facts.st_mtime > _HALF_AGE_S_MAX:
                        os.unlink(file.name, dir_fd=folder)
        total = sum(size for _, size, _ in entries)
        for _, size, file_name in sorted(entries):
            if total <= self._bytes_max:
                break
            try:
                os.unlink(file_name, dir_fd=folder)
                self._count(evicted=1)
            except FileNotFoundError:
                pass  # another process was faster
            except OSError:
                continue  # a folder, say: it stays, and others must go for it
            total -= size

    def _count(self, **more: int) -> None:
        with self._lock:
            self._stats = replace(self._stats, **{name: getattr(self._stats, name) + n for name, n in more.items()})


def _key(path: Path) -> bytes:
    """The key in that file, which is made if it is not there: by one process, if several come at once."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        half = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        try:
            with _opened(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                os.write(file, secrets.token_bytes(_KEY_BYTES))
                os.fsync(file)
            with suppress(FileExistsError):
                os.link(half, path)
        finally:
            half.unlink(missing_ok=True)
    with _opened(path, os.O_RDONLY | os.O_NONBLOCK) as file:  # a FIFO is not waited for
        _demand_ours(os.fstat(file), f"key file {str(path)!r}", _OTHERS)
        key = os.read(file, _KEY_BYTES + 1)
    if len(key) != _KEY_BYTES:
        raise UnsafeCache(
            f"key file {str(path)!r}: expected {_KEY_BYTES} bytes, found {len(key)}; remove it, and the "
            "cache's folder, to begin anew"
        )
    return key


def _read(name: str, folder: int, bytes_max: int) -> tuple[bytes, bytes]:
    """The authentication and the contents of an entry. A FIFO in its place is not waited for."""
    with _opened(name, os.O_RDONLY | os.O_NONBLOCK, folder) as descriptor:
        facts = os.fstat(descriptor)
        _demand_ours(facts, f"entry {name}", stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > bytes_max:
            raise UnsafeCache(f"entry {name}: expected a file of at most {bytes_max} bytes, found {facts.st_size}")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(_MAC_BYTES), file.read(max(facts.st_size - _MAC_BYTES, 0))


def _write(name: str, mac: bytes, contents: bytes, folder: int) -> None:
    with (
        _opened(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, folder) as descriptor,
        os.fdopen(descriptor, "wb", closefd=False) as file,
    ):
        file.write(mac)
        file.write(contents)


@contextmanager
def _opened(path: str | Path, flags: int, folder: int | None = None) -> Iterator[int]:
    """An open file, by its number. It is in the list before anything can strike, so that no Ctrl-C leaves it open."""
    held: list[int] = []
    try:
        held.extend(map(partial(os.open, flags=flags | _NO_FOLLOW, mode=0o600, dir_fd=folder), [path]))
        yield held[0]
    finally:
        for number in held:
            os.close(number)


def _demand_ours(facts: os.stat_result, what: str, forbidden: int) -> None:
    if facts.st_uid != os.geteuid():
        raise UnsafeCache(f"{what}: expected it to belong to user {os.geteuid()}, found user {facts.st_uid}")
    if facts.st_mode & forbidden:
        raise UnsafeCache(
            f"{what}: expected nobody else to have access, found mode {stat.S_IMODE(facts.st_mode):o}; "
            "chmod it, once you know who could write there"
        )
