"""Severity by rules: what the sender says, what the text speaks of, and which service is concerned."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from incident_manager.domain.incident import Incident
from incident_manager.domain.severity import Severity

#: From the worst down; the first that is found in the title, the description or the type counts. Whole words.
_KEYWORDS: tuple[tuple[Severity, str], ...] = (
    (Severity.P0, r"data (?:loss|breach|leak)|total outage|all users|ransomware|security breach|corrupt(?:ed|ion)"),
    (Severity.P1, r"outage|unavailable|unreachable|security_threat|compliance_violation|down|crash(?:ed|ing|loop\w*)?"),
    (Severity.P2, r"degrad(?:ed|ation)|error_rate_increase|timeouts?|latency|hallucination|resource_exhaustion"),
)
_COMPILED = tuple((severity, re.compile(rf"\b(?:{words})\b", re.IGNORECASE)) for severity, words in _KEYWORDS)
_TEXT_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Rated:
    """A severity and the rule that gave it, as a sentence for people."""

    severity: Severity
    reasoning: str


def rate(incident: Incident, critical_services: Collection[str] = ()) -> Rated:
    """Rate an incident. Rules only ever raise what the sender said.

    Args:
        critical_services: Values of the label `service` whose incidents are rated one step worse.
    """
    rated = Rated(incident.severity, "as the sender said")
    found = _by_keyword(incident)
    if found is not None and found.severity.worse_than(rated.severity):
        rated = found
    service = incident.labels.get("service", "")
    if service in critical_services and rated.severity.rank > 0:
        worse = list(Severity)[rated.severity.rank - 1]
        rated = Rated(worse, f"{rated.reasoning}, and {service} is a critical service")
    return rated


def _by_keyword(incident: Incident) -> Rated | None:
    kind = incident.labels.get("type", "")
    text = f"{incident.title}\n{kind}\n{incident.description}"[:_TEXT_LIMIT]
    for severity, pattern in _COMPILED:
        match = pattern.search(text)
        if match is not None:
            return Rated(severity, f"it speaks of {match[0].lower()!r}")
    return None
