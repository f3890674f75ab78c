"""The attributes of the production code that are neither a lock nor an atomic nor a bag, seen by the scheduler.

The production classes stay as they are; while they are watched, some of their attributes are descriptors.

*Watched* attributes are read without the lock somewhere: which versions are retired, the lease that a waiter was given,
the latest failure of a replacement. Each change, and each read without a lock, is announced like an access to an
atomic. A read under a lock needs no announcement, because every change is made under that same lock: the vector
clocks check that as well.

*Checked* attributes are all the others that can change. They are not announced, and so not scheduling points; but with
`Limits.races` each access must be ordered by announced steps, or the run fails. What they hold that is mutable counts
as changed whenever it is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from hotswap._core import Core
from hotswap._lifecycle import Lifecycle
from hotswap._protocol import HotReloadProtocol
from hotswap._upgrade import Upgrades
from hotswap._version import Attempt, Lease, Version, Waiter
from scheduler._merge import Guarded
from scheduler._run import Run

LISTS: Final = {"_retired"}
"""Those of the watched attributes that hold a list: the list tells of itself, and nobody need see it read."""
WATCHED: Final[list[tuple[type, str]]] = [
    (Core, "_retired"),
    (Waiter, "lease"),
    (Upgrades, "last_failure"),
]
CHECKED: Final[list[tuple[type, str]]] = [
    (Core, "_waiters"),
    (Core, "_shut_since"),
    (Core, "_shut_s_total"),
    (Lifecycle, "_kept"),
    (Lifecycle, "discarded"),
    (HotReloadProtocol, "_owner"),
    (HotReloadProtocol, "_versions"),
    (Version, "gathered"),
    (Version, "announced"),
    (Version, "wake"),
    (Lease, "dead"),
    (Lease, "instance"),
    (Waiter, "held"),
    (Waiter, "since"),
    (Attempt, "old"),
    (Attempt, "candidate"),
    (Attempt, "decided"),
    (Attempt, "overdue"),
]
MUTABLE: Final = {"_waiters", "gathered"}


class _Here:
    """The run that is under way in this process; production objects do not know of it."""

    run: Run | None = None
    watched: ClassVar[list[_Watched]] = []


class WatchedList(list[Any]):
    """A list whose changes and unlocked copies are announced."""

    def __init__(self, items: list[Any], shared: Guarded) -> None:
        super().__init__(items)
        self.shared = shared

    def append(self, item: Any, /) -> None:
        _access(self.shared, True)
        super().append(item)

    def remove(self, item: Any, /) -> None:
        _access(self.shared, True)
        super().remove(item)

    def copy(self) -> list[Any]:
        _access(self.shared, False)
        return list(self)


def _access(shared: Guarded, write: bool) -> None:
    run = shared.run
    task = run.current
    if task is None:
        return
    if write or not run.held:
        if not shared.is_guarded(write) and run.announce(shared, write, "changes" if write else "reads"):
            run.touch(shared, write)
        if not write:
            return  # every change is announced, and so orders itself with this
    run.plain(shared, "value", write)


class _Attribute:
    """In the place of a slot or an instance attribute."""

    def __init__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name
        self._slot: Any = owner.__dict__.get(name)  # None: it is in the instance's dictionary

    def __get__(self, owner: Any, kind: type) -> Any:
        if owner is None:
            return self
        self._looked(owner)
        return self._load(owner)

    def __set__(self, owner: Any, value: Any) -> None:
        self._changed(owner, value)

    def _load(self, owner: Any) -> Any:
        if self._slot is not None:
            return self._slot.__get__(owner, self._owner)
        try:
            return owner.__dict__[self._name]
        except KeyError:
            raise AttributeError(self._name) from None

    def _store(self, owner: Any, value: Any) -> None:
        if self._slot is not None:
            self._slot.__set__(owner, value)
        else:
            owner.__dict__[self._name] = value

    def _looked(self, owner: Any) -> None:
        raise NotImplementedError

    def _changed(self, owner: Any, value: Any) -> None:
        raise NotImplementedError


class _Checked(_Attribute):
    def _looked(self, owner: Any) -> None:
        if _Here.run is not None:
            _Here.run.plain(owner, self._name, self._name in MUTABLE)

    def _changed(self, owner: Any, value: Any) -> None:
        if _Here.run is not None:
            _Here.run.plain(owner, self._name, True)
        self._store(owner, value)


class _Watched(_Attribute):
    def __init__(self, owner: type, name: str) -> None:
        super().__init__(owner, name)
        self._by_id: dict[int, tuple[Guarded, Any]] = {}

    def _of(self, owner: Any) -> Guarded | None:
        """The object that stands for this attribute of `owner`; None outside a run."""
        run = _Here.run
        if run is None:
            return None
        known = self._by_id.get(id(owner))
        if known is None or known[1] is not owner:
            known = self._by_id[id(owner)] = Guarded(run, self._name), owner
        return known[0]

    def forget(self) -> None:
        self._by_id.clear()

    def __get__(self, owner: Any, kind: type) -> Any:
        if owner is None:
            return self
        run = _Here.run
        if run is not None and run.current is not None and (not run.held or run.races is not None):
            self._looked(owner)
        slot = self._slot
        return slot.__get__(owner) if slot is not None else self._load(owner)

    def _looked(self, owner: Any) -> None:
        if (shared := self._of(owner)) is not None:
            _access(shared, False)

    def _changed(self, owner: Any, value: Any) -> None:
        if (shared := self._of(owner)) is not None:
            if self._held_by_none_yet(owner):
                pass  # it is being made
            elif value is not self._load(owner):
                _access(shared, True)
        self._store(owner, value)

    def _held_by_none_yet(self, owner: Any) -> bool:
        try:
            self._load(owner)
        except AttributeError:
            return True
        return False


class _Lists:
    """In the place of an instance attribute that holds a list. A class without `__get__` leaves reading to Python."""

    def __init__(self, owner: type, name: str) -> None:
        self._name = name

    def _load(self, owner: Any) -> Any:
        return owner.__dict__.get(self._name)

    def __set__(self, owner: Any, value: list[Any]) -> None:
        if (run := _Here.run) is not None:
            before = self._load(owner)
            known = type(before) is WatchedList and before.shared.run is run
            value = WatchedList(value, before.shared if known else Guarded(run, self._name))
        owner.__dict__[self._name] = value


@contextmanager
def watched(*, checked: bool = True) -> Iterator[None]:
    """Production classes are watched inside; `checked` is needed for `Limits.races` only, and costs time."""
    kept: list[tuple[type, str, Any]] = []
    try:
        for kind, attribute in ((_Watched, WATCHED), *(((_Checked, CHECKED),) if checked else ())):
            for owner, name in attribute:
                if isinstance(owner.__dict__.get(name), _Attribute | _Lists):
                    continue  # it is watched already
                kept.append((owner, name, owner.__dict__.get(name)))
                attribute = _Lists(owner, name) if name in LISTS else kind(owner, name)
                setattr(owner, name, attribute)
                if isinstance(attribute, _Watched):
                    _Here.watched.append(attribute)
        yield
    finally:
        here = [owner.__dict__.get(name) for owner, name, _ in kept]
        _Here.watched = [attribute for attribute in _Here.watched if attribute not in here]
        for owner, name, slot in kept:
            if slot is None:
                delattr(owner, name)
            else:
                setattr(owner, name, slot)


def begin(run: Run) -> None:
    """The production objects made from now on belong to this run."""
    _Here.run = run
    for attribute in _Here.watched:
        attribute.forget()
