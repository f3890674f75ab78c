"""A state of the admission level as seen from one of its versions; the only place where both records are known."""

from __future__ import annotations

from collections import Counter

from hotswap_spec import admission as spec
from proofs.admission import At, Counted, Operator, Settler


def alpha(s: spec.State, v: int) -> Counted:
    """State `s` of the specification as seen from version `v`."""
    version, operator, lock = s.versions[v], s.operators[0], s.locks[0]
    read = Counter(one.at for one in s.callers if one.seen == v)
    own = Counter(one.at for one in s.callers if one.lease == v)
    closers = [one.at for one in s.closers]
    return Counted(
        *(s.size, lock.at != "free", s.shut, s.closed),
        ahead=v - s.newest,
        unused=len(s.versions) - s.newest - 1,
        at=getattr(At, version.at.upper()),
        free=version.free,
        gathered=version.gathered,
        attention=version.attention,
        current=s.current == v,
        kept=s.kept == v,
        seen=read["seen"],
        cleared=read["cleared"],
        inside=own["inside"],
        left=read["left"],
        looking=own["looking"],
        woken=own["woken"],
        served=own["served"],
        refused=own["refused"],
        entering=own["entering"],
        waiting=sum(one.place > 0 for one in s.callers),
        operator=getattr(Operator, operator.at.upper()),
        old=operator.version == v,
        exclusive=operator.exclusive,
        settler=getattr(Settler, lock.at.upper()) if lock.at not in ("free", "held") else Settler.IDLE,
        gathering=lock.version == v,
        closers=closers.count("ready"),
        closing=closers.count("closing"),
        draining=closers.count("drain"),
    )
