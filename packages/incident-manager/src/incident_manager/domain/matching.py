"""Telling by patterns which incidents something is about."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from incident_manager.domain.incident import Incident

SOURCE = "source"
"""The name that a matcher uses for the sender; every other name is that of a label."""


def value_of(incident: Incident, name: str) -> str:
    """Return the value that a matcher of this name is about; empty text for a label that the incident has not."""
    return incident.source if name == SOURCE else incident.labels.get(name, "")


def matches(incident: Incident, matchers: Mapping[str, str]) -> bool:
    """Tell whether an incident has all of these values, in which `*` stands for any text."""
    return all(fnmatchcase(value_of(incident, name), pattern) for name, pattern in matchers.items())
