"""Anomalies that Sentinel pushes."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Request

from incident_manager.access.roles import Role
from incident_manager.api.authentication import CurrentCaller, open_to_all
from incident_manager.api.documented import DocumentedAs
from incident_manager.api.errors import ApiError
from incident_manager.api.ingest_examples import SENTINEL
from incident_manager.api.responses import errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.schemas import AcceptedAlerts
from incident_manager.api.services import Current
from incident_manager.ingest.sentinel import SentinelWebhook, is_signed, parse_sentinel, signature_of

router = APIRouter(tags=["alerts"], route_class=StrictRoute, dependencies=[open_to_all()])

SentinelPayload = Annotated[Any, DocumentedAs(SentinelWebhook), Body(examples=[SENTINEL])]
Signature = Annotated[str | None, Header(description="HMAC-SHA256 of the body without `signature`, in hexadecimal.")]


@router.post("/v1/ingest/sentinel", status_code=202, responses=errors(400, 401, 403, 413, 415, 422, 429, 503))
async def take_sentinel_anomaly(
    payload: SentinelPayload,
    request: Request,
    caller: CurrentCaller,
    services: Current,
    x_sentinel_signature: Signature = None,
) -> AcceptedAlerts:
    """Take an anomaly that Sentinel detected.

    When `ingest.sentinel_secret` is set, a webhook needs a valid signature, in the header or as its member
    `signature`, and no token. Otherwise it needs a token with the role `ingest` wherever callers need one. A webhook
    that is delivered again changes nothing.
    """
    secret = services.ingest.sentinel_secret
    if secret is None:
        services.access.require(caller, Role.INGEST)
    else:
        signature = x_sentinel_signature or signature_of(payload)
        if not signature:
            raise ApiError(401, "signature_missing", "X-Sentinel-Signature: is required, since a secret is set")
        if not is_signed((await request.body()).decode(), signature, secret.get_secret_value()):
            raise ApiError(
                401, "signature_invalid", "X-Sentinel-Signature: does not belong to this body and our secret"
            )
    return await services.take(parse_sentinel(payload, services.now()))
