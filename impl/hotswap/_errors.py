"""Every error an embedder can meet, under one root.

The tree follows what a caller does next: mend a manifest, mend a module, ask again later, give up on one
call. A message says what was expected, what was found and what to do. Where an error has a cause of its own
(an `OSError`, a wasm trap) that cause is its `__cause__`.
"""

from __future__ import annotations


class HotswapError(Exception):
    """Root of all errors of this package."""


# What an author of a plugin has to mend -------------------------------------------------------------------


class ManifestError(HotswapError):
    """A manifest is unreadable, has an unknown key, a wrong type or a value out of bounds."""


class ModuleRejected(HotswapError):
    """The wasm cannot be read, compiled, linked or instantiated, or lacks an export that it must have."""


class MalformedModule(ModuleRejected):
    """The bytes are no wasm module, or a damaged one; the message says at which byte."""


class UnsupportedModule(ModuleRejected):
    """A component, or a module that needs a proposal of WebAssembly which is switched off here."""


class DigestMismatch(ModuleRejected):
    """The module is not the one whose SHA-256 its manifest pins."""


class LimitExceeded(ModuleRejected):
    """The module is larger, or has more of something, than its manifest's `[resources]` or hotswap allows."""


class InitFailed(ModuleRejected):
    """`hotswap_init` (or the module's start function) trapped, ran too long or did not return 0."""


class ProbeFailed(ModuleRejected):
    """`hotswap_probe` of a candidate trapped, ran too long or did not return 0."""


class IncompatibleUpgrade(HotswapError):
    """The candidate may not follow the version that serves: another name, a lost export, older, larger limits."""


# Whom to believe ------------------------------------------------------------------------------------------


class SignatureError(HotswapError):
    """A plugin is not shown to come from somebody who is trusted. Its kinds say why."""


class MissingSignature(SignatureError):
    """There is no signature where one is demanded."""


class DamagedSignature(SignatureError):
    """A signature file is cut short, altered, or of a form that this version does not know."""


class UnknownKey(SignatureError):
    """The key that signed is not in the trust store."""


class BadSignature(SignatureError):
    """The signature is not genuine, or the module or the manifest is not the one that was signed."""


class KeyRejected(SignatureError):
    """A key file or a trust store cannot be read, is damaged, or could be read or changed by others."""


# What an operator of an upgrade meets ---------------------------------------------------------------------


class WrongState(HotswapError):
    """The operation does not fit the plugin's state."""


class Busy(WrongState):
    """Another attempt owns the upgrade, or the attempt can no longer be cancelled."""


class Reentrant(WrongState):
    """Asked for from inside one of the plugin's own calls, which it would have to wait for; or a call from inside one
    of its host functions."""


class UpgradeCancelled(HotswapError):
    """This attempt was cancelled while it was being prepared, or another thread has executed its candidate."""


class DrainTimeout(HotswapError):
    """The calls in flight did not end within `drain_timeout`; the upgrade was rolled back."""


# What a caller meets --------------------------------------------------------------------------------------


class CallError(HotswapError):
    """A call reached the plugin and did not return a value."""


class CallTrapped(CallError):
    """The wasm trapped; the message carries its backtrace. The instance was discarded, but for some `OutOfMemory`."""


class DeadlineExceeded(CallTrapped):
    """The call ran longer than `resources.timeout_ms`."""


class OutOfFuel(CallTrapped):
    """The call used more than `resources.fuel_limit`."""


class OutOfMemory(CallTrapped):
    """The plugin could not have the memory it asked for within `resources.memory_limit_mb`."""


class CallInterrupted(CallTrapped):
    """The call outlived a drain whose policy is INTERRUPT, or a close whose drain timeout has passed."""


class HostFunctionFailed(CallTrapped):
    """A function of the host that the plugin called raised, or returned what its type does not allow: the cause."""


class BadReply(CallError):
    """A bytes call returned a pointer or a length outside the plugin's memory."""


class UnknownFunction(HotswapError):
    """No such exported function; the message lists those there are."""


class BadArgument(HotswapError):
    """Wrong number, type or range of arguments for the function's signature."""


class Overloaded(HotswapError):
    """No instance became free within `queue_timeout`; or the process has too little of what was needed: instances,
    threads, large stacks, or time, turns and memory for a compilation."""


class UnsafeCache(HotswapError):
    """The folder or the key of a compile cache is not this user's alone, so what is in it cannot be trusted."""


# What became of the plugin --------------------------------------------------------------------------------


class PluginClosed(HotswapError):
    """The plugin is closed, or closing: it admits no call and no upgrade."""


class PluginNotFound(HotswapError):
    """The manager knows no plugin of this name."""


class AlreadyRegistered(HotswapError):
    """The name is taken; it stays taken until `unregister` has returned."""
