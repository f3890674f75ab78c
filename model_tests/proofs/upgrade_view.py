"""A state of the upgrade level as seen from one of its versions; the only place where both records are known."""

from __future__ import annotations

from hotswap_spec import upgrade as spec
from proofs.upgrade import At, Counted, Phase, Place, Ref


def alpha(s: spec.State, v: int) -> Counted:
    """State `s` of the specification as seen from version `v`."""

    def ref(one: spec.Ref) -> Ref:
        return Ref(one.code == v, one.manifest == v)

    callers = [one.on.code for one in s.callers]
    held = [one.passes for one in s.callers if one.at == "held"]
    mine = next((one for one in s.upgraders if one.owns), spec.Upgrader("nowhere"))
    rest = [one.at for one in s.upgraders if not one.owns]
    place = "away" if mine.at in ("idle", "done") else mine.at
    closers = [one.at for one in s.closers]
    return Counted(
        *(getattr(Phase, s.phase), s.shut, s.closed, s.endless, s.attempts, s.successes, s.failures, s.cancelled),
        *(getattr(At, s.versions[v].at.upper()), s.versions[v].interrupted, s.kept == v, ref(s.current), ref(s.before)),
        outside=sum(one.at == "outside" for one in s.callers),
        held=held.count(False),
        passing=held.count(True),
        inside=callers.count(v),
        elsewhere=sum(on not in (v, spec.NOTHING.code) for on in callers),
        torn=sum((one.on.code == v) != (one.on.manifest == v) for one in s.callers),
        owners=sum(one.owns for one in s.upgraders),
        place=getattr(Place, place.upper()),
        exclusive=mine.exclusive,
        old=ref(mine.old),
        new=ref(mine.new),
        idle=rest.count("idle"),
        lost=sum(at in ("preparing", "prepared") for at in rest),
        stopped=sum(at not in ("idle", "done", "preparing", "prepared") for at in rest),
        cancellers=sum(one.at == "ready" for one in s.cancellers),
        closers=closers.count("ready"),
        emptying=closers.count("emptying"),
        insisting=closers.count("insisting"),
    )
