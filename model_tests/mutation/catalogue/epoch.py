"""`EpochTracker`."""

from typing import Final

from mutation._mutant import diff, mutant, swap
from mutation.catalogue._files import EPOCH

EPOCHS: Final = (
    mutant(
        "epoch-is-read-before-it-is-counted",
        "A guard reads the epoch, and counts itself in another step",
        diff(
            EPOCH,
            """
        +        epoch = self._current.value
                 with self._lock:
                     self._settle()
        -            epoch = self._current.value
                     self._refs[epoch] = self._refs.get(epoch, 0) + 1
            """,
        ),
        tries="epoch, enter, advance",
        seed=7,
    ),
    mutant(
        "ring-of-eight",
        "Epochs are counted in a ring of 8",
        swap(EPOCH, "            epoch = self._current.value\n", "            epoch = self._current.value % 8\n"),
        swap(EPOCH, "return self._refs.get(epoch, 0)", "return self._refs.get(epoch % 8, 0)"),
        tries="epoch: alias",
        seed=14,
    ),
    mutant(
        "no-time-is-no",
        "To wait for a drained epoch with a timeout of 0 says false",
        diff(
            EPOCH,
            """
                 deadline = self._clock.now() + timeout
        +        if timeout <= 0:
        +            return False
                 parker = self._sync.parker()
            """,
        ),
        tries="epoch | seed",
        seed=21,
    ),
    mutant(
        "epoch-wait-parks-once",
        "Who waits for an epoch parks once: `if` for `while`",
        swap(EPOCH, "while self.refs_for_epoch(epoch):", "if self.refs_for_epoch(epoch):"),
        tries="epoch, wait, release, waking for no reason",
    ),
    mutant(
        "epoch-wait-registers-late",
        "Who waits for an epoch looks first and says then that it waits",
        diff(
            EPOCH,
            """
        -            self._parked.append(parker)
        -            while self.refs_for_epoch(epoch):
        +            held = self.refs_for_epoch(epoch)
        +            self._parked.append(parker)
        +            while held:
                         left = deadline - self._clock.now()
                         if left <= 0:
                             return False
                         parker.park(left)
        +                held = self.refs_for_epoch(epoch)
                     return True
            """,
        ),
        tries="epoch, wait, release",
    ),
    mutant(
        "epoch-release-wakes-first",
        "A release wakes those who wait, and gives its reference back then",
        diff(
            EPOCH,
            """
        -        self._released.append(held)
                 for parker in self._parked.copy():
                     parker.unpark()
        +        self._released.append(held)
            """,
        ),
        tries="epoch, wait, release",
    ),
    mutant(
        "epochs-are-never-forgotten",
        "The count of a drained epoch is kept for ever",
        diff(
            EPOCH,
            """
        -                if left:
        -                    self._refs[epoch] = left
        -                else:
        -                    del self._refs[epoch]
        +                self._refs[epoch] = left
            """,
        ),
        tries="epoch: alias",
    ),
)
