"""Incidents: seen, reported, changed, acknowledged and resolved."""

from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from incident_manager.api.responses import errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.schemas import (
    Acknowledge,
    IncidentCreate,
    IncidentDetail,
    IncidentOut,
    IncidentPage,
    IncidentPatch,
    NotificationOut,
    Resolve,
    SeverityIn,
    TimelineOut,
)
from incident_manager.api.services import Current
from incident_manager.cache.reads import Read
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.lifecycle import Edit
from incident_manager.store.paging import IncidentFilter
from incident_manager.store.repository import UnitOfWork

M = TypeVar("M", bound=BaseModel)

router = APIRouter(prefix="/v1/incidents", tags=["incidents"], route_class=StrictRoute)

CHANGE = errors(400, 404, 409, 413, 415, 422, 503)


def _shown(incident: Incident) -> IncidentOut:
    return IncidentOut.model_validate(incident)


def _marked(read: Read[M], response: Response) -> M:
    """The answer; an old one says so in its headers (RFC 9111: `Age`; RFC 7234, section 5.5.1: `Warning`)."""
    if read.stale is not None:
        response.headers["Age"] = str(round(read.stale))
        response.headers["Warning"] = '110 - "Response is Stale"'
    return read.answer


@router.get("", responses=errors(422, 503))
async def list_incidents(
    services: Current,
    response: Response,
    status: Annotated[list[Status] | None, Query(description="Only these; may be repeated.")] = None,
    severity: Annotated[list[SeverityIn] | None, Query(description="Only these; may be repeated.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Incidents in one page.")] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> IncidentPage:
    """Incidents, newest first, page by page."""
    where = IncidentFilter(statuses=status or (), severities=severity or ())
    question = {
        "statuses": sorted(where.statuses),
        "severities": sorted(where.severities),
        "limit": limit,
        "cursor": cursor,
    }

    async def load() -> IncidentPage:
        page = await services.store.read(lambda unit: unit.list(where, limit=limit, cursor=cursor))
        return IncidentPage(incidents=[_shown(incident) for incident in page.incidents], next_cursor=page.next_cursor)

    return _marked(await services.reads.get(IncidentPage, question, load), response)


@router.post("", status_code=201, responses=errors(400, 413, 415, 422, 503))
async def create_incident(body: IncidentCreate, services: Current, response: Response) -> IncidentOut:
    """Report an incident by hand. Alerts are not merged into it."""
    incident = await services.actions.create(**dict(body))
    response.headers["Location"] = f"/v1/incidents/{incident.id}"
    return _shown(incident)


@router.get("/{incident_id}", responses=errors(404, 503))
async def get_incident(incident_id: str, services: Current, response: Response) -> IncidentDetail:
    """One incident with its history and its notifications."""

    async def read(unit: UnitOfWork) -> IncidentDetail:
        return IncidentDetail(
            **dict(_shown(await unit.get(incident_id))),
            timeline=[TimelineOut.model_validate(entry) for entry in await unit.timeline(incident_id)],
            notifications=[NotificationOut.model_validate(entry) for entry in await unit.deliveries(incident_id)],
        )

    question = {"id": incident_id}
    return _marked(await services.reads.get(IncidentDetail, question, lambda: services.store.read(read)), response)


@router.patch("/{incident_id}", responses=CHANGE)
async def change_incident(incident_id: str, body: IncidentPatch, services: Current) -> IncidentOut:
    """Change what is named in the body. Statuses go forward only; `resolved` is final but for `closed`."""
    changes = Edit(**body.model_dump(exclude={"by", "version"}))
    return _shown(await services.actions.patch(incident_id, changes, by=body.by, expected_version=body.version))


@router.post("/{incident_id}/ack", responses=CHANGE)
async def acknowledge_incident(
    incident_id: str,
    services: Current,
    body: Acknowledge = Acknowledge(),  # noqa: B008 - it is frozen
) -> IncidentOut:
    """Say that somebody has seen it. The first acknowledgement stays; another one changes nothing."""
    return _shown(await services.actions.acknowledge(incident_id, by=body.by, expected_version=body.version))


@router.post("/{incident_id}/resolve", responses=CHANGE)
async def resolve_incident(
    incident_id: str,
    services: Current,
    body: Resolve = Resolve(),  # noqa: B008 - it is frozen
) -> IncidentOut:
    """End an open incident; the destinations that were told of it are told so."""
    return _shown(
        await services.actions.resolve(
            incident_id, by=body.by, resolution=body.resolution, expected_version=body.version
        )
    )
