"""What a run can find, and what a run can do wrong."""

from __future__ import annotations


class Abandoned(BaseException):
    """Thrown into the tasks of a run that is given up."""


class Found(Exception):
    """A schedule that shows a defect."""


class Deadlock(Found):
    """Nobody can go on, and somebody wants a lock."""


class LostWakeup(Found):
    """All who are left are parked, and there is nobody to wake them; or only a timeout would."""


class Livelock(Found):
    """More steps than the limits allow."""


class TaskFailed(Found):
    """A task ended with an exception."""


class CheckFailed(Found):
    """All tasks have ended, and what they left is wrong."""


class WouldBlock(Found):
    """The set-up or a check would wait, outside every task."""


class Unannounced(Found):
    """An access to a shared object that no announcement covers: what was explored is not everything."""


class Nondeterministic(Exception):
    """The same choices led elsewhere: the program depends on something that is not under the scheduler."""


class UnknownFootprint(Exception):
    """A step did not say what it touched, and the search cannot do without knowing."""
