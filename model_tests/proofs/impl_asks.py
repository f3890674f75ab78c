"""What can be asked of the production protocol, when, and what the specification says to it.

What is asked is one method, as it stands. If the specification has the step, the answer is its, and what is seen then
is where it leads to; if not, the answer is a refusal, and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple

from hotswap._errors import DrainTimeout
from hotswap._state import Cutover, HotReloadState, OnDrainTimeout
from hotswap._upgrade import Policy
from hotswap._version import Attempt
from proofs import upgrade_ends, upgrade_steps
from proofs._contracts import Way, functions, ways
from proofs._logic import among
from proofs.impl_cases import Case, executes
from proofs.impl_plugin import GRANTED, MANIFEST, Answer, Code, Nothing, Plugin, alike, seen_in
from proofs.upgrade import At, Counted, Place, early, undecided

LATE, CANCELLED, CLOSED = "Busy", "UpgradeCancelled", "PluginClosed"
CUTOVERS = (Cutover.OVERLAP, Cutover.EXCLUSIVE)


def bare(step: FunctionType) -> FunctionType:
    """The same step without its contract, which is proved elsewhere: the prover would check it at each call."""
    copied = FunctionType(step.__code__, step.__globals__, step.__name__)
    copied.__doc__ = None
    return copied


def bared(way: Way, step: FunctionType) -> Way:
    return way._replace(does=partial(bare(step), **way.chosen))


WAYS = {
    str(way): bared(way, step)
    for module in (upgrade_steps, upgrade_ends)
    for name, step in functions(module).items()
    if name != "start"
    for way in ways(step)
}


class Ask(NamedTuple):
    when: Callable[[Counted], bool]
    does: Callable[[Plugin], Any]
    says: Callable[[Counted], Answer]


REFUSALS = frozenset({LATE, CANCELLED, CLOSED, "WrongState", "False"})


def differences(case: Case, asks: dict[str, Ask]) -> list[str]:
    """What of all that can be asked in a state does not get the specification's answer.

    Whom the plugin has refused something, it serves on: so what a refusal changed without being seen is found, too.
    """
    wrong, plugin = [], None
    for name, (when, does, says) in asks.items():
        if when(case.state):
            plugin = plugin or Plugin(case)
            answer, expected = plugin.ask(does), says(case.state)
            if not alike(answer, expected):
                wrong.append(name)
            if expected[0] not in REFUSALS:
                plugin.drop()
                plugin = None
    if plugin is not None:
        plugin.drop()
    return wrong


def told(s: Counted, otherwise: str, **steps: str) -> Answer:
    """The answer that stands with the step that is possible, and what that leads to; or another, and no change."""
    for answer, name in steps.items():
        way = WAYS[name]
        if way.can(s):
            return answer.rstrip("_"), seen_in(way.does(s))
    return otherwise, seen_in(s)


def says(otherwise: str | Callable[[Counted], str], **steps: str) -> Callable[[Counted], Answer]:
    return lambda s: told(s, otherwise if isinstance(otherwise, str) else otherwise(s), **steps)


def always(s: Counted) -> bool:
    return True


def closed(s: Counted) -> bool:
    return s.closed


def lost(s: Counted) -> str:
    """What who has lost an attempt is told (`find_lost`)."""
    return CLOSED if s.closed else CANCELLED


def refused(s: Counted) -> str:
    """What who would execute something is told, when there is nothing that he may."""
    if s.closed:
        return CLOSED
    return LATE if s.owners > 0 else "WrongState"


def begin(exclusive: bool, plugin: Plugin, prepared: Attempt | None) -> None:
    plugin.protocol.begin(Attempt(), CUTOVERS[exclusive], prepared)


def reclaim(plugin: Plugin) -> bool:
    leases = plugin.protocol.reclaim(plugin.watched)
    if leases:
        plugin.protocol.forget(plugin.watched)
    return bool(leases)


def admit(plugin: Plugin) -> bool:
    """Whether somebody is let in is compared, and to which version; that he is counted there is the core's affair."""
    lease = plugin.protocol.admit()
    if lease is None:
        return False
    plugin.leases.append(lease)
    return lease.version is plugin.protocol.current.value


def finish_anothers(plugin: Plugin) -> None:
    another = Attempt()
    another.decided = True
    plugin.protocol.finish(another)


ANYBODY = {
    "claim": Ask(always, lambda p: p.protocol.claim(Attempt()), says(CLOSED, granted="claim()", Busy="be_busy()")),
    "cancel": Ask(
        always,
        lambda p: p.protocol.cancel(),
        says("False", True_="cancel()", False_="cancel_nothing()", Busy="cancel_late()"),
    ),
    "overlap": Ask(always, lambda p: begin(False, p, None), says(refused, granted="overlap(me=False)")),
    "exclude": Ask(always, lambda p: begin(True, p, None), says(refused, granted="exclude(me=False)")),
    "admit": Ask(always, admit, says("False", True_="admit()")),
    "reclaim": Ask(always, reclaim, says("False", True_="reclaim()")),
    "close": Ask(always, lambda p: p.protocol.close(), says("no such step", granted="close()")),
}
"""By who owns nothing, in every state."""

LOST = {
    "offer what is lost": Ask(always, lambda p: p.protocol.offer(Attempt(), Code(), MANIFEST, [Nothing()]), says(lost)),
    "confirm what is lost": Ask(always, lambda p: p.protocol.confirm(Attempt()), says(lost)),
    "overlap what is lost": Ask(always, lambda p: begin(False, p, Attempt()), says(lost)),
    "abort what is lost": Ask(always, lambda p: p.protocol.abort(Attempt(), "Fault"), says("False")),
    "finish what is another's": Ask(always, finish_anothers, says(GRANTED)),
    "publish when closed": Ask(closed, lambda p: p.protocol.publish(p.old, p.new), says(CLOSED)),
    "enter when closed": Ask(closed, lambda p: p.protocol.enter(HotReloadState.DRAINING), says(CLOSED)),
    "await_drain when closed": Ask(closed, lambda p: p.protocol.await_drain(p.old, 0.0), says(CLOSED)),
    "commit when closed": Ask(closed, lambda p: p.protocol.commit(p.attempt, 0), says(CLOSED)),
    "interrupt when closed": Ask(closed, lambda p: p.protocol.interrupt(p.old), says(CLOSED)),
}
"""By who has lost what he owned: to a cancel, to another who executes, or to a close."""


def offer(plugin: Plugin, here: bool) -> None:
    plugin.protocol.offer(plugin.attempt, Code(), MANIFEST, [Nothing()])
    assert plugin.attempt.candidate is not None
    plugin.versions.append(plugin.attempt.candidate)
    if here:
        plugin.watched = plugin.attempt.candidate


def see_drained(plugin: Plugin) -> bool | None:
    if not plugin.protocol.await_drain(plugin.old, 0.0):
        return False
    return plugin.protocol.enter(HotReloadState.SWAPPING) if plugin.state.exclusive else None


def finished(s: Counted) -> Answer:
    """Who is committed may cease to wait, which is one more step of the specification."""
    return told(WAYS["let_be()"].does(s) if committed(s) else s, GRANTED, granted="finish()")


def committed(s: Counted) -> bool:
    return s.place == Place.GRACE and not s.exclusive


def at(*places: int) -> Callable[[Counted], bool]:
    return lambda s: among(s.place, *places)


IMPOSSIBLE = "no such step"
OWNER = {
    "offer": Ask(at(Place.PREPARING), partial(offer, here=False), says(IMPOSSIBLE, granted="offer(here=False)")),
    "offer it": Ask(
        lambda s: s.place == Place.PREPARING and s.at == At.FRESH,
        partial(offer, here=True),
        says(IMPOSSIBLE, granted="offer(here=True)"),
    ),
    "confirm": Ask(early, lambda p: p.protocol.confirm(p.attempt), says(GRANTED)),
    "fail": Ask(
        at(Place.PREPARING, Place.PREPARED),
        lambda p: p.protocol.abort(p.attempt, "Fault"),
        says(IMPOSSIBLE, True_="fail()"),
    ),
    "overlap": Ask(
        at(Place.PREPARED), lambda p: begin(False, p, p.attempt), says(IMPOSSIBLE, granted="overlap(me=True)")
    ),
    "exclude": Ask(
        at(Place.PREPARED), lambda p: begin(True, p, p.attempt), says(IMPOSSIBLE, granted="exclude(me=True)")
    ),
    "publish": Ask(
        at(Place.SWAPPING), lambda p: p.protocol.publish(p.old, p.new), says(IMPOSSIBLE, granted="publish()")
    ),
    "drain": Ask(
        at(Place.PUBLISHED),
        lambda p: p.protocol.enter(HotReloadState.DRAINING),
        says(IMPOSSIBLE, granted="drain()"),
    ),
    "see_drained": Ask(at(Place.DRAINING, Place.GRACE), see_drained, says("False", granted="see_drained()")),
    "commit": Ask(at(Place.READY), lambda p: p.protocol.commit(p.attempt, 0), says(IMPOSSIBLE, granted="commit()")),
    "strike": Ask(executes, lambda p: p.protocol.abort(p.attempt, "Fault"), says("False", True_="strike()")),
    "finish": Ask(lambda s: s.owners > 0, lambda p: p.protocol.finish(p.attempt), finished),
}
"""By the owner, where he is."""


def overdue(policy: OnDrainTimeout, others: int, max_detached: int, plugin: Plugin) -> bool | None:
    """The drain timeout passes; what is decided then, and what `execute` does about it."""
    protocol, cutover = plugin.protocol, CUTOVERS[plugin.state.exclusive]
    for _ in range(others):
        plugin.retire_another()
    try:
        plugin.upgrades()._overdue(plugin.attempt, plugin.old, Policy(cutover, policy, 5.0, max_detached), 0.0)
    except DrainTimeout as error:
        return protocol.abort(plugin.attempt, type(error).__name__)
    return protocol.enter(HotReloadState.SWAPPING) if plugin.state.exclusive else None


def at_the_timeout(policy: OnDrainTimeout, others: int, max_detached: int, s: Counted) -> Answer:
    """The watched version may be one of those that still run."""
    if policy is OnDrainTimeout.INTERRUPT:
        t = WAYS["interrupt()"].does(s)
        let_be = "True_" if s.exclusive else GRANTED
        if WAYS["see_drained()"].can(t):
            return told(t, IMPOSSIBLE, granted="see_drained()")
        return told(t, IMPOSSIBLE, **{let_be: "let_be()"})
    others += s.at == At.RETIRED and not s.old.code
    if policy is OnDrainTimeout.DETACH and others < max_detached:
        return told(s, IMPOSSIBLE, granted="detach()")
    return told(s, IMPOSSIBLE, True_="time_out()")


TIMEOUTS = {
    f"{policy.name}, {others} of {most}": Ask(
        always if policy is not OnDrainTimeout.DETACH else lambda s: not s.exclusive,
        partial(overdue, policy, others, most),
        partial(at_the_timeout, policy, others, most),
    )
    for policy in OnDrainTimeout
    for others, most in ((0, 1), (1, 1), (1, 2))
    if policy is OnDrainTimeout.DETACH or (others, most) == (0, 1)
}
"""By the owner when the drain timeout passes, by what the plugin was told; never EXCLUSIVE with DETACH."""
