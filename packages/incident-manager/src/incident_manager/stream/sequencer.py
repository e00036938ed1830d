"""In which order changes are passed on, and when a missing number is given up. Pure."""

from __future__ import annotations

import logging

from incident_manager.store.changes import Change, Reading

logger = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds a missing number is waited for at most; no transaction of ours lives as long."""


class Sequencer:
    """Passes changes on in the order of their numbers, each once, and none that could still be overtaken.

    On PostgreSQL a number is given before its transaction commits, so 6 may be readable before 5 is, and a follower
    that went on after 6 would never see 5. So nothing after a missing number is passed on until that number is there,
    or every transaction that could have it has ended: those that were under way when it was first missed.

    Args:
        last: The number after which to begin.
    """

    def __init__(self, last: int) -> None:
        self.last = last
        self._missed: tuple[int, float] | None = None

    def take(self, reading: Reading, now: float) -> list[Change]:
        """Return those of the changes after `last` that may be passed on, and move `last` behind them.

        Args:
            reading: What `changes_after(last)` found.
            now: Monotonic seconds.
        """
        taken: list[Change] = []
        for change in reading.changes:
            if change.sequence > self.last + 1 and not self._is_gone(reading, now):
                break
            self._missed = None
            self.last = change.sequence
            taken.append(change)
        return taken

    def _is_gone(self, reading: Reading, now: float) -> bool:
        """Tell whether the number after `last` can come no more."""
        if self._missed is None:
            self._missed = (reading.next_transaction, now)
        bound, since = self._missed
        if reading.oldest_running >= bound:
            return True
        if now - since > PATIENCE:
            logger.warning("change %d is still missing after %g s; going on without it", self.last + 1, PATIENCE)
            return True
        return False
