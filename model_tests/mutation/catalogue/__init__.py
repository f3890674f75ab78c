"""All mutants, by topic and by id."""

from __future__ import annotations

from typing import Final

from mutation._mutant import Mutant
from mutation.catalogue import (
    admission,
    close,
    compat,
    counts,
    drain,
    epoch,
    hosts,
    interrupts,
    modules,
    ownership,
    reclaim,
    rollback,
    runtime,
    signing,
    specification,
    upgrades,
)

TOPICS: Final[dict[str, tuple[Mutant, ...]]] = {
    "Admission": admission.ADMISSION,
    "The gate": admission.GATE,
    "Drain": drain.DRAIN,
    "Reclaim": reclaim.RECLAIM,
    "Traps": reclaim.TRAPS,
    "Ownership": ownership.OWNERSHIP,
    "Rollback": rollback.ROLLBACK,
    "Prepare": upgrades.PREPARE,
    "Publish": upgrades.PUBLISH,
    "Drain timeouts": upgrades.TIMEOUTS,
    "Commit": upgrades.COMMIT,
    "Close": close.CLOSE,
    "Names": close.NAMES,
    "Counts": counts.COUNTS,
    "Ctrl-C": interrupts.INTERRUPTS,
    "Epochs": epoch.EPOCHS,
    "Compatibility": compat.COMPATIBILITY,
    "Manifests": compat.MANIFESTS,
    "Modules": modules.MODULES,
    "Compiled code": modules.CACHE,
    "Runtime": runtime.RUNTIME,
    "Host functions": hosts.HOSTS,
    "Signatures": signing.SIGNATURES,
    "The specification": specification.SPECIFICATION,
}
MUTANTS: Final[dict[str, Mutant]] = {one.id: one for mutants in TOPICS.values() for one in mutants}
