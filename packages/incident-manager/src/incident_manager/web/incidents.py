"""The list of incidents, and one of them."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from incident_manager.api.incident_schemas import AssessmentOut, IncidentOut, TimelineOut
from incident_manager.api.incidents import assessment_of, possible_id, question_of
from incident_manager.api.services import Services
from incident_manager.cache.reads import Read
from incident_manager.domain.assessment import outline
from incident_manager.domain.lifecycle import TRANSITIONS
from incident_manager.store import assessments
from incident_manager.store.backlog import open_by_severity, owed
from incident_manager.store.repository import UnitOfWork
from incident_manager.web.list_query import STATES, ListQuery, read_query
from incident_manager.web.origin import severity_origin
from incident_manager.web.views import AlertView, BacklogView, DeliveryView, IncidentListView, IncidentRow, IncidentView
from incident_manager.web.visit import Visit

PAGE = 50
"""Incidents in one page."""

ALERTS = 20
"""Alerts that are shown of an incident, the latest."""

TIMELINE = 200
"""Lines that are shown of its history, the latest."""

NOTICES = {
    "acknowledged": "Acknowledged.",
    "resolved": "Resolved. The destinations that were told of it are told so.",
    "changed": "Saved.",
    "silenced": "Silenced.",
    "ended": "The silence has ended. What it held back is sent now.",
}
"""What is said after a change, by the word in the address."""


async def show_list(visit: Visit) -> Response:
    """The list."""
    query = read_query(visit.request.query_params)
    read = await _read_list(visit.services, query)
    found = read.answer
    return visit.page(
        "incidents.html",
        backlog=found.backlog,
        database_away=read.stale is not None,
        stale=read.stale,
        query=query,
        states=STATES,
        found=found,
        next_page=query.address(found.next_cursor) if found.next_cursor else None,
        notice=NOTICES.get(visit.request.query_params.get("done", "")),
    )


def _rater(services: Services) -> str:
    """Return who is to rate severities, as far as the circuits tell."""
    has_sentinel, has_model = (name in services.registry for name in ("sentinel-llm", "edge-agent-llm"))
    if has_sentinel != has_model:
        return "Sentinel" if has_sentinel else "the model"
    return "the service that rates severities"


async def _read_list(services: Services, query: ListQuery) -> Read[IncidentListView]:
    where, now = query.filter(), services.now()

    async def read(unit: UnitOfWork) -> IncidentListView:
        page = await unit.list(where, limit=PAGE, cursor=query.cursor)
        known = await assessments.findings_of(unit, [incident.id for incident in page.incidents])
        rows = [
            IncidentRow(
                **dict(IncidentOut.model_validate(incident)),
                assessment=AssessmentOut(**outline(known.get(incident.id, ()))),
            )
            for incident in page.incidents
        ]
        return IncidentListView(
            incidents=rows,
            next_cursor=page.next_cursor,
            open={severity: count for severity, count in (await open_by_severity(unit)).items() if count},
            backlog=BacklogView.of(await owed(unit, now)),
        )

    question: dict[str, Any] = {"page": "list", **question_of(where), "cursor": query.cursor}
    return await services.reads.get(IncidentListView, question, lambda: services.store.read(read))


async def show_one(visit: Visit) -> Response:
    """One incident."""
    notice = NOTICES.get(visit.request.query_params.get("done", ""))
    return await incident_page(visit, visit.request.path_params["incident_id"], notice=notice)


async def incident_page(
    visit: Visit,
    incident_id: str,
    *,
    status: int = 200,
    notice: str | None = None,
    refused: bool = False,
    problem: str | None = None,
    typed: dict[str, str] | None = None,
) -> Response:
    """Return the page of an incident as it is now.

    Args:
        visit: For whom.
        incident_id: Which.
        status: HTTP status.
        notice: What was done.
        refused: Whether what was asked for was not done.
        problem: Why; None when somebody else was faster.
        typed: What was typed into the forms, to be kept in them.
    """
    read = await _read_one(visit.services, possible_id(incident_id))
    incident = read.answer
    return visit.page(
        "incident.html",
        status,
        backlog=incident.backlog,
        database_away=read.stale is not None,
        stale=read.stale,
        incident=incident,
        severity_origin=severity_origin(incident, _rater(visit.services)),
        like_it="\n".join(f"{name}={value}" for name, value in _identity(incident).items()),
        history=list(reversed(incident.timeline))[:TIMELINE],
        transitions=TRANSITIONS[incident.status],
        alerts_left_out=max(0, incident.alert_count - len(incident.alerts)),
        notice=notice,
        refused=refused,
        problem=problem,
        overtaken_by=_latest_change(incident) if refused and problem is None else None,
        typed=typed or {},
    )


def _identity(incident: IncidentView) -> dict[str, str]:
    """Return what a silence of incidents like this one would look for."""
    name = "alertname" if "alertname" in incident.labels else None
    found = {"source": incident.source} | ({name: incident.labels[name]} if name else incident.labels)
    return {key: value for key, value in found.items() if value.strip() and len(value) <= 500}


def _latest_change(incident: IncidentView) -> TimelineOut | None:
    """Return what happened last that a person should know of."""
    of_people = (entry for entry in reversed(incident.timeline) if not entry.kind.startswith("notification_"))
    return next(of_people, None)


async def _read_one(services: Services, incident_id: str) -> Read[IncidentView]:
    now = services.now()

    async def read(unit: UnitOfWork) -> IncidentView:
        incident = await unit.get(incident_id)
        return IncidentView(
            **dict(IncidentOut.model_validate(incident)),
            assessment=assessment_of(await assessments.of_incident(unit, incident_id)),
            timeline=[TimelineOut.model_validate(entry) for entry in await unit.timeline(incident_id)],
            deliveries=[DeliveryView.model_validate(one) for one in await unit.deliveries(incident_id)],
            alerts=[AlertView.model_validate(one) for one in await unit.alerts(incident_id, ALERTS)],
            backlog=BacklogView.of(await owed(unit, now)),
        )

    question = {"page": "incident", "id": incident_id}
    return await services.reads.get(IncidentView, question, lambda: services.store.read(read))
