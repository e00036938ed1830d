"""Silences: which there are, a new one, and the end of one."""

from __future__ import annotations

from typing import Any

from starlette.responses import RedirectResponse, Response

from incident_manager.api import silences as api
from incident_manager.api.change import Change, digest_of
from incident_manager.api.errors import ApiError
from incident_manager.api.silence_schemas import SilenceCreate
from incident_manager.domain.silence import SilenceState
from incident_manager.web.forms import filled_in
from incident_manager.web.incidents import NOTICES
from incident_manager.web.visit import Visit

ENDED = 20
"""Silences that have ended and are shown, the latest."""

DURATIONS = {
    "900": "15 minutes",
    "3600": "1 hour",
    "14400": "4 hours",
    "43200": "12 hours",
    "86400": "1 day",
    "604800": "1 week",
}
"""What may be chosen, by its seconds."""


async def show(visit: Visit) -> Response:
    """The silences, with the form for a new one."""
    given = visit.request.query_params
    return await _page(visit, notice=NOTICES.get(given.get("done", "")), typed={"matchers": given.get("matchers", "")})


async def create(visit: Visit) -> Response:
    """Make one."""
    try:
        body = filled_in(
            SilenceCreate,
            {
                "matchers": _matchers(visit.form.get("matchers", "")),
                "reason": visit.form.get("reason", ""),
                "duration": visit.form.get("duration", ""),
            },
        )
        await api.create_silence(body, visit.services, await _change(visit))
    except ApiError as error:
        return await _page(visit, error.status_code, problem=error.detail, typed=visit.form)
    return RedirectResponse("/silences?done=silenced", 303)


async def end(visit: Visit) -> Response:
    """End one."""
    silence_id = api.possible_id(visit.request.path_params["silence_id"])
    await api.end_silence(silence_id, visit.services, await _change(visit))
    return RedirectResponse("/silences?done=ended", 303)


async def _page(visit: Visit, status: int = 200, *, typed: dict[str, str], **values: Any) -> Response:
    known = await api.list_silences(visit.services, None, ENDED)
    shown = {
        state: [one for one in known.silences if one.state is state]
        for state in (SilenceState.ACTIVE, SilenceState.PENDING, SilenceState.ENDED)
    }
    return visit.page(
        "silences.html",
        status,
        **{"notice": None, "problem": None, "stale": None, **values},
        silences=shown,
        durations=DURATIONS,
        typed=typed,
    )


async def _change(visit: Visit) -> Change:
    return Change(visit.services, visit.caller, await digest_of(visit.request, None), None)


def _matchers(text: str) -> dict[str, str]:
    """Read `name=value` lines.

    Raises:
        ApiError: 422: a line is something else, or a name stands twice.
    """
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name or not equals or not value or name in found:
            message = f"matchers: each line must be name=value, each name once; given {line[:80]!r}"
            raise ApiError(422, "invalid_request", message, field="matchers")
        found[name] = value
    return found
