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
from incident_manager.ingest.fields import KEY_LIMIT, LooseLabels, LooseText, StatusWord, Timestamp
from incident_manager.ingest.labelled import link_or_none, severity_of, title_of
from incident_manager.ingest.validation import validate

SOURCE = "alertmanager"


class AlertmanagerAlert(BaseModel):
    """One alert of a notification. Unknown fields are ignored."""

    status: StatusWord
    labels: LooseLabels = {}
    annotations: LooseLabels = {}
    startsAt: Timestamp = None
    endsAt: Timestamp = None
    generatorURL: LooseText = ""
    fingerprint: str = Field("", max_length=KEY_LIMIT)


class AlertmanagerWebhook(BaseModel):
    """A notification: the alerts of one group, firing and resolved ones together. Unknown fields are ignored."""

    version: str = "4"
    commonLabels: LooseLabels = {}
    commonAnnotations: LooseLabels = {}
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
    status = AlertStatus(item.status)
    return new_alert(
        source=SOURCE,
        status=status,
        title=title_of(labels, annotations),
        description=annotations.get("description", ""),
        severity=severity_of(labels, path, unknown_severity),
        labels=labels,
        annotations=annotations,
        starts_at=item.startsAt,
        ends_at=item.endsAt if status is AlertStatus.RESOLVED else None,  # it will say so when a firing one ends
        received_at=received_at,
        dedup_key=item.fingerprint,
        generator_url=link_or_none(item.generatorURL),
    )
