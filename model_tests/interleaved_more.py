"""More workloads, by name: each way an upgrade can fail, each outcome of a drain timeout, lost instances, a manager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hotswap import Cutover, OnDrainTimeout
from hotswap.testing import FakeModule
from interleaved import Case, Fault, Workload, case, module
from interleaved_manager import ManagedWorkload
from scheduler import Limits

EXCLUSIVE: Final[dict[str, Any]] = {"cutover": Cutover.EXCLUSIVE}
PREPARED: Final[dict[str, Any]] = {"prepared": 2}
MANAGED: Final[dict[str, Any]] = {"kind": ManagedWorkload}
IDLE: Final = Limits(idle=True)

# A step that fails ------------------------------------------------------------------------------------------------


def fails_once(work: Workload, step: str, *, after: bool) -> None:
    """The protocol's `step` raises once: `after` it has been made, or instead of being made."""
    protocol = work.plugin._protocol
    real, failed = getattr(protocol, step), list[bool]()

    def fail(*args: Any, **kwargs: Any) -> Any:
        if failed:
            return real(*args, **kwargs)
        failed.append(True)
        if after:
            real(*args, **kwargs)
        raise Fault(step)

    setattr(protocol, step, fail)


def fault(step: str, *, after: bool) -> Callable[[Workload], None]:
    def build(work: Workload) -> None:
        fails_once(work, step, after=after)
        work.caller()
        work.upgrader(2)

    return build


def bad(wasm: Callable[[], object], **overrides: Any) -> Callable[[Workload], None]:
    def build(work: Workload) -> None:
        work.caller()
        work.upgrader(2, wasm=wasm(), **overrides)

    return build


def good_once() -> FakeModule:
    """Its second instance fails to initialise."""
    answers = iter((0, 1))
    return FakeModule(module(2).functions, "v2", init=lambda: next(answers))


BAD: Final[dict[str, tuple[str, Callable[[Workload], None], int]]] = {
    "garbage": ("ModuleRejected", bad(lambda: b"garbage"), 1),
    "init fails": ("InitFailed", bad(lambda: FakeModule(module(2).functions, "v2", init=lambda: 1)), 1),
    "probe fails": ("ProbeFailed", bad(lambda: FakeModule(module(2).functions, "v2", probe=lambda: 1)), 1),
    "second instance fails": ("InitFailed", bad(good_once), 2),
    "wrong name": ("IncompatibleUpgrade", bad(lambda: module(2), name="q"), 1),
}
FAULTS: Final = (
    ("claim", True),
    ("offer", False),
    ("offer", True),
    ("begin", False),
    ("begin", True),
    ("publish", False),
    ("publish", True),
    ("enter", False),
    ("commit", False),
)

# Calls, upgrades, and who ends them --------------------------------------------------------------------------------


def three_calls_execute(work: Workload) -> None:
    for _ in range(3):
        work.caller()
    work.executor()


def two_calls_two_upgrades(work: Workload) -> None:
    work.caller()
    work.caller()
    work.executor()
    work.upgrader(3)


def call_two_upgrades(work: Workload) -> None:
    work.caller()
    work.upgrader(2)
    work.upgrader(3)


def two_calls_execute_cancel(work: Workload) -> None:
    work.caller()
    work.caller()
    work.executor()
    work.canceller()


def call_upgrade_upgrade(work: Workload) -> None:
    work.caller()
    work.upgrader(2, 3)


def two_calls_executor(work: Workload) -> None:
    work.caller()
    work.caller()
    work.executor()


def two_calls_close(work: Workload) -> None:
    work.caller()
    work.caller()
    work.closer()


def endless_execute(work: Workload) -> None:
    work.caller(func="loop")
    work.executor(once_inside=True)


def endless_execute_close(work: Workload) -> None:
    work.caller(func="loop")
    work.executor(once_inside=True, then_close=True)


def trap_call(work: Workload) -> None:
    work.caller(func="trap")
    work.caller()


def trap_execute(work: Workload) -> None:
    work.caller(func="trap")
    work.executor()


# The manager ------------------------------------------------------------------------------------------------------


def call_unregister(work: ManagedWorkload) -> None:
    work.caller()
    work.unregisterer()


def call_by_name_unregister(work: ManagedWorkload) -> None:
    work.caller_by_name()
    work.unregisterer()


def upgrade_unregister(work: ManagedWorkload) -> None:
    work.upgrader_by_name(2)
    work.unregisterer()


def call_execute_unregister(work: ManagedWorkload) -> None:
    work.caller_by_name()
    work.executor()
    work.unregisterer()


def unregister_unregister(work: ManagedWorkload) -> None:
    work.unregisterer()
    work.unregisterer()


def unregister_register(work: ManagedWorkload) -> None:
    work.unregisterer()
    work.registerer(5)


def call_unregister_register(work: ManagedWorkload) -> None:
    work.caller_by_name()
    unregister_register(work)


def call_close_manager(work: ManagedWorkload) -> None:
    work.caller_by_name()
    work.manager_closer()


def register_close_manager(work: ManagedWorkload) -> None:
    work.unregisterer()
    work.manager_closer()


GONE: Final = "PluginClosed", "PluginNotFound"


def _drain_timeouts() -> dict[str, Case]:
    found: dict[str, Case] = {}
    for cutover in Cutover:
        for policy in OnDrainTimeout:
            if cutover is Cutover.EXCLUSIVE and policy is OnDrainTimeout.DETACH:
                continue
            options = {"cutover": cutover, "on_drain_timeout": policy, **PREPARED}
            build = endless_execute if policy is OnDrainTimeout.INTERRUPT else endless_execute_close
            name = f"endless call, execute, {cutover.value}, {policy.value}"
            found[name] = case(build, "CallInterrupted", "DrainTimeout", limits=IDLE, **options)
    return found


MORE: Final[dict[str, Case]] = {
    **{
        f"call, upgrade: {what}": case(build, error, instances=instances)
        for what, (error, build, instances) in BAD.items()
    },
    **{
        f"call, upgrade: fault {'after' if after else 'at'} {step}": case(fault(step, after=after), "Fault")
        for step, after in FAULTS
    },
    **{
        f"call, upgrade: fault {'after' if after else 'at'} {step}, exclusive": case(
            fault(step, after=after), "Fault", **EXCLUSIVE
        )
        for step, after in FAULTS
        if step in ("begin", "enter", "commit")
    },
    **_drain_timeouts(),
    "trap, call": case(trap_call, "CallTrapped"),
    "trap, execute": case(trap_execute, "CallTrapped", **PREPARED),
    "three calls, execute": case(three_calls_execute, **PREPARED),
    "three calls, execute, exclusive": case(three_calls_execute, **PREPARED, **EXCLUSIVE),
    "two calls, two upgrades": case(two_calls_two_upgrades, "Busy", **PREPARED),
    "two calls, two upgrades, exclusive": case(two_calls_two_upgrades, "Busy", **PREPARED, **EXCLUSIVE),
    "two calls, execute, cancel": case(two_calls_execute_cancel, "Busy", "WrongState", **PREPARED),
    "call, two upgrades": case(call_two_upgrades, "Busy", "IncompatibleUpgrade"),
    "call, upgrade and upgrade again, may time out": case(
        call_upgrade_upgrade, "DrainTimeout", limits=Limits(timeouts=1)
    ),
    "two calls, execute, two instances, may time out": case(
        two_calls_executor, "DrainTimeout", limits=Limits(timeouts=1), instances=2, **PREPARED
    ),
    "two calls, execute, exclusive, may time out": case(
        two_calls_executor, "DrainTimeout", "Overloaded", limits=Limits(timeouts=1), **PREPARED, **EXCLUSIVE
    ),
    "two calls, close": case(two_calls_close, "PluginClosed"),
    "call, unregister": case(call_unregister, *GONE, **MANAGED),
    "call by name, unregister": case(call_by_name_unregister, *GONE, **MANAGED),
    "upgrade, unregister": case(upgrade_unregister, *GONE, **MANAGED),
    "two unregister": case(unregister_unregister, *GONE, **MANAGED),
    "unregister, register": case(unregister_register, "AlreadyRegistered", **MANAGED),
    "call, close the manager": case(call_close_manager, *GONE, **MANAGED),
    "unregister, close the manager": case(register_close_manager, *GONE, **MANAGED),
    "call, execute, unregister": case(call_execute_unregister, *GONE, **PREPARED, **MANAGED),
    "call, execute, unregister, exclusive": case(call_execute_unregister, *GONE, **PREPARED, **MANAGED, **EXCLUSIVE),
    "call, unregister, register": case(call_unregister_register, *GONE, "AlreadyRegistered", **MANAGED),
}
