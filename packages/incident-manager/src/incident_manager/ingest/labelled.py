"""Alerts that are labels and annotations: Prometheus' idea, which its successors share."""

from __future__ import annotations

from collections.abc import Mapping

from incident_manager.domain.errors import InvalidAlertError
from incident_manager.domain.severity import Severity
from incident_manager.ingest.fields import DEFAULT_SEVERITY, TITLE_LIMIT, is_link, shorten

NAMELESS = "Alert without a name"


def title_of(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """Return the first that is there of the annotations `summary` and `title` and the label `alertname`."""
    candidates = (annotations.get("summary", ""), annotations.get("title", ""), labels.get("alertname", ""))
    found = next((text.strip() for text in candidates if text.strip()), NAMELESS)
    return shorten(found, TITLE_LIMIT)


def severity_of(labels: Mapping[str, str], path: str, unknown: Severity | None = DEFAULT_SEVERITY) -> Severity:
    """Return what the label `severity` says.

    Args:
        path: Where the alert is in the body.
        unknown: Taken for a word that is none of ours.

    Raises:
        InvalidAlertError: The word is none of ours, and `unknown` is None.
    """
    word = labels.get("severity", "")
    if not word:
        return DEFAULT_SEVERITY
    try:
        return Severity.parse(word)
    except ValueError as error:
        if unknown is not None:
            return unknown
        raise InvalidAlertError(f"{path}.labels.severity", word, str(error)) from None


def link_or_none(text: str) -> str | None:
    """Return the text if it may be shown as a link."""
    return text if is_link(text) else None
