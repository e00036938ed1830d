"""The incidents of a period in figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from incident_manager.api.incident_schemas import IncidentOut
from incident_manager.domain.severity import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentFigures:
    """Incidents that were opened in a period.

    Attributes:
        name: The severity that they have now, or `all`.
        opened: How many.
        still_open: How many of them have not ended.
        alerts: Alerts that belong to them.
        time_to_acknowledge: Mean seconds until somebody had seen them, of those that somebody has; None without one.
        time_to_resolve: Mean seconds until they ended, of those that have; None without one.
    """

    name: str
    opened: int
    still_open: int
    alerts: int
    time_to_acknowledge: float | None
    time_to_resolve: float | None


def incident_figures(incidents: Sequence[IncidentOut]) -> list[IncidentFigures]:
    """Figures for each severity that occurs, the worst first, and of all together at the end."""
    groups = [(str(severity), [one for one in incidents if one.severity is severity]) for severity in Severity]
    return [_figures(name, group) for name, group in (*groups, ("all", incidents)) if group or name == "all"]


def _figures(name: str, incidents: Sequence[IncidentOut]) -> IncidentFigures:
    return IncidentFigures(
        name=name,
        opened=len(incidents),
        still_open=sum(one.resolved_at is None for one in incidents),
        alerts=sum(one.alert_count for one in incidents),
        time_to_acknowledge=_mean((one.created_at, one.acknowledged_at) for one in incidents),
        time_to_resolve=_mean((one.created_at, one.resolved_at) for one in incidents),
    )


def _mean(spans: Iterable[tuple[datetime, datetime | None]]) -> float | None:
    seconds = [max(0.0, (end - begin).total_seconds()) for begin, end in spans if end is not None]
    return sum(seconds) / len(seconds) if seconds else None
