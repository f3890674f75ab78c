"""The executable specification of the hot-reload protocol, in three levels. `python -m hotswap_spec` explores them."""

from hotswap_spec import admission_properties, manager, upgrade_properties

LEVELS = {one.LEVEL.name: one.LEVEL for one in (admission_properties, upgrade_properties, manager)}
__all__ = ["LEVELS"]
