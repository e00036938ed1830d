"""An incident as receivers are shown it: without what must not leave, and with what was found out about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from incident_manager.domain.assessment import Finding, Job, digest, outline
from incident_manager.domain.catalog import CatalogService
from incident_manager.domain.grouping import Group
from incident_manager.domain.incident import Incident
from incident_manager.llm.fallback.redaction import redact


def cleaned(incident: Incident, findings: Iterable[Finding]) -> Incident:
    """The incident with the texts that a scan gave back; with our own redaction when they were not scanned."""
    for finding in findings:
        if finding.job is Job.SECURITY and finding.data.get("of") == digest(incident):
            return replace(incident, title=finding.data["title"], description=finding.data["description"])
    return replace(incident, title=redact(incident.title).text, description=redact(incident.description).text)


def payload(incident: Incident, findings: Iterable[Finding]) -> dict[str, Any]:
    """What a notification holds of an incident that was assessed."""
    known = list(findings)
    shown = outline(known)
    if any(finding.job is Job.SECURITY and finding.data.get("of") != digest(incident) for finding in known):
        shown["security"] = "unscanned"  # a person has changed the text since
    return {**cleaned(incident, known).to_dict(), "assessment": shown}


def context(group: Group | None, service: CatalogService | None) -> dict[str, Any]:
    """What a notification holds of the group and of the service of an incident; of what there is not, nothing."""
    known: dict[str, Any] = {}
    if group is not None:
        known["group"] = {**asdict(group), "started_at": group.started_at.isoformat()}
    if service is not None:
        known["service"] = service.to_dict()
    return known
