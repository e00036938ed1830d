"""What a breaker has counted, in the few words that people and programs ask for first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recloser.events import State
from recloser.outcomes import Outcome
from recloser.stats import Stats

_FAILED = (Outcome.FAILURE, Outcome.THROTTLED, Outcome.CONFIGURATION, Outcome.EXPIRED)


@dataclass(frozen=True)
class Counts:
    """What is counted of one dependency. All of them only grow.

    Attributes:
        calls: Calls that reached it.
        failed: Of these, the failed ones; throttled and refused ones, and probes that hung, included.
        slow: Of these, the slow ones.
        rejected: Calls that did not reach it.
        would_be_rejected: Calls that reached it only because of shadow mode.
        openings: How often its circuit opened (in shadow mode: would have opened).
    """

    calls: int = 0
    failed: int = 0
    slow: int = 0
    rejected: int = 0
    would_be_rejected: int = 0
    openings: int = 0

    @classmethod
    def of(cls, stats: Stats) -> Counts:
        """Those of a reading."""
        return cls(
            calls=sum(stats.calls.values()) - stats.rejected,
            failed=sum(stats.calls[outcome] for outcome in _FAILED),
            slow=stats.calls[Outcome.SLOW],
            rejected=stats.rejected,
            would_be_rejected=stats.observed_rejections,
            openings=sum(count for (_, to), count in stats.transitions.items() if to is State.OPEN),
        )

    def since(self, before: Counts) -> Counts:
        """What has come since an earlier reading."""
        return Counts(*(now - then for now, then in zip(vars(self).values(), vars(before).values(), strict=True)))


def summary(stats: Stats) -> dict[str, Any]:
    """One line about a breaker, as values that JSON can hold."""
    return {
        "name": stats.name,
        "state": str(stats.state),
        "control": str(stats.control),
        "control_reason": stats.control_reason,
        "retry_after": stats.retry_after,
        "last_failure": stats.last_failure,
        **vars(Counts.of(stats)),
    }
