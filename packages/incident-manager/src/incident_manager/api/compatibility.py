"""The API that a policy engine calls, translated into ours. Nothing here decides anything."""

from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from fastapi import APIRouter, Response

from incident_manager.access.roles import Role
from incident_manager.api.authentication import requires
from incident_manager.api.compatibility_schemas import (
    TheirAlert,
    TheirIncident,
    TheirIncidentOut,
    TheirStatus,
    TheirUpdate,
    their_incident,
    their_status,
)
from incident_manager.api.errors import ApiError
from incident_manager.api.incident_change import NewIncident
from incident_manager.api.incidents import IncidentId
from incident_manager.api.responses import REPLAYED, TAGGED, errors
from incident_manager.api.route import StrictRoute
from incident_manager.api.schemas import AcceptedAlert
from incident_manager.api.services import Current
from incident_manager.domain.alert import new_alert
from incident_manager.domain.errors import InvalidTransitionError
from incident_manager.domain.incident import Incident, Status
from incident_manager.domain.lifecycle import Change, Edit, acknowledge, edit, resolve
from incident_manager.domain.timeline import TimelineEntry
from incident_manager.ingest.fields import TITLE_LIMIT, as_text

router = APIRouter(prefix="/api/v1", tags=["compatibility"], route_class=StrictRoute)

INGEST = [requires(Role.INGEST)]
READ = [requires(Role.READ)]
RESPOND = [requires(Role.RESPOND)]
_ANSWER = {"headers": {**TAGGED["headers"], **REPLAYED}}


def _text(incident: Incident) -> str:
    return their_incident(incident).model_dump_json()


@router.post(
    "/incidents",
    status_code=201,
    response_model=TheirIncidentOut,
    responses={**errors(400, 409, 413, 415, 422, 503), 201: _ANSWER},
    dependencies=INGEST,
)
async def report_incident(body: TheirIncident, services: Current, change: NewIncident) -> Response:
    """Open an incident: one for each request, unless `Idempotency-Key` repeats. Ids and `tags` become labels, `context`
    an annotation.
    """
    by = change.by(None)
    return await change.answer(
        "incident.create",
        lambda: services.actions.create(
            title=body.title,
            severity=body.severity,
            by=by,
            description=body.description,
            source=body.source,
            labels=body.labels(),
            annotations=body.annotations(),
            witness=change,
        ),
        status=201,
        shown=_text,
    )


@router.get("/incidents/{incident_id}", responses=errors(404, 422, 503), dependencies=READ)
async def show_incident(incident_id: IncidentId, services: Current) -> TheirIncidentOut:
    """One incident: `new` until it is acknowledged, `in_progress` while it is investigated or remediated."""
    return their_incident(await services.store.read(lambda unit: unit.get(incident_id)))


@router.post(
    "/incidents/{incident_id}",
    response_model=TheirIncidentOut,
    responses={**errors(400, 404, 409, 413, 415, 422, 503), 200: _ANSWER},
    dependencies=RESPOND,
)
async def update_incident(
    incident_id: IncidentId, body: TheirUpdate, services: Current, change: NewIncident
) -> Response:
    """Say what became of an incident; what is so already changes nothing, and no incident becomes `new` again."""
    by = change.by(None)
    return await change.answer(
        "incident.change",
        lambda: services.actions.apply(incident_id, lambda old, at: follow(old, body, by, at), witness=change),
        shown=_text,
    )


@router.post("/alerts", status_code=202, responses=errors(400, 413, 415, 422, 503), dependencies=INGEST)
async def take_alert(body: TheirAlert, services: Current) -> AcceptedAlert:
    """Take an alert. Those of one source with the same type and message belong to one incident."""
    title = next((line.strip() for line in body.message.splitlines() if line.strip()), "")[:TITLE_LIMIT]
    if not title:
        raise ApiError(422, "invalid_alert", "message: must not be blank", field="message")
    said = {"context": as_text(body.context) if body.context else "", "recipients": ", ".join(body.recipients)}
    alert = new_alert(
        source=body.source,
        title=title,
        description=body.message if body.message.strip() != title else "",
        severity=body.severity,
        labels={"alert_type": body.alert_type},
        annotations={name: text for name, text in said.items() if text},
        dedup_key=f"{body.alert_type}:{sha256(body.message.encode()).hexdigest()}",
        received_at=services.now(),
    )
    [accepted] = (await services.take([alert])).alerts
    return accepted


def follow(incident: Incident, wanted: TheirUpdate, by: str, at: datetime) -> Change:
    """Do to an incident what the policy engine says, as one version. Pure.

    Raises:
        InvalidTransitionError: The incident cannot go there from where it is.
    """
    changed, entries = incident, list[TimelineEntry]()
    if wanted.status is TheirStatus.NEW and their_status(incident) is not TheirStatus.NEW:
        rule = "what has begun is not new again"
        raise InvalidTransitionError(incident.id, incident.status, wanted.status, rule)
    if wanted.status is TheirStatus.ACKNOWLEDGED:
        changed, entries = acknowledge(incident, by, at)
    if wanted.status is TheirStatus.CLOSED and incident.status.is_open:
        changed, entries = resolve(incident, by, at, wanted.resolution)
    # The resolution is told once: by whoever resolves it here, else as a note.
    note = None if changed.resolution != incident.resolution else wanted.resolution
    edited = Edit(status=_our_status(incident, wanted.status), assignee=wanted.assigned_to, note=note)
    changed, more = edit(changed, edited, by, at)
    if not entries and not more:
        return incident, []
    return replace(changed, version=incident.version + 1), [*entries, *more]


def _our_status(incident: Incident, wanted: TheirStatus | None) -> Status | None:
    """The status to go to; None where the incident is there already."""
    if wanted is None or wanted is their_status(incident):
        return None
    return {
        TheirStatus.IN_PROGRESS: Status.INVESTIGATING,
        TheirStatus.RESOLVED: Status.RESOLVED,
        TheirStatus.CLOSED: Status.CLOSED,
    }.get(wanted)
