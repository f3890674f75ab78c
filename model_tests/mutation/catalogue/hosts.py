"""Functions of the host."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import COMPAT, HOST, HOST_CALLS, INSTANCE, LIMITS, PLUGIN, VALUES, VERSION

HOSTS: Final = (
    mutant(
        "imports-pass",
        "A module may import what its manifest does not even ask for",
        swap(HOST_CALLS, "    if problems:\n", "    if len(problems) < 0:\n"),
        tries="runtime load: import_is_refused",
        seed=6,
    ),
    mutant(
        "a-grant-is-a-name",
        "A function is linked by its name, whatever its type",
        swap(HOST_CALLS, "elif item.type != host.type:", "elif item.kind != 'function':"),
        tries="host functions: granted_otherwise",
    ),
    mutant(
        "more-imports-than-before",
        "An upgrade may call what the version that serves does not",
        swap(COMPAT, "sorted(new_facts.imports - old_facts.imports)", "sorted(new_facts.imports - new_facts.imports)"),
        tries="host functions: calls_more",
    ),
    mutant(
        "the-host-goes-on-after-a-failure",
        "Host functions run on in a call in which one has failed",
        swap(HOST_CALLS, "if position == _SLOTS and deadline.exception is None:", "if position == _SLOTS:"),
        tries="host functions: no_other_function",
    ),
    mutant(
        "a-failure-waits-for-the-tick",
        "After a host function has failed, nobody stops the wasm before its time",
        swap(HOST_CALLS, "            deadline.exception, deadline.host = error, name", "            pass"),
        tries="host functions: whatever_the_wasm_does_next",
    ),
    mutant(
        "the-host-cannot-fail",
        "A call that returned is taken for good, though a host function failed in it",
        swap(
            LIMITS,
            "        if pending is not None:\n            self.spoiled",
            "        if False:\n            self.spoiled",
        ),
        tries="host functions: whatever_the_wasm_does_next",
    ),
    mutant(
        "the-host-is-believed",
        "What a host function returns is packed as it is",
        diff(
            VALUES,
            """
        -            converted.append(CONVERTERS[kind](one))
        +            converted.append(int(one) if kind[0] == "i" else float(one))
            """,
        ),
        tries="host functions: is_checked",
    ),
    mutant(
        "re-entry-by-another-instance",
        "A call from inside a host function is let in if an instance is free",
        diff(
            INSTANCE,
            """
             def call(self, func: str, args: tuple[Number, ...]) -> Value:
        -        self._imports.refuse_reentry()
            """,
        ),
        tries="host calls: refused_at_once",
    ),
    mutant(
        "re-entry-waits",
        "A call from inside a host function waits for the instance that it holds",
        swap(PLUGIN, "        self._imports.refuse_reentry()\n", ""),
        tries="host calls: refused_at_once",
    ),
    mutant(
        "only-the-innermost-host",
        "Re-entry through another plugin is not seen",
        swap(HOST, "            frame = frame[1]", "            frame = None"),
        tries="host calls: through_another",
    ),
    mutant(
        "once-in-the-host-always-in-the-host",
        "A thread that was in a host function stays marked as inside",
        swap(HOST_CALLS, "            INSIDE.innermost = outside\n", "            pass\n"),
        tries="host calls: refused_at_once",
    ),
    mutant(
        "lost-for-want-of-a-frame",
        "A lease that is lost near the recursion limit does not come home",
        swap(VERSION, "                start_new_thread(Lease.__del__, (self,))\n", ""),
        tries="host calls: recursion_limit",
    ),
)
