"""Functions of the host that a plugin may call. None is there unless it is granted by name.

A grant is for the slot, not for one version: whatever is upgraded into the plugin may import it. Each plugin has one
`Imports` object, by which a thread that sits in one of the plugin's own host functions is known.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hotswap._errors import Reentrant
from hotswap._signature import Signature


@dataclass(frozen=True, slots=True)
class HostFunction:
    """A Python function with the type that a plugin imports it by.

    `signature` is a text such as `(i32, f64) -> i64`. The function gets an int or a float a parameter, and returns
    None, a number, or a tuple: checked, never wrapped. It runs on the caller's thread, and no deadline stops it. What
    it raises ends the call with `HostFunctionFailed`. Raises `ValueError` for a signature, `TypeError` for a function.
    """

    signature: str
    function: Callable[..., Any]
    type: Signature = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"a host function: expected something to call, found {self.function!r}")
        object.__setattr__(self, "type", Signature.parse(self.signature))


class Imports:
    """What one plugin may import, by `module.name`."""

    __slots__ = ("granted", "plugin")

    def __init__(self, plugin: str, granted: Mapping[str, HostFunction]) -> None:
        for name, function in granted.items():
            if not isinstance(name, str) or "." not in name:
                raise ValueError(f"imports: expected names such as 'env.log', module and name, found {name!r}")
            if not isinstance(function, HostFunction):
                raise TypeError(f"imports: {name}: expected a hotswap.HostFunction, found {type(function).__name__}")
        self.plugin, self.granted = plugin, dict(granted)

    def refuse_reentry(self) -> None:
        """Raise `Reentrant` if this thread is inside one of these functions."""
        frame = INSIDE.innermost
        while frame is not None:
            if frame[0] is self:
                raise Reentrant(
                    f"plugin {self.plugin!r} was called from inside one of its own host functions, on the same thread; "
                    "call it after the function has returned"
                )
            frame = frame[1]


NO_IMPORTS: Final = Imports("", {})

Frame = tuple[Imports, "Frame | None"]


class _Inside(threading.local):
    """Whose host functions the thread is in: a linked list, since one store of a reference is all or nothing."""

    innermost: Frame | None = None


INSIDE: Final = _Inside()
