"""First step: in which order the alerts of one request count."""

from __future__ import annotations

from collections.abc import Sequence

from incident_manager.domain.alert import Alert


def order_of(alerts: Sequence[Alert]) -> list[int]:
    """Return the indexes of the alerts by the moment each speaks of, and as sent where those are equal.

    A sender may put `resolved` of an earlier trouble after `firing` of a later one; the later one must win.
    """
    return sorted(range(len(alerts)), key=lambda index: alerts[index].decided_at)
