"""A summary from a template: what is known of an incident, in one paragraph."""

from __future__ import annotations

from incident_manager.domain.incident import Incident
from incident_manager.llm.assistant import Summary

_DESCRIPTION_LIMIT = 300


def summarize(incident: Incident) -> Summary:
    """The paragraph and the steps that fit every incident."""
    where = incident.labels.get("service") or incident.source
    count = "one alert" if incident.alert_count == 1 else f"{incident.alert_count} alerts"
    text = (
        f"{incident.severity} ({incident.severity.label}) on {where}: {incident.title}. "
        f"{count.capitalize()} since {incident.first_seen:%Y-%m-%d %H:%M} UTC."
    )
    if incident.description:
        text += f" {_first_line(incident.description)}"
    return Summary(text, tuple(_steps(incident)))


def _steps(incident: Incident) -> list[str]:
    steps = ["Acknowledge the incident."]
    for name, step in (("runbook_url", "Follow the runbook"), ("dashboard_url", "Look at the dashboard")):
        link = incident.annotations.get(name)
        if link:
            steps.append(f"{step}: {link}")
    return [*steps, "Look at what was deployed or changed shortly before it began."]


def _first_line(text: str) -> str:
    line = text.strip().splitlines()[0]
    return line if len(line) <= _DESCRIPTION_LIMIT else f"{line[: _DESCRIPTION_LIMIT - 1]}…"
