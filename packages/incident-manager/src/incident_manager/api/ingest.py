"""Alerts in the formats of other systems."""

from typing import Annotated, Any

from fastapi import APIRouter, Body

from incident_manager.access.roles import Role
from incident_manager.api.authentication import requires
from incident_manager.api.documented import DocumentedAs
from incident_manager.api.responses import errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.schemas import AcceptedAlerts
from incident_manager.api.services import Current
from incident_manager.ingest.alertmanager import AlertmanagerWebhook, parse_alertmanager
from incident_manager.ingest.fields import DEFAULT_SEVERITY

router = APIRouter(prefix="/v1/ingest", tags=["alerts"], route_class=StrictRoute, dependencies=[requires(Role.INGEST)])


EXAMPLE = {
    "version": "4",
    "groupKey": '{}:{alertname="HighLatency"}',
    "status": "firing",
    "receiver": "incident-manager",
    "groupLabels": {"alertname": "HighLatency"},
    "commonLabels": {"alertname": "HighLatency", "severity": "critical"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager.example.org",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "HighLatency", "severity": "critical", "instance": "shop-1"},
            "annotations": {"summary": "Checkout is slow"},
            "startsAt": "2026-01-05T09:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example.org/graph",
            "fingerprint": "a1b2c3d4e5f60718",
        }
    ],
}

AlertmanagerPayload = Annotated[Any, DocumentedAs(AlertmanagerWebhook), Body(examples=[EXAMPLE])]


@router.post("/alertmanager", status_code=202, responses=errors(400, 413, 415, 422, 503))
async def take_alertmanager_notification(payload: AlertmanagerPayload, services: Current) -> AcceptedAlerts:
    """Take a notification of Prometheus' Alertmanager (webhook, version 4).

    Alertmanager repeats a notification only after a 5xx answer. What is wrong with the notification itself is
    answered 4xx, because a repetition would not help; what could not be stored is answered 503. A `severity` label
    that is none of our words counts as P2, because a refusal would lose the whole notification.
    """
    alerts = parse_alertmanager(payload, services.now(), unknown_severity=DEFAULT_SEVERITY)
    return await services.take(alerts)
