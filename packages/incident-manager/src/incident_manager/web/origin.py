"""Where an incident's severity comes from, in words. Pure."""

from __future__ import annotations

from incident_manager.domain.assessment import Job
from incident_manager.domain.timeline import TimelineKind
from incident_manager.web.views import IncidentView

RULES = "rules"
"""Who rates the severity while the service that should cannot be asked."""


def severity_origin(incident: IncidentView, rater: str) -> str:
    """Tell who decided how bad an incident is: a person, a service, the rules that stand in for it, or its sender.

    Args:
        incident: The incident.
        rater: The service that is to rate it.
    """
    if incident.severity_locked:
        kinds = (TimelineKind.SEVERITY_CHANGED, TimelineKind.OPENED)
        entry = next((entry for kind in kinds for entry in reversed(incident.timeline) if entry.kind is kind), None)
        return "set by a person" if entry is None else f"set by {entry.actor}"
    by, waits = incident.assessment.classified_by, Job.SEVERITY in incident.assessment.pending
    if by is None:
        return f"as {incident.source} said" + (f"; {rater} has not answered yet" if waits else "")
    if by == RULES:
        return "assessed by rules" + (f" because {rater} is away; it will be asked again" if waits else "")
    return f"assessed by {by}"
