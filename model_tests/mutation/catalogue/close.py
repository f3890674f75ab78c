"""Close and unregister, which win over all else; and plugins by name."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import MANAGER, PROTOCOL, RECORDER, UPGRADE

CLOSE: Final = (
    mutant(
        "close-wakes-nobody",
        "A close does not wake those who wait, and they wait on until a call has ended",
        diff(
            PROTOCOL,
            """
                 self._settle()
        -        self.wake()  # who waits, at a shut gate too, is turned away
            """,
        ),
        tries="survivors: wakes_who_waits",
    ),
    mutant(
        "close-forgets-the-candidate",
        "A close does not retire what was prepared",
        diff(
            PROTOCOL,
            """
                 if self._owner is not None:
        -            self._drop_candidate(self._owner)
                     self._owner = self._kept = None
            """,
        ),
        tries="call, execute, close",
    ),
    mutant(
        "close-keeps-the-kept",
        "A close leaves the old version to an upgrade that it has ended",
        swap(PROTOCOL, "self._owner = self._kept = None", "self._owner = None"),
        tries="call, execute, close",
    ),
    mutant(
        "close-goes-on-serving",
        "A close does not retire the current version",
        diff(
            PROTOCOL,
            """
        -        self._retire(self.current.value)
                 self._settle()
                 self.wake()  # who waits, at a shut gate too, is turned away
            """,
        ),
        tries="call, close",
    ),
    mutant(
        "close-counts-no-failure",
        "An upgrade that a close has ended is not counted",
        swap(PROTOCOL, "lost = self._owner is not None and not self._owner.decided", "lost = False"),
        tries="call, execute, close",
    ),
    mutant(
        "close-counts-a-success-as-failed",
        "A close counts an upgrade as failed that has committed already",
        swap(
            PROTOCOL,
            "lost = self._owner is not None and not self._owner.decided",
            "lost = self._owner is not None",
        ),
        tries="call, execute, close",
    ),
    mutant(
        "close-does-not-wait",
        "A close that had to interrupt calls does not wait for them",
        diff(
            UPGRADE,
            """
                     version.code.interrupt(True)  # all of them, before one is waited for without a limit
        -        for version in protocol.retired():
        -            protocol.await_drain(version, None, closing=True)
            """,
        ),
        tries="endless call, close",
    ),
    mutant(
        "close-interrupts-nobody",
        "A close waits for calls that never end",
        diff(
            UPGRADE,
            """
        -        for version in protocol.retired():
        -            version.code.interrupt(True)  # all of them, before one is waited for without a limit
                 for version in protocol.retired():
            """,
        ),
        tries="endless call, close",
    ),
    mutant(
        "close-interrupts-one-after-another",
        "A close waits for one version's interrupted calls before it interrupts the next one's",
        diff(
            UPGRADE,
            """
                 for version in protocol.retired():
                     version.code.interrupt(True)  # all of them, before one is waited for without a limit
        -        for version in protocol.retired():
                     protocol.await_drain(version, None, closing=True)
            """,
        ),
        tries="upgrade: at_once",
    ),
    mutant(
        "close-does-not-reclaim",
        "A close leaves the instances to the garbage collector",
        diff(
            UPGRADE,
            """
        -        self._sweep()  # if another close or a reaper is at it, this waits until it is done
                 self._ports.trace("plugin_closed", plugin=protocol.name)
            """,
        ),
        tries="call, close",
    ),
    mutant(
        "close-does-not-wait-for-the-mender",
        "A close does not wait for the thread that replaces an instance",
        diff(
            UPGRADE,
            """
        -        with self._mending:
        -            pass
                 self._sweep()  # if another close or a reaper is at it, this waits until it is done
            """,
        ),
        tries="trap, close",
    ),
)
NAMES: Final = (
    mutant(
        "unregister-does-not-stop",
        "Unregister frees the name, and the plugin serves on",
        diff(
            MANAGER,
            """
                 plugin = self[name]
        -        plugin.close()
                 with self._lock:
            """,
        ),
        tries="survivors: after_an_unregister",
        seed=15,
    ),
    mutant(
        "unregister-frees-the-name-first",
        "Unregister frees the name before the plugin's calls have ended",
        swap(
            MANAGER,
            "        plugin = self[name]\n        plugin.close()\n        with self._lock:\n",
            "        plugin = self[name]\n        with plugin, self._lock:\n",
        ),
        tries="manager: stays_taken",
    ),
    mutant(
        "unregister-removes-whatever-is-there",
        "An unregister that comes second removes the plugin that bears the name by then",
        swap(MANAGER, "if self._plugins.get(name) is plugin:", "if name in self._plugins:"),
        tries="survivors: unregister",
    ),
    mutant(
        "refused-register-frees-the-name",
        "A register that is refused removes the plugin that has the name",
        swap(MANAGER, "if self._taken.get(name) is token:", "if name in self._taken:"),
        tries="manager",
    ),
    mutant(
        "failed-register-keeps-the-name",
        "A register that failed keeps the name taken",
        diff(
            MANAGER,
            """
                     if self._taken.get(name) is token:
        -                del self._taken[name]
                         self._plugins.pop(name, None)
            """,
        ),
        tries="failures: register",
    ),
    mutant(
        "register-after-close",
        "A register that a close of the manager has overtaken lists its plugin",
        diff(
            MANAGER,
            """
                     with self._lock:
        -                self._refuse_closed()
                         self._plugins[name] = plugin
            """,
        ),
        tries="manager: overtakes",
    ),
    mutant(
        "overtaken-register-leaks",
        "A register that a close has overtaken does not close its plugin",
        diff(
            MANAGER,
            """
        -        if plugin is not None:
        -            plugin.close()
                 with self._lock:
            """,
        ),
        tries="manager: overtakes",
    ),
    mutant(
        "failed-register-is-undone-once",
        "A Ctrl-C while a register that failed is undone keeps the name taken",
        diff(
            MANAGER,
            """
                         self._withdraw(name, token, plugin)
                     except BaseException:
        -                try:
        -                    self._withdraw(name, token, plugin)
        -                except BaseException:
        -                    self._withdraw(name, token, plugin)
        -                    raise
                         raise
            """,
        ),
        tries="faults: one_fault and register",
    ),
    mutant(
        "name-is-looked-up-without-taking-it",
        "Two registers of one name both find it free",
        swap(MANAGER, "if name in self._taken:", "if name in self._plugins:"),
        tries="survivors: one_name | manager: one_wins",
    ),
    mutant(
        "closed-manager-registers",
        "A closed manager takes new plugins",
        diff(
            MANAGER,
            """
                 with self._lock:
        -            self._closed = True
        +            self._plugins = dict(self._plugins)
                 for name in self.list():
            """,
        ),
        tries="manager: closed_manager",
    ),
    mutant(
        "a-drop-wakes-nobody",
        "A plugin that is dropped leaves a reaper waiting for leases that are gone",
        swap(PROTOCOL, "        self.wake()  # a reaper, which would wait for leases that are gone\n", ""),
        tries="monitor: dropped",
    ),
    mutant(
        "a-drop-is-a-step",
        "What becomes of a plugin that was dropped is told to the monitor, which finds it wrong",
        swap(RECORDER, "        if self.abandoned:\n", "        if False:\n"),
        tries="monitor: dropped",
    ),
    mutant(
        "unregister-keeps-half-a-name",
        "Ctrl-C in an unregister leaves the name taken, by a plugin that nobody can find",
        diff(
            MANAGER,
            """
        -                    self._plugins.pop(name, None)
        -                    self._taken.pop(name, None)
                             raise
            """,
        ),
        tries="monitor names: unregister",
    ),
    mutant(
        "manager-close-gives-up",
        "A close of the manager fails when another thread unregisters a plugin meanwhile",
        diff(
            MANAGER,
            """
                     try:
                         self.unregister(name)
                     except PluginNotFound:
        -                pass  # another thread unregistered it
        +                raise
            """,
        ),
        tries="survivors: manager",
    ),
)
