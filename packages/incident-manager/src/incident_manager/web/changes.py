"""Changes of an incident that a form asks for: made, refused and audited as those that the API is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from incident_manager.api import incidents as api
from incident_manager.api.change import digest_of
from incident_manager.api.errors import ApiError
from incident_manager.api.incident_change import IncidentChange
from incident_manager.api.incident_schemas import Acknowledge, IncidentPatch, Resolve
from incident_manager.api.preconditions import IfMatch
from incident_manager.domain.errors import InvalidTransitionError, VersionConflictError
from incident_manager.web.forms import filled_in, local_path
from incident_manager.web.incidents import incident_page
from incident_manager.web.visit import Visit


async def acknowledge(visit: Visit) -> Response:
    """Say that somebody has seen it."""
    body = filled_in(Acknowledge, _version(visit))
    return await _made(
        visit,
        "acknowledged",
        lambda incident_id, change: api.acknowledge_incident(incident_id, visit.services, change, body),
    )


async def resolve(visit: Visit) -> Response:
    """End it."""

    async def work(incident_id: str, change: IncidentChange) -> Response:
        resolution = visit.form.get("resolution", "").strip() or None
        body = filled_in(Resolve, {**_version(visit), "resolution": resolution})
        return await api.resolve_incident(incident_id, visit.services, change, body)

    return await _made(visit, "resolved", work)


async def change(visit: Visit) -> Response:
    """Change its status, its severity or who works on it, or add a note."""

    async def work(incident_id: str, change: IncidentChange) -> Response:
        wanted = {name: visit.form[name] for name in ("status", "severity", "note") if visit.form.get(name, "").strip()}
        if "assignee" in visit.form:
            wanted["assignee"] = visit.form["assignee"]
        body = filled_in(IncidentPatch, {**_version(visit), **wanted})
        return await api.change_incident(incident_id, body, visit.services, change)

    return await _made(visit, "changed", work)


async def _made(visit: Visit, done: str, work: Callable[[str, IncidentChange], Awaitable[Response]]) -> Response:
    """Make a change, and lead back to the page it was asked for on; or show the incident, and why it was not made."""
    incident_id = api.possible_id(visit.request.path_params["incident_id"])
    request = await digest_of(visit.request, None)
    change = IncidentChange(visit.services, visit.caller, request, None, IfMatch(None))
    try:
        await work(incident_id, change)
    except (VersionConflictError, InvalidTransitionError) as error:
        overtaken = isinstance(error, VersionConflictError)
        return await _refused(visit, incident_id, 409, None if overtaken else str(error))
    except ApiError as error:
        return await _refused(visit, incident_id, error.status_code, error.detail)
    back = local_path(visit.form.get("back", f"/incidents/{incident_id}"))
    return RedirectResponse(f"{back}{'&' if '?' in back else '?'}{urlencode({'done': done})}", 303)


async def _refused(visit: Visit, incident_id: str, status: int, problem: str | None) -> Response:
    typed: dict[str, str] = visit.request.state.typed
    return await incident_page(visit, incident_id, status=status, refused=True, problem=problem, typed=typed)


def _version(visit: Visit) -> dict[str, str]:
    """Return the version that the form was made for; every form has one."""
    given = visit.form.get("version", "")
    if not given.isascii() or not given.isdecimal() or len(given) > 9:
        raise ApiError(422, "invalid_request", "version: the form names no version", field="version")
    return {"version": given}
