"""Manager: one name, and everything that can happen to it at once: register, get, call, upgrade, unregister, close.

A name is *taken* from the start of its registration until its unregistration has returned, and *listed* while `get`
finds it. A plugin is made outside the lock, between the two. A handle that someone keeps outlives its plugin.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hotswap_spec._model import Effect, Guard, Level, changed, go

TABLE = """
registrar
  ready   take                making  name free      may   takes the name, to register a plugin
  ready   be_refused          done    not name free  may   is told AlreadyRegistered or PluginClosed
  making  fail                done    -              may   fails to make the plugin: the name is free again
  making  list                done    not closed     must  lists its plugin
  making  find_closed (fail)  done    closed         must  finds the manager closed
user
  outside  get        holding  listed      may   gets a handle
  holding  call       inside   serves      may   calls and is admitted
  holding  call_late  holding  not serves  may   calls and is told PluginClosed
  inside   end        holding  -           must  ends its call, and keeps the handle
  holding  forget     outside  -           may   forgets the handle
upgrader
  ready      upgrade  upgrading  listed, not upgrades  may   finds the plugin and upgrades it
  upgrading  succeed  done       goes on               must  is done upgrading
  upgrading  lose     done       not goes on           must  is told PluginClosed
remover
  ready     find    finding        listed       may   is to unregister: finds the plugin
  finding   close   closing        -            must  closes the plugin: nothing more is admitted
  closing   delete  done shutting  mine closed  must  has unregistered it: the name is free
  idle      shut    shutting       -            may   closes the manager
  shutting  find    finding        listed       must  finds a plugin to unregister
  shutting  leave   done           not listed   must  returns: the manager is closed, and has no plugin
plugin
  closing  empty  closed  not calls  must  is drained and reclaimed
"""
NONE = -1


class Thread(NamedTuple):
    at: str
    mine: int = NONE  # the plugin it holds a handle of
    all: bool = False  # it unregisters whatever is listed


class Plugin(NamedTuple):
    at: str  # unmade, open, closing or closed
    upgrades: bool = False


class State(NamedTuple):
    plugins: tuple[Plugin, ...]
    registrars: tuple[Thread, ...]
    users: tuple[Thread, ...]
    upgraders: tuple[Thread, ...]
    removers: tuple[Thread, ...]
    taken: int = NONE  # by which registrar, whose number is also its plugin's; NONE: the name is free
    listed: int = NONE
    closed: bool = False  # the manager

    def go(self, group: str, i: int, **change: Any) -> State:
        return go(self, group, i, **change)

    def close(self, i: int) -> State:
        p = self.removers[i].mine
        return self.go("plugins", p, at="closing", upgrades=False) if self.plugins[p].at == "open" else self

    def delete(self, i: int) -> State:
        s = self._replace(listed=NONE, taken=NONE) if self.removers[i].mine == self.listed else self
        return s.go("removers", i, at="shutting" if self.removers[i].all else "done")

    def calls(self, p: int) -> bool:
        return any(one.at == "inside" and one.mine == p for one in self.users)

    def is_over(self, p: int) -> bool:
        return p == NONE or (self.plugins[p].at == "closed" and not self.calls(p))


def initial(registrars: int, users: int, upgraders: int, unregisterers: int, closers: int = 0) -> State:
    ready, unmade = (Thread("ready"),), (Plugin("unmade"),)
    removers = ready * unregisterers + (Thread("idle"),) * closers
    return State(unmade * registrars, ready * registrars, (Thread("outside"),) * users, ready * upgraders, removers)


GUARDS: dict[str, Guard] = {
    "name free": lambda s, _: s.taken == NONE and not s.closed,
    "closed": lambda s, _: s.closed,
    "listed": lambda s, _: s.listed != NONE,
    "serves": lambda s, i: s.plugins[s.users[i].mine].at == "open",
    "upgrades": lambda s, _: s.plugins[s.listed] != ("open", False),
    "goes on": lambda s, i: s.plugins[s.upgraders[i].mine].at == "open",
    "mine closed": lambda s, i: s.plugins[s.removers[i].mine].at == "closed",
}
EFFECTS: dict[str, Effect] = {  # the effects that one line can say
    "take": lambda s, i: s._replace(taken=i),
    "fail": lambda s, _: s._replace(taken=NONE),
    "list": lambda s, i: s.go("plugins", i, at="open")._replace(listed=i),
    "get": lambda s, i: s.go("users", i, mine=s.listed),
    "forget": lambda s, i: s.go("users", i, mine=NONE),
    "upgrade": lambda s, i: s.go("plugins", s.listed, upgrades=True).go("upgraders", i, mine=s.listed),
    "succeed": lambda s, i: s.go("plugins", s.upgraders[i].mine, upgrades=False).go("upgraders", i, mine=NONE),
    "find": lambda s, i: s.go("removers", i, mine=s.listed),
    "shut": lambda s, i: s.go("removers", i, all=True)._replace(closed=True),
}
SMALL = ({"registrars": 2, "users": 2, "upgraders": 1, "unregisterers": 1, "closers": 1}, 2_652)
LARGE = ({"registrars": 3, "users": 3, "upgraders": 2, "unregisterers": 2, "closers": 1}, 318_852)
LEVEL = Level(
    *("manager", State, TABLE, GUARDS, EFFECTS, initial),
    bounds={"small": SMALL, "live": SMALL, "large": LARGE},
    rest="ready idle outside holding done unmade open closed",
    symmetric=("users", "upgraders"),
    always={
        "S9 a name is one plugin: no other runs until it is unregistered": lambda s: (
            [p for p, one in enumerate(s.plugins) if one.at in ("open", "closing")] in ([], [s.listed])
        ),
        "S9 when unregister has returned, no call runs": lambda s: all(
            one.at not in ("done", "shutting") or s.is_over(one.mine) for one in s.removers
        ),
        "S9 a listed plugin's name is taken": lambda s: s.listed in (NONE, s.taken),
    },
    steps={
        "S9 a handle that was kept answers PluginClosed": lambda s, step, t: (
            step != "call" or all(s.plugins[b.mine].at == "open" for _, b in changed(s.users, t.users))
        ),
    },
    sometimes={
        "S9 a second plugin bears the name": lambda s: s.plugins[0].at == "closed" and s.listed > 0,
        "S9 a handle outlives its plugin": lambda s: s.listed > 0 and any(one.mine == 0 for one in s.users),
        "L1 an upgrade is under way when the plugin is closed": lambda s: any(
            one.at == "upgrading" and s.plugins[one.mine].at == "closing" for one in s.upgraders
        ),
    },
    leads_to={
        "L1 an upgrade ends": (lambda s: s.upgraders[0].at != "ready", lambda s: s.upgraders[0].at == "done"),
        "L4 unregister returns": (lambda s: s.removers[0].at == "finding", lambda s: s.removers[0].at == "done"),
        "L4 a close of the manager returns": (lambda s: s.closed, lambda s: s.removers[-1].at == "done"),
    },
    refuted={
        "a name that is taken can be got": lambda s: s.taken == s.listed,
        "a handle is of a plugin that serves": lambda s: all(one.mine in (NONE, s.listed) for one in s.users),
    },
)
