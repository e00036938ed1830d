"""Incidents: seen, reported, changed, acknowledged and resolved."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from pydantic import AfterValidator, StringConstraints

from incident_manager.access.roles import Role
from incident_manager.api.authentication import requires
from incident_manager.api.errors import ApiError
from incident_manager.api.incident_change import ChangedIncident, NewIncident
from incident_manager.api.incident_schemas import (
    Acknowledge,
    AssessmentOut,
    GroupOut,
    IncidentCreate,
    IncidentDetail,
    IncidentOut,
    IncidentPage,
    IncidentPatch,
    NotificationOut,
    RelatedIncident,
    Resolve,
    ServiceOut,
    TimelineOut,
)
from incident_manager.api.preconditions import TAGS_PATTERN, entity_tag, is_unchanged
from incident_manager.api.responses import NOT_MODIFIED, REPLAYED, TAGGED, errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.schemas import Moment, SeverityIn
from incident_manager.api.services import Current
from incident_manager.cache.reads import Read
from incident_manager.domain.assessment import Assessment, outline
from incident_manager.domain.catalog import CatalogService
from incident_manager.domain.errors import IncidentNotFoundError
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.lifecycle import Edit
from incident_manager.domain.order import SortOrder
from incident_manager.store import assessments, groups
from incident_manager.store.paging import IncidentFilter
from incident_manager.store.repository import UnitOfWork

router = APIRouter(prefix="/v1/incidents", tags=["incidents"], route_class=StrictRoute)

_ID = re.compile(r"inc_[0-9a-f]{32}")
READ = [requires(Role.READ)]
RESPOND = [requires(Role.RESPOND)]
CHANGE = {
    **errors(400, 404, 409, 412, 413, 415, 422, 503),
    200: {**TAGGED, "headers": {**TAGGED["headers"], **REPLAYED}},
}


def _storable(text: str) -> str:
    """Refuse what no database holds and so no incident has."""
    if "\0" in text:
        raise ValueError("must not contain U+0000")
    return text


Term = Annotated[str, StringConstraints(max_length=500), AfterValidator(_storable)]


def possible_id(incident_id: str) -> str:
    """Return an id that an incident may have. Raises IncidentNotFoundError for any other text."""
    if not _ID.fullmatch(incident_id):
        raise IncidentNotFoundError(incident_id)  # no incident ever had it, so that nobody need look
    return incident_id


IncidentId = Annotated[str, AfterValidator(possible_id), Path(examples=["inc_0198c0de7a7b7c0f8e9d0a1b2c3d4e5f"])]


async def incident_filter(
    status: Annotated[list[Status] | None, Query(description="Only these; may be repeated.")] = None,
    severity: Annotated[list[SeverityIn] | None, Query(description="Only these; may be repeated.")] = None,
    source: Annotated[list[Term] | None, Query(description="Only of these; may be repeated.")] = None,
    label: Annotated[
        list[Term] | None,
        Query(description="`name=value`; may be repeated, and then all must hold.", examples=[["team=payments"]]),
    ] = None,
    assignee: Annotated[Term | None, Query(description="Only those that this person works on.")] = None,
    acknowledged: Annotated[bool | None, Query(description="Whether somebody has seen them.")] = None,
    text: Annotated[Term | None, Query(description="Occurs in the title, in any case.")] = None,
    group: Annotated[Term | None, Query(description="Only those of this group.")] = None,
    since: Annotated[Moment | None, Query(description="Created at this moment or later.")] = None,
    until: Annotated[Moment | None, Query(description="Created before this moment.")] = None,
    updated_since: Annotated[Moment | None, Query(description="Last changed at this moment or later.")] = None,
    updated_until: Annotated[Moment | None, Query(description="Last changed before this moment.")] = None,
) -> IncidentFilter:
    """Return what the query asks for.

    Raises:
        ApiError: 422: a label is not `name=value`.
    """
    return IncidentFilter(
        statuses=tuple(status or ()),
        severities=tuple(severity or ()),
        sources=tuple(source or ()),
        labels=_labels(label or []),
        assignee=assignee,
        acknowledged=acknowledged,
        text=text,
        group=group,
        since=since,
        until=until,
        updated_since=updated_since,
        updated_until=updated_until,
    )


def _labels(pairs: list[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for index, pair in enumerate(pairs):
        name, equals, value = pair.partition("=")
        if not name or not equals or labels.get(name, value) != value:
            message = "label must be name=value, each name with one value; given " + repr(pair[:80])
            raise ApiError(422, "invalid_request", message, field=f"label[{index}]")
        labels[name] = value
    return labels


def _shown(incident: Incident) -> IncidentOut:
    return IncidentOut.model_validate(incident)


def assessment_of(items: Sequence[Assessment]) -> AssessmentOut:
    """Return what was found out about an incident, as people are shown it."""
    findings = [item.finding for item in items if item.finding is not None]
    return AssessmentOut(**outline(findings), pending=[item.job for item in items if item.is_pending])


def _service(service: CatalogService | None) -> ServiceOut | None:
    return None if service is None else ServiceOut.model_validate(service)


async def _group(unit: UnitOfWork, incident_id: str) -> GroupOut | None:
    group = (await groups.of_incidents(unit, [incident_id])).get(incident_id)
    if group is None:
        return None
    members = await groups.members(unit, group.id)
    related = [RelatedIncident.model_validate(member) for member in members if member.id != incident_id]
    return GroupOut(**asdict(group), first=members[0].id, related=related)


def _age(read: Read[Any]) -> dict[str, str]:
    """The headers of an old answer (RFC 9111: `Age`; RFC 7234, section 5.5.1: `Warning`)."""
    if read.stale is None:
        return {}
    return {"Age": str(round(read.stale)), "Warning": '110 - "Response is Stale"'}


@router.get("", responses=errors(422, 503), dependencies=READ)
async def list_incidents(
    services: Current,
    response: Response,
    where: Annotated[IncidentFilter, Depends(incident_filter)],
    order: Annotated[SortOrder, Query(description="`newest` or `oldest` created first, or last `updated` first.")] = (
        SortOrder.NEWEST
    ),
    limit: Annotated[int, Query(ge=1, le=200, description="Incidents in one page.")] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before, with the same query.")] = None,
) -> IncidentPage:
    """Incidents, page by page. A cursor goes on with the query that gave it, and with no other."""
    question = {**question_of(where), "order": order, "limit": limit, "cursor": cursor}

    async def load() -> IncidentPage:
        page = await services.store.read(lambda unit: unit.list(where, limit=limit, cursor=cursor, order=order))
        return IncidentPage(incidents=[_shown(incident) for incident in page.incidents], next_cursor=page.next_cursor)

    read = await services.reads.get(IncidentPage, question, load)
    response.headers.update(_age(read))
    return read.answer


def question_of(where: IncidentFilter) -> dict[str, Any]:
    """The filter as JSON, the same for the same incidents."""
    values = {
        name: sorted(value) if isinstance(value, list | tuple | set | frozenset) else value
        for name, value in asdict(where).items()
    }
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


@router.post(
    "",
    status_code=201,
    response_model=IncidentOut,
    responses={
        **errors(400, 409, 413, 415, 422, 503),
        201: {
            "headers": {
                **TAGGED["headers"],
                **REPLAYED,
                "Location": {"description": "Where the incident is.", "schema": {"type": "string"}},
            }
        },
    },
    dependencies=RESPOND,
)
async def create_incident(body: IncidentCreate, services: Current, change: NewIncident) -> Response:
    """Report an incident by hand. Alerts are not merged into it."""
    values = {**dict(body), "by": change.by(body.by)}
    return await change.answer("incident.create", lambda: services.actions.create(**values, witness=change), status=201)


@router.get(
    "/{incident_id}",
    response_model=IncidentDetail,
    responses={**errors(404, 422, 503), 200: TAGGED, 304: NOT_MODIFIED},
    dependencies=READ,
)
async def get_incident(
    incident_id: IncidentId,
    services: Current,
    if_none_match: Annotated[
        str | None,
        Header(
            alias="If-None-Match",
            description="`ETag` of the answer that is at hand; 304 if it is still good.",
            json_schema_extra={"pattern": TAGS_PATTERN},
        ),
    ] = None,
) -> Response:
    """One incident with its history and its notifications."""

    async def read(unit: UnitOfWork) -> IncidentDetail:
        incident = await unit.get(incident_id)
        return IncidentDetail(
            **dict(_shown(incident)),
            assessment=assessment_of(await assessments.of_incident(unit, incident_id)),
            group=await _group(unit, incident_id),
            service=_service(services.catalog.service_of(incident)),
            timeline=[TimelineOut.model_validate(entry) for entry in await unit.timeline(incident_id)],
            notifications=[NotificationOut.model_validate(entry) for entry in await unit.deliveries(incident_id)],
        )

    found = await services.reads.get(IncidentDetail, {"id": incident_id}, lambda: services.store.read(read))
    body = found.answer.model_dump_json().encode()
    headers = {"ETag": entity_tag(found.answer.version, body), **_age(found)}
    if is_unchanged(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


@router.patch("/{incident_id}", response_model=IncidentOut, responses=CHANGE, dependencies=RESPOND)
async def change_incident(
    incident_id: IncidentId, body: IncidentPatch, services: Current, change: ChangedIncident
) -> Response:
    """Change what is named in the body. Statuses go forward only; `resolved` is final but for `closed`."""
    edit, by = Edit(**body.model_dump(exclude={"by", "version"})), change.by(body.by)
    return await change.answer(
        "incident.change",
        lambda: services.actions.patch(incident_id, edit, by=by, expected_version=body.version, witness=change),
    )


@router.post("/{incident_id}/ack", response_model=IncidentOut, responses=CHANGE, dependencies=RESPOND)
async def acknowledge_incident(
    incident_id: IncidentId,
    services: Current,
    change: ChangedIncident,
    body: Acknowledge = Acknowledge(),  # noqa: B008 - it is frozen
) -> Response:
    """Say that somebody has seen it. The first acknowledgement stays; another one changes nothing."""
    by = change.by(body.by)
    return await change.answer(
        "incident.acknowledge",
        lambda: services.actions.acknowledge(incident_id, by=by, expected_version=body.version, witness=change),
    )


@router.post("/{incident_id}/resolve", response_model=IncidentOut, responses=CHANGE, dependencies=RESPOND)
async def resolve_incident(
    incident_id: IncidentId,
    services: Current,
    change: ChangedIncident,
    body: Resolve = Resolve(),  # noqa: B008 - it is frozen
) -> Response:
    """End an open incident; the destinations that were told of it are told so."""
    by = change.by(body.by)
    return await change.answer(
        "incident.resolve",
        lambda: services.actions.resolve(
            incident_id, by=by, resolution=body.resolution, expected_version=body.version, witness=change
        ),
    )
