"""Alerts in the formats of Prometheus, Alertmanager and Grafana."""

from typing import Annotated, Any

from fastapi import APIRouter, Body

from incident_manager.access.roles import Role
from incident_manager.api.authentication import requires
from incident_manager.api.documented import DocumentedAs
from incident_manager.api.ingest_examples import ALERTMANAGER, GRAFANA, PROMETHEUS
from incident_manager.api.responses import errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.schemas import AcceptedAlerts
from incident_manager.api.services import Current
from incident_manager.ingest.alertmanager import AlertmanagerWebhook, parse_alertmanager
from incident_manager.ingest.fields import DEFAULT_SEVERITY
from incident_manager.ingest.grafana import GrafanaWebhook, LegacyGrafanaWebhook, parse_grafana
from incident_manager.ingest.prometheus import PrometheusAlert, parse_prometheus

router = APIRouter(tags=["alerts"], route_class=StrictRoute, dependencies=[requires(Role.INGEST)])

REFUSALS = errors(400, 413, 415, 422, 503)

AlertmanagerPayload = Annotated[Any, DocumentedAs(AlertmanagerWebhook), Body(examples=[ALERTMANAGER])]
GrafanaPayload = Annotated[Any, DocumentedAs(GrafanaWebhook | LegacyGrafanaWebhook), Body(examples=[GRAFANA])]
PrometheusPayload = Annotated[Any, DocumentedAs(list[PrometheusAlert]), Body(examples=[PROMETHEUS])]


@router.post("/v1/ingest/alertmanager", status_code=202, responses=REFUSALS)
async def take_alertmanager_notification(payload: AlertmanagerPayload, services: Current) -> AcceptedAlerts:
    """Take a notification of Prometheus' Alertmanager (webhook, version 4).

    Alertmanager repeats a notification only after a 5xx answer. What is wrong with the notification itself is
    answered 4xx, because a repetition would not help; what could not be stored is answered 503. A `severity` label
    that is none of our words counts as P2, because a refusal would lose the whole notification.
    """
    alerts = parse_alertmanager(payload, services.now(), unknown_severity=DEFAULT_SEVERITY)
    return await services.take(alerts)


@router.post("/v1/ingest/grafana", status_code=202, responses=REFUSALS)
async def take_grafana_notification(payload: GrafanaPayload, services: Current) -> AcceptedAlerts:
    """Take a notification of Grafana's alerting (contact point "Webhook"), or of its alerting before version 9.

    The test of a contact point becomes an incident of severity P4 that ends by itself.
    """
    alerts = parse_grafana(payload, services.now(), test_timeout=services.ingest.resolve_timeout)
    return await services.take(alerts)


@router.post("/api/v2/alerts", responses=REFUSALS, operation_id="take_prometheus_alerts")
@router.post("/v1/ingest/prometheus/api/v2/alerts", responses=REFUSALS, operation_id="take_prometheus_alerts_below")
async def take_prometheus_alerts(payload: PrometheusPayload, services: Current) -> AcceptedAlerts:
    """Take the alerts that Prometheus, or anything else that knows Alertmanager's API v2, sends to an Alertmanager.

    An alert fires until its `endsAt`; its sender repeats it before that, or it is resolved then. One without `endsAt`
    holds for `ingest.resolve_timeout` seconds.
    """
    alerts = parse_prometheus(payload, services.now(), resolve_timeout=services.ingest.resolve_timeout)
    return await services.take(alerts)
