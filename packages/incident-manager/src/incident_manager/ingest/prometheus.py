"""What Prometheus sends to its Alertmanagers: the alerts of `POST /api/v2/alerts`.

Format: `postableAlerts` of https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml. It has no
status: an alert whose `endsAt` has passed is resolved, and any other fires until then, unless it is sent again before.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel

from incident_manager.domain.alert import Alert, AlertStatus, new_alert
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.ingest.fields import LooseLabels, LooseText, Timestamp
from incident_manager.ingest.labelled import link_or_none, severity_of, title_of
from incident_manager.ingest.validation import validate

SOURCE = "prometheus"


class PrometheusAlert(BaseModel):
    """One alert. Unknown fields are ignored."""

    labels: LooseLabels
    annotations: LooseLabels = {}
    startsAt: Timestamp = None
    endsAt: Timestamp = None
    generatorURL: LooseText = ""


def parse_prometheus(payload: object, received_at: datetime, *, resolve_timeout: float) -> list[Alert]:
    """Read an array of alerts. Labels without a value count as absent, as they do in Prometheus.

    Args:
        resolve_timeout: Seconds an alert without `endsAt` holds.

    Raises:
        InvalidAlertError: The payload is no such array; nothing of it is to be stored then.
    """
    if not isinstance(payload, list):
        raise InvalidAlertError("body", payload, "must be a JSON array of alerts")
    return [_alert(item, received_at, f"[{index}]", resolve_timeout) for index, item in enumerate(payload)]


def _alert(payload: object, received_at: datetime, path: str, resolve_timeout: float) -> Alert:
    item = validate(PrometheusAlert, payload, path)
    labels = {name: value for name, value in item.labels.items() if value}
    if not labels:
        raise InvalidAlertError(f"{path}.labels", item.labels, "must hold at least one label with a value")
    if item.startsAt and item.endsAt and item.endsAt < item.startsAt:
        raise InvalidAlertError(f"{path}.endsAt", item.endsAt.isoformat(), "must not be before startsAt")
    resolved = item.endsAt is not None and item.endsAt <= received_at
    return new_alert(
        source=SOURCE,
        status=AlertStatus.RESOLVED if resolved else AlertStatus.FIRING,
        title=title_of(labels, item.annotations),
        description=item.annotations.get("description", ""),
        severity=severity_of(labels, path),
        labels=labels,
        annotations=item.annotations,
        starts_at=item.startsAt,
        ends_at=item.endsAt or received_at + timedelta(seconds=resolve_timeout),
        received_at=received_at,
        generator_url=link_or_none(item.generatorURL),
    )
