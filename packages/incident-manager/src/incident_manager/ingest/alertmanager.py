"""The webhook of Prometheus Alertmanager, version 4.

Format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config. Alertmanager repeats a notification
only after an answer of 5xx, so what is merely unusual is accepted here and not refused.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.domain.severity import Severity
from incident_manager.ingest.fields import (
    DEFAULT_SEVERITY,
    KEY_LIMIT,
    TITLE_LIMIT,
    Labels,
    Timestamp,
    is_link,
    shorten,
)
from incident_manager.ingest.validation import validate

SOURCE = "alertmanager"


class AlertmanagerAlert(BaseModel):
    """One alert of a notification. Unknown fields are ignored."""

    status: AlertStatus
    labels: Labels = {}
    annotations: Labels = {}
    startsAt: Timestamp = None
    endsAt: Timestamp = None
    generatorURL: str = ""
    fingerprint: str = Field("", max_length=KEY_LIMIT)


class AlertmanagerWebhook(BaseModel):
    """A notification: the alerts of one group, firing and resolved ones together. Unknown fields are ignored."""

    version: str = "4"
    commonLabels: Labels = {}
    commonAnnotations: Labels = {}
    alerts: list[AlertmanagerAlert]


def parse_alertmanager(
    payload: object, received_at: datetime, *, unknown_severity: Severity | None = None
) -> list[Alert]:
    """Read a notification; common labels and annotations are merged into those of each alert.

    Args:
        unknown_severity: Taken when `labels.severity` is no word we know; None refuses the notification.

    Raises:
        InvalidAlertError: The payload is not such a notification, or a severity is unknown.
    """
    webhook = validate(AlertmanagerWebhook, payload)
    if webhook.version != "4":
        raise InvalidAlertError("version", webhook.version, "must be 4")
    return [
        _alert(item, webhook, received_at, f"alerts[{index}]", unknown_severity)
        for index, item in enumerate(webhook.alerts)
    ]


def _alert(
    item: AlertmanagerAlert,
    webhook: AlertmanagerWebhook,
    received_at: datetime,
    path: str,
    unknown_severity: Severity | None,
) -> Alert:
    labels = {**webhook.commonLabels, **item.labels}
    annotations = {**webhook.commonAnnotations, **item.annotations}
    title = annotations.get("summary", "").strip() or annotations.get("title", "").strip() or labels.get("alertname")
    return new_alert(
        source=SOURCE,
        status=item.status,
        title=shorten(title or "Alert without a name", TITLE_LIMIT),
        description=annotations.get("description", ""),
        severity=_severity(labels.get("severity"), path, unknown_severity),
        labels=labels,
        annotations=annotations,
        starts_at=item.startsAt,
        ends_at=item.endsAt,
        received_at=received_at,
        dedup_key=item.fingerprint,
        generator_url=item.generatorURL if is_link(item.generatorURL) else None,
    )


def _severity(word: str | None, path: str, unknown: Severity | None) -> Severity:
    if not word:
        return DEFAULT_SEVERITY
    try:
        return Severity.parse(word)
    except ValueError as error:
        if unknown is not None:
            return unknown
        raise InvalidAlertError(f"{path}.labels.severity", word, str(error)) from None
