"""What the LLM-ops services, or the rules that stand in for them, say of an incident."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from incident_manager.domain.incident import Incident


class Job(StrEnum):
    """What is found out about an incident."""

    SECURITY = "security"
    """Which secrets, personal data and attacks its text holds."""
    SEVERITY = "severity"
    """How bad it is."""
    SUMMARY = "summary"
    """What it is in one paragraph, and what to do next."""
    COMPLIANCE = "compliance"
    """What the frameworks that apply demand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one job.

    Attributes:
        by: The service that did it, or the name of the fallback.
        is_fallback: Rules stood in for the service, which is still to be asked.
        data: The result, JSON-ready; its members depend on the job.
    """

    job: Job
    by: str
    is_fallback: bool
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """One job of one incident, as the store keeps it.

    Attributes:
        finding: The latest result, None before the first.
        is_pending: The service is still to be asked.
        attempts: How often it was asked in vain.
    """

    incident_id: str
    job: Job
    finding: Finding | None
    is_pending: bool
    attempts: int
    created_at: datetime


def digest(incident: Incident) -> str:
    """Tells whether the text of an incident is the one that was scanned."""
    return hashlib.sha256(f"{len(incident.title)}:{incident.title}{incident.description}".encode()).hexdigest()


def outline(findings: Iterable[Finding]) -> dict[str, Any]:
    """What people and receivers are shown: each result, and who gave it.

    `classified_by` is `rules` and `summary_by` is `template` when the services could not be asked, `security` is then
    `unscanned` and `compliance` is `not_checked`. A job without a result has no members.
    """
    shown: dict[str, Any] = {}
    for finding in findings:
        if not finding.data:  # its service was taken out of the settings
            continue
        match finding.job:
            case Job.SECURITY:
                shown["security"] = "unscanned" if finding.is_fallback else finding.data["verdict"]
            case Job.SEVERITY:
                shown["classified_by"] = finding.by
                shown["severity_reasoning"] = finding.data["reasoning"]
            case Job.SUMMARY:
                shown["summary_by"] = finding.by
                shown["summary"] = finding.data["text"]
                shown["next_steps"] = finding.data["next_steps"]
            case Job.COMPLIANCE:
                shown["compliance"] = "not_checked" if finding.is_fallback else finding.data["verdict"]
                shown["compliance_notes"] = finding.data["notes"]
    return shown
