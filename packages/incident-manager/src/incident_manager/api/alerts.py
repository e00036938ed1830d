"""Alerts in our own format. One is answered 202 when it is durably stored, and not before."""

from typing import Annotated, Any

from fastapi import APIRouter, Body

from incident_manager.access.roles import Role
from incident_manager.api.authentication import requires
from incident_manager.api.documented import DocumentedAs
from incident_manager.api.responses import errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.schemas import AcceptedAlerts
from incident_manager.api.services import Current
from incident_manager.ingest.native import NativeAlert, NativeBatch, parse_native

router = APIRouter(prefix="/v1", tags=["alerts"], route_class=StrictRoute, dependencies=[requires(Role.INGEST)])

EXAMPLES = [
    {"source": "backup", "title": "Nightly backup failed", "severity": "high", "labels": {"host": "db-1"}},
    {"alerts": [{"source": "llm-gateway", "title": "Token quota is near", "dedup_key": "quota", "status": "resolved"}]},
]


NativePayload = Annotated[Any, DocumentedAs(NativeAlert | NativeBatch), Body(examples=EXAMPLES)]


@router.post("/alerts", status_code=202, responses=errors(400, 413, 415, 422, 503))
async def take_alerts(payload: NativePayload, services: Current) -> AcceptedAlerts:
    """Take one alert, or several as `{"alerts": [...]}`: all of them or, when one is wrong, none.

    Alerts with the same `dedup_key` (else the same labels, else the same title) of one source belong to one incident.
    """
    return await services.take(parse_native(payload, services.now()))
