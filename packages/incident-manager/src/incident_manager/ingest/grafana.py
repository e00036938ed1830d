"""The webhook of Grafana: its unified alerting, and the alerting that versions before 11 also had.

Formats: https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
and https://grafana.com/docs/grafana/v8.5/alerting/old-alerting/notifications/#webhook.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field, StrictInt

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.severity import Severity
from incident_manager.ingest.fields import (
    DEFAULT_SEVERITY,
    KEY_LIMIT,
    TITLE_LIMIT,
    LooseLabels,
    LooseText,
    StatusWord,
    Timestamp,
    as_text,
    shorten,
)
from incident_manager.ingest.labelled import link_or_none, severity_of, title_of
from incident_manager.ingest.validation import validate

SOURCE = "grafana"

_LINKS = ("silenceURL", "dashboardURL", "panelURL", "imageURL")
_ABOUT_THE_QUERY = {"DatasourceNoData": "No data", "DatasourceError": "Query failed"}


class GrafanaAlert(BaseModel):
    """One alert instance of a notification. Unknown fields are ignored."""

    status: StatusWord
    labels: LooseLabels = {}
    annotations: LooseLabels = {}
    startsAt: Timestamp = None
    endsAt: Timestamp = None
    generatorURL: LooseText = ""
    fingerprint: LooseText = Field("", max_length=KEY_LIMIT)
    silenceURL: LooseText = ""
    dashboardURL: LooseText = ""
    panelURL: LooseText = ""
    imageURL: LooseText = ""
    values: Any = None
    valueString: LooseText = ""


class GrafanaWebhook(BaseModel):
    """A notification: the alerts of one group, firing and resolved ones together. Unknown fields are ignored."""

    orgId: StrictInt | None = None
    commonLabels: LooseLabels = {}
    commonAnnotations: LooseLabels = {}
    alerts: list[GrafanaAlert]


class LegacyGrafanaWebhook(BaseModel):
    """A notification of the alerting before unified alerting: the state of one rule. Unknown fields are ignored."""

    ruleId: StrictInt
    orgId: StrictInt = 1
    ruleName: LooseText = ""
    ruleUrl: LooseText = ""
    state: Literal["alerting", "no_data", "pending", "unknown", "ok", "paused"]
    title: LooseText = ""
    message: LooseText = ""
    imageUrl: LooseText = ""
    tags: LooseLabels = {}
    evalMatches: Any = None


def parse_grafana(payload: object, received_at: datetime, *, test_timeout: float) -> list[Alert]:
    """Read a notification; common labels and annotations are merged into those of each alert.

    Args:
        test_timeout: Seconds after which the test alert of a contact point, which nothing else ends, is over.

    Raises:
        InvalidAlertError: The payload is not such a notification.
    """
    if isinstance(payload, dict) and "alerts" not in payload and "ruleId" in payload:
        return [_legacy_alert(validate(LegacyGrafanaWebhook, payload), received_at)]
    webhook = validate(GrafanaWebhook, payload)
    return [
        _alert(item, webhook, received_at, f"alerts[{index}]", test_timeout)
        for index, item in enumerate(webhook.alerts)
    ]


def _alert(item: GrafanaAlert, webhook: GrafanaWebhook, received_at: datetime, path: str, test_timeout: float) -> Alert:
    labels = {**webhook.commonLabels, **item.labels}
    annotations = {**webhook.commonAnnotations, **item.annotations, **_facts(item)}
    status, ends_at, severity = AlertStatus(item.status), item.endsAt, severity_of(labels, path)
    if status is AlertStatus.FIRING:
        ends_at = None  # Grafana will say when it ends
        if _is_test(labels):
            ends_at = received_at + timedelta(seconds=test_timeout)
            severity = severity if "severity" in labels else Severity.P4
    return new_alert(
        source=SOURCE,
        status=status,
        title=_title(labels, annotations),
        description=annotations.get("description", "") or annotations.get("Error", ""),
        severity=severity,
        labels=labels,
        annotations=annotations,
        starts_at=item.startsAt,
        ends_at=ends_at,
        received_at=received_at,
        dedup_key=f"{webhook.orgId or 1}/{item.fingerprint}" if item.fingerprint else None,
        generator_url=link_or_none(item.generatorURL),
    )


def _facts(item: GrafanaAlert) -> dict[str, str]:
    """Return what an alert has besides labels and annotations."""
    links = {name: link for name in _LINKS if (link := link_or_none(getattr(item, name)))}
    values = {"values": as_text(item.values)} if item.values is not None else {}
    return {**links, **values, **({"valueString": item.valueString} if item.valueString else {})}


def _title(labels: dict[str, str], annotations: dict[str, str]) -> str:
    """Name the trouble. When the query has no answer, the rule's own summary speaks of what nobody has measured."""
    about = _ABOUT_THE_QUERY.get(labels.get("alertname", ""))
    if about is None:
        return title_of(labels, annotations)
    return shorten(f"{about}: {labels.get('rulename') or annotations.get('summary') or 'a rule'}", TITLE_LIMIT)


def _is_test(labels: dict[str, str]) -> bool:
    return labels.get("alertname") == "TestAlert" and labels.get("instance") == "Grafana"


def _legacy_alert(item: LegacyGrafanaWebhook, received_at: datetime) -> Alert:
    title = item.ruleName.strip() or item.title.strip() or f"Rule {item.ruleId}"
    annotations = {"imageUrl": item.imageUrl} if link_or_none(item.imageUrl) else {}
    if item.evalMatches:
        annotations["evalMatches"] = as_text(item.evalMatches)
    return new_alert(
        source=SOURCE,
        status=AlertStatus.RESOLVED if item.state in ("ok", "paused") else AlertStatus.FIRING,
        title=shorten(f"No data: {title}" if item.state == "no_data" else title, TITLE_LIMIT),
        description=item.message,
        severity=severity_of(item.tags, "tags", DEFAULT_SEVERITY),
        labels=item.tags,
        annotations=annotations,
        received_at=received_at,
        dedup_key=f"{item.orgId}/rule/{item.ruleId}",
        generator_url=link_or_none(item.ruleUrl),
    )
