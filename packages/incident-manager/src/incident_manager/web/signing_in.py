"""Signing in with a token, and out again."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from incident_manager.access.caller import Caller
from incident_manager.access.roles import Role
from incident_manager.api.authentication import SESSION, address_of_client
from incident_manager.api.errors import as_api_error
from incident_manager.api.request_id import current_request_id
from incident_manager.domain.errors import RateLimitedError, UnauthenticatedError
from incident_manager.store.audit import AuditEntry
from incident_manager.web.forms import local_path
from incident_manager.web.visit import Visit

_LONGEST = 1000
"""Characters of what may be a token."""


async def show(visit: Visit) -> Response:
    """The form; who needs none, or has signed in, is led on."""
    back = local_path(visit.request.query_params.get("back", "/"))
    if visit.may(Role.READ):
        return RedirectResponse(back, 303)
    return visit.page("login.html", back=back, problem=None)


async def sign_in(visit: Visit) -> Response:
    """Begin a session for who shows a good token."""
    back = local_path(visit.form.get("back", "/"))
    access, address = visit.services.access, address_of_client(visit.request.scope)
    try:
        caller = access.identify(visit.form.get("token", "").strip()[:_LONGEST], address)
    except (UnauthenticatedError, RateLimitedError) as error:
        answer = as_api_error(error)
        headers = {name: value for name, value in (answer.headers or {}).items() if name == "Retry-After"}
        return visit.page("login.html", answer.status_code, headers=headers, back=back, problem=str(error))
    if Role.READ not in caller.roles | caller.withheld or caller.token_id is None:
        problem = f"this token may not read: {caller.name} has the role {', '.join(sorted(caller.roles))}"
        return visit.page("login.html", 403, back=back, problem=problem)
    session = access.sessions.begin(caller.token_id)
    await _audit(visit, caller, "session.begin")
    led_back = RedirectResponse(back, 303)
    visit.set_cookie(led_back, SESSION, session, access.sessions.life)
    return led_back


async def sign_out(visit: Visit) -> Response:
    """End the session."""
    if visit.is_signed_in:
        caller = visit.caller
        assert caller.session is not None
        visit.services.access.sessions.end(caller.session)
        await _audit(visit, caller, "session.end")
    led_away = RedirectResponse("/login", 303)
    visit.set_cookie(led_away, SESSION, "")
    return led_away


async def _audit(visit: Visit, caller: Caller, action: str) -> None:
    await visit.services.audit.add(
        AuditEntry(
            at=visit.services.now(),
            token_id=caller.token_id,
            actor=caller.name,
            address=caller.address,
            action=action,
            target=caller.token_id or "",
            changes={},
            request_id=current_request_id(),
        )
    )
