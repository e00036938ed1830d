"""A drop-in for PagerDuty's Events API v2: the same requests, the same answers.

Reference: https://developer.pagerduty.com/docs/events-api-v2/overview/. Requests that PagerDuty would refuse are
answered 400 in its shape, which its clients show; whatever else can go wrong is answered as everywhere here, with a
status at which its clients try again.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field

from incident_manager.access.roles import Role
from incident_manager.api.authentication import CurrentCaller, caller_with_token, open_to_all
from incident_manager.api.documented import DocumentedAs
from incident_manager.api.errors import as_api_error
from incident_manager.api.ingest_examples import PAGERDUTY
from incident_manager.api.responses import errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.schemas import Model
from incident_manager.api.services import Current
from incident_manager.domain.errors import InvalidAlertError
from incident_manager.ingest.pagerduty import PagerDutyEvent, parse_pagerduty


class EventProcessed(Model):
    """The event was taken."""

    status: Literal["success"] = "success"
    message: Literal["Event processed"] = "Event processed"
    dedup_key: str = Field(description="The event's own, or the one that was chosen for it.")


class InvalidEvent(Model):
    """The event was refused."""

    status: Literal["invalid event"] = "invalid event"
    message: str = "Event object is invalid"
    errors: list[str] = Field(examples=[["'payload.summary' is missing or blank"]])


class EventsRoute(StrictRoute):
    """A route that refuses events in PagerDuty's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The strict handler, with its refusals translated."""
        handler = super().get_route_handler()

        async def translated(request: Request) -> Response:
            try:
                return await handler(request)
            except InvalidAlertError as error:
                return _refused(_sentence(error))
            except (HTTPException, RequestValidationError) as error:
                answer = as_api_error(error)
                if answer.status_code not in (400, 422):
                    raise
                return _refused(answer.detail)

        return translated


router = APIRouter(tags=["alerts"], route_class=EventsRoute, dependencies=[open_to_all()])

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": InvalidEvent, "description": "PagerDuty would refuse it too."},
    **errors(401, 403, 413, 415, 429, 503),
}
EventPayload = Annotated[Any, DocumentedAs(PagerDutyEvent), Body(examples=[PAGERDUTY])]


@router.post("/v2/enqueue", status_code=202, responses=REFUSALS, operation_id="take_pagerduty_event")
@router.post("/v1/ingest/pagerduty", status_code=202, responses=REFUSALS, operation_id="take_pagerduty_event_here")
async def take_pagerduty_event(
    payload: EventPayload, request: Request, caller: CurrentCaller, services: Current
) -> EventProcessed:
    """Take an event in the format of PagerDuty's Events API v2.

    `acknowledge` acknowledges the open incident of the same `dedup_key`, and `resolve` ends it; without one, neither
    does anything. Keys are separate for each `routing_key`, which is not kept.

    Where callers need a token, `routing_key` is one with the role `ingest`, unless `Authorization` holds it.
    """
    event = parse_pagerduty(payload, services.now())
    if Role.INGEST in caller.roles:
        services.access.require(caller, Role.INGEST)
    else:
        caller_with_token(request, payload["routing_key"], Role.INGEST)
    await services.take([event.alert])
    return EventProcessed(dedup_key=event.dedup_key)


def _sentence(error: InvalidAlertError) -> str:
    rule = error.rule if error.rule.startswith(("is ", "must ")) else f"is invalid: {error.rule}"
    return f"'{error.field}' {rule}"


def _refused(sentence: str) -> JSONResponse:
    return JSONResponse(InvalidEvent(errors=[sentence]).model_dump(), 400)
