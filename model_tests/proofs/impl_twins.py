"""Edits to the production code that a contract must notice: a method, what stands in it, and what would be wrong."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest import mock

from hotswap import _compat, _state
from hotswap._lifecycle import Lifecycle
from hotswap._protocol import HotReloadProtocol
from hotswap._runtime import _census, _deadline, _instance, _prepared, _values
from hotswap._upgrade import Upgrades


class Twin(NamedTuple):
    owner: Any
    name: str
    old: str
    new: str

    @contextmanager
    def instead(self) -> Iterator[None]:
        """The edited function stands in the place of the production's."""
        function = vars(self.owner)[self.name] if isinstance(self.owner, type) else getattr(self.owner, self.name)
        module = sys.modules[function.__module__]
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.old) == 1, f"expected one {self.old!r} in {self.name}"
        defined: dict[str, Any] = {}
        exec(compile(source.replace(self.old, self.new), "<twin>", "exec"), vars(module), defined)
        edited = defined[self.name]
        with ExitStack() as stack:
            for module in [one for one in sys.modules.values() if vars(one).get(self.name) is function]:
                stack.enter_context(mock.patch.object(module, self.name, edited))
            if isinstance(self.owner, type):
                stack.enter_context(mock.patch.object(self.owner, self.name, edited))
            yield


PROTOCOL = {
    "anybody_asks": {
        "claims what is owned": Twin(HotReloadProtocol, "claim", "self._owner is not None", "False"),
        "claims what is closed": Twin(HotReloadProtocol, "claim", "self._refuse_closed()", "pass"),
        "does not count a claim": Twin(HotReloadProtocol, "claim", "attempts + 1", "attempts"),
        "cancels too late": Twin(HotReloadProtocol, "cancel", "is not HotReloadState.PREP", "is HotReloadState.PREP"),
        "cancels and keeps the owner": Twin(HotReloadProtocol, "cancel", "self._owner = book, None", "_ = book, None"),
        "begins what is not offered": Twin(HotReloadProtocol, "begin", " or candidate is None", ""),
        "begins what executes": Twin(
            HotReloadProtocol, "begin", "self.phase.value is not HotReloadState.PREP", "None is HotReloadState.PREP"
        ),
        "counts a failure that was none": Twin(HotReloadProtocol, "close", " and not self._owner.decided", ""),
        "closes and keeps the candidate": Twin(HotReloadProtocol, "close", "self._drop_candidate(self._owner)", "pass"),
        "reclaims under a call": Twin(Lifecycle, "reclaim", " or not version.drained", ""),
        "reclaims what a rollback needs": Twin(Lifecycle, "reclaim", "version is self._kept or ", ""),
    },
    "who_has_lost_it_asks": {
        "begins what was cancelled": Twin(HotReloadProtocol, "begin", "self._refuse_lost(prepared)", "pass"),
        "confirms what is lost": Twin(HotReloadProtocol, "_refuse_lost", "is not attempt", "is None"),
        "gives up another's": Twin(HotReloadProtocol, "abort", "self._owner is not attempt or ", ""),
        "finishes another's": Twin(HotReloadProtocol, "finish", "self._owner is attempt and ", ""),
        "publishes when closed": Twin(HotReloadProtocol, "publish", "self._refuse_closed()", "pass"),
        "commits when closed": Twin(HotReloadProtocol, "commit", "self._refuse_closed()", "pass"),
        "waits when closed": Twin(Lifecycle, "_drained", "if not closing:", "if closing:"),
    },
    "the_owner_asks": {
        "does not give the attempt up": Twin(HotReloadProtocol, "abort", "attempt if executed else None", "attempt"),
        "rolls back what did not execute": Twin(
            HotReloadProtocol, "abort", "ROLLED_BACK if executed", "ROLLED_BACK if True"
        ),
        "undoes what is decided": Twin(HotReloadProtocol, "abort", "attempt.decided or", ""),
        "rolls back and stays": Twin(HotReloadProtocol, "abort", "self.current.value = attempt.old", "pass"),
        "does not count a failure": Twin(HotReloadProtocol, "_failed", "failed_upgrades + 1", "failed_upgrades"),
        "rolls back to what is stopped": Twin(HotReloadProtocol, "abort", "attempt.old.code.interrupt(False)", "pass"),
        "rolls back behind the gate": Twin(HotReloadProtocol, "abort", "self._open_gate()", "pass"),
        "publishes and does not retire": Twin(HotReloadProtocol, "publish", "self._retire(old)", "pass"),
        "commits behind the gate": Twin(HotReloadProtocol, "commit", "self._open_gate()", "pass"),
        "commits and keeps the old": Twin(HotReloadProtocol, "commit", "True, None", "True, attempt.old"),
        "finishes what is undecided": Twin(HotReloadProtocol, "finish", "attempt.decided", "True"),
        "takes the other cutover": Twin(HotReloadProtocol, "begin", "cutover is Cutover", "cutover is not Cutover"),
        "executes and does not keep": Twin(HotReloadProtocol, "begin", "self._owner, self._kept", "self._owner, _"),
        "offers what is retired": Twin(
            HotReloadProtocol,
            "offer",
            "candidate.live.value = candidate, True",
            "candidate.live.value = candidate, False",
        ),
    },
    "the_drain_timeout_passes": {
        "detaches one too many": Twin(Upgrades, "_overdue", "others < policy", "others <= policy"),
        "counts the old one as another": Twin(Upgrades, "_overdue", "version is not old", "True"),
        "interrupts and does not commit": Twin(Upgrades, "_overdue", "is Cutover.OVERLAP", "is None"),
        "interrupts and detaches": Twin(Upgrades, "_overdue", " or attempt.decided", " or True"),
        "interrupts nobody": Twin(HotReloadProtocol, "interrupt", "interrupt(True)", "interrupt(False)"),
    },
}
"""By the contract of `impl_protocol.py` that must notice."""

COMPAT = {
    "versions": {
        "forbids what is newer": Twin(_compat, "upgrade_problems", "order < 0", "order > 0"),
        "ignores the permission to go back": Twin(
            _compat, "upgrade_problems", "order < 0 and not allow_downgrade", "order < 0"
        ),
        "takes the wrong permission": Twin(
            _compat, "upgrade_problems", "order < 0 and not allow_downgrade", "order < 0 and not allow_rebuild"
        ),
        "lets another build pass": Twin(_compat, "upgrade_problems", "order == 0 and", "order > 0 and"),
    },
    "a_version_follows_itself": {
        "forbids the same bytes": Twin(_compat, "upgrade_problems", "new_facts.digest != old_facts.digest", "True"),
    },
    "who_follows_is_not_followed": {
        "lets any version pass": Twin(_compat, "upgrade_problems", "order < 0", "False"),
    },
    "permission_takes_nothing_away": {
        "demands to go back where it is allowed": Twin(
            _compat, "upgrade_problems", "order < 0 and not allow_downgrade", "order > 0 and allow_downgrade"
        ),
    },
    "functions_follow": {
        "lets a function go": Twin(
            _compat, "upgrade_problems", "after != before", "after is not None and after != before"
        ),
        "lets a function change": Twin(_compat, "upgrade_problems", "after != before", "after is None"),
        "looks at the new names": Twin(
            _compat, "upgrade_problems", "old_manifest.functions_named()", "new_manifest.functions_named()"
        ),
    },
    "a_limit_grows": {
        "takes no fuel for no fuel": Twin(_compat, "_larger", 'limit == "fuel_limit"', "False"),
        "takes no fuel for no limit on anything": Twin(_compat, "_larger", 'limit == "fuel_limit"', "True"),
        "lets what was unmetered be metered no more": Twin(_compat, "_larger", "before != 0 and ", ""),
        "refuses as much as before": Twin(_compat, "_larger", "return after > before", "return after >= before"),
        "takes another permission for the grant": Twin(
            _compat, "upgrade_problems", "not allow_escalation", "not allow_downgrade"
        ),
        "overlooks the last limit": Twin(
            _compat, "escalations", "ResourceLimits.__struct_fields__", "ResourceLimits.__struct_fields__[:-1]"
        ),
    },
    "a_capability_grows": {
        "counts tables only": Twin(_compat, "escalations", "if name not in before", "if len(after) > len(before)"),
        "holds on to what goes": Twin(
            _compat, "escalations", "for name in after if name not in before", "for name in before if name not in after"
        ),
        "grants it without being asked": Twin(_compat, "upgrade_problems", "if not allow_escalation:", "if False:"),
    },
    "a_search_is_asked_for": {
        "refuses what is given up": Twin(_compat, "escalations", "after and not before", "before and not after"),
        "asks again for what is granted": Twin(_compat, "escalations", "after and not before", "after"),
    },
    "promises": {
        "needs no export": Twin(_compat, "module_problems", "manifest.functions_named() - exported.keys()", "()"),
        "takes any signature": Twin(_compat, "module_problems", "exported[name] != signature", "False"),
        "looks for what is not there": Twin(
            _compat, "module_problems", "name in exported and exported[name]", "exported.get(name)"
        ),
    },
}
LIMITS = {
    "i32_argument": {"wraps the largest": Twin(_values, "_integer", "<= high", "<= high + 1")},
    "i64_argument": {"wraps the least": Twin(_values, "_integer", "low <= number", "low - 1 <= number")},
    "memory_size": {
        "takes a megabyte for a million": Twin(_instance, "_bytes_of", "megabytes << 20", "megabytes * 1_000_000")
    },
    "pointer": {"takes the largest for negative": Twin(_instance, "_i32", "> _I32_MAX", ">= _I32_MAX")},
    "instances": {
        "lets one too many in": Twin(_census.Census, "enter", "self.alive >=", "self.alive >"),
        "counts who is refused": Twin(
            _census.Census, "enter", "with self._lock:", "with self._lock:\n        self.created += 1"
        ),
    },
    "ticks": {
        "asks too late": Twin(_deadline, "slice_ticks", "1 + (left", "2 + (left"),
        "asks too early": Twin(_deadline, "slice_ticks", "3 * TICK_S", "9 * TICK_S"),
    },
    "seconds": {
        "waits less than no time": Twin(_state, "seconds_of", "0 <= value", "-1 <= value"),
        "waits for ever": Twin(_state, "seconds_of", "not 0 <= value <= sys.float_info.max", "value < 0"),
    },
    "memory_range": {
        "reads one byte beyond": Twin(
            _prepared.PreparedLinkage, "holds", "start + size <= self._size", "start + size <= self._size + 1"
        ),
        "believes that no memory grows": Twin(
            _prepared.PreparedLinkage,
            "holds",
            "(start + size <= self._size or start + size <= self.memory_size())",
            "start + size <= self._size",
        ),
        "checks the start only": Twin(
            _prepared.PreparedLinkage, "holds", "start + size <= self.memory_size()", "start <= self.memory_size()"
        ),
    },
    "exchange": {
        "believes the allocator": Twin(
            _instance.WasmInstance, "_exchange", "not linkage.holds(pointer, size)", "pointer < 0"
        ),
        "believes the reply": Twin(
            _instance.WasmInstance, "_exchange", "not linkage.holds(reply, reply_size)", "reply < 0"
        ),
        "asks for the start only": Twin(
            _instance.WasmInstance, "_exchange", "linkage.holds(reply, reply_size)", "linkage.holds(reply, 0)"
        ),
        "gives an address that wraps": Twin(_instance.WasmInstance, "_exchange", "free, _i32(reply)", "free, reply"),
        "takes an address for negative": Twin(
            _instance.WasmInstance, "_exchange", "linkage.step(alloc, size) & _U32", "linkage.step(alloc, size)"
        ),
    },
}
"""Likewise, of `impl_compat.py` and `impl_limits.py`."""
