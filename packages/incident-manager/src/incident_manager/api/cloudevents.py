"""CloudEvents over HTTP: binary, structured and batched content mode.

Binding: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

from email.message import Message
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from incident_manager.access.roles import Role
from incident_manager.api.authentication import requires
from incident_manager.api.errors import ApiError
from incident_manager.api.ingest_examples import CLOUDEVENT
from incident_manager.api.responses import errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.schemas import AcceptedAlerts
from incident_manager.api.services import Current
from incident_manager.api.strict_json import JsonError, parse_json
from incident_manager.ingest.cloudevents import CloudEvent, binary_event, parse_cloudevents

router = APIRouter(tags=["alerts"], route_class=StrictRoute, dependencies=[requires(Role.INGEST)])

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

_SCHEMA = CloudEvent.model_json_schema()
_BODIES = {
    STRUCTURED: {"schema": _SCHEMA, "example": CLOUDEVENT},
    BATCH: {"schema": {"type": "array", "items": _SCHEMA}, "example": [CLOUDEVENT]},
    "application/json": {"schema": {"description": "Data; the attributes are `ce-` headers."}},
    "*/*": {"schema": {"type": "string", "format": "binary", "description": "The same, with data that is no JSON."}},
}
_HEADERS = [
    {"name": f"ce-{name}", "in": "header", "required": False, "schema": {"type": "string"}, "description": what}
    for name, what in {
        "specversion": "`1.0`. In binary mode this and the next three are needed.",
        "id": "With `ce-source`, the identity of the event.",
        "source": "Who says so.",
        "type": "What kind of event it is.",
        "subject": "What it is about.",
        "time": "When it happened.",
        "severity": "An extension attribute: P0 to P4 or a usual word.",
        "status": "An extension attribute: `firing`, `acknowledged` or `resolved`.",
        "dedupkey": "An extension attribute: what the trouble is called.",
    }.items()
]


async def _payload(request: Request) -> Any:
    """The event, or the array of events, of a request in any mode. Raises ApiError."""
    given = request.headers.get("content-type", "")
    header = Message()
    header["content-type"] = given or "application/octet-stream"
    kind = header.get_content_type()
    if kind.startswith("application/cloudevents"):
        if kind not in (STRUCTURED, BATCH):
            raise ApiError(415, "unsupported_media_type", f"events come as {STRUCTURED} or {BATCH}; got {given!r}")
        value = await _json(request)
        if isinstance(value, list) != (kind == BATCH):
            wanted = "an array of events" if kind == BATCH else "one event, an object"
            raise ApiError(422, "invalid_alert", f"body: must be {wanted}", field="body")
        return value
    if "ce-specversion" not in request.headers:
        message = f"send {STRUCTURED}, {BATCH}, or the attributes as ce- headers; got {given!r} without ce-specversion"
        raise ApiError(415, "unsupported_media_type", message)
    body: Any = await request.body() or None
    if body is not None and (kind == "application/json" or kind.endswith("+json")):
        body = await _json(request)
    return binary_event(request.headers, given or None, body)


async def _json(request: Request) -> Any:
    try:
        return parse_json(await request.body())
    except JsonError as error:
        raise ApiError(400, "invalid_json", str(error)) from None


Payload = Annotated[Any, Depends(_payload)]


@router.post(
    "/v1/ingest/cloudevents",
    status_code=202,
    responses=errors(400, 413, 415, 422, 503),
    openapi_extra={"parameters": _HEADERS, "requestBody": {"content": _BODIES}},
)
async def take_cloudevents(payload: Payload, services: Current) -> AcceptedAlerts:
    """Take CloudEvents 1.0 in binary, structured or batched mode.

    An event of a `source` and `id` that were taken before changes nothing and is answered `ignored`.
    """
    return await services.take(parse_cloudevents(payload, services.now()))
