"""Who looks at a page, and what they are shown."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from incident_manager.access.caller import Caller
from incident_manager.access.roles import Role
from incident_manager.api.authentication import (
    SESSION,
    address_of_client,
    cookie_name,
    require_own_host,
    session_in,
)
from incident_manager.api.errors import ApiError
from incident_manager.api.services import Services
from incident_manager.domain.errors import UnauthenticatedError
from incident_manager.web.condition import Trouble, troubles
from incident_manager.web.forms import form_of
from incident_manager.web.rendering import rendered
from incident_manager.web.views import BacklogView

VISITOR = "incident_manager_visitor"
"""The cookie of a browser that is not signed in; the forms it is sent are bound to it."""

TYPED = ("note", "resolution", "assignee", "matchers", "reason")
"""Fields of forms that a person writes; what is in them is not to be lost when it cannot be taken."""

_VISITOR_LENGTH = 22


class SignInNeededError(Exception):
    """The page is for those who are signed in."""


class Visit:
    """One request for a page.

    Args:
        request: The request.
        caller: Who sends it; None before anybody is signed in.
    """

    def __init__(self, request: Request, caller: Caller | None) -> None:
        self.request = request
        self.services: Services = request.state.services
        self._caller = caller
        self._browser, self._is_new = _browser_of(request, caller)
        self.form: dict[str, str] = {}

    @property
    def caller(self) -> Caller:
        """Who looks. Raises SignInNeededError if that is not known."""
        if self._caller is None:
            raise SignInNeededError
        return self._caller

    def may(self, role: Role) -> bool:
        """Tell whether the visitor has a role."""
        return self._caller is not None and role in self._caller.roles

    @property
    def is_signed_in(self) -> bool:
        """Whether the visitor has a session."""
        return self._caller is not None and self._caller.session is not None

    async def read_form(self) -> None:
        """Read the form that was sent; it must be one that this browser was shown.

        Raises:
            ApiError: 403: it is not; 400 and 415: it cannot be read.
        """
        self.form = await form_of(self.request)
        given = self.form.pop("mark", "")
        self.request.state.typed = {name: self.form[name] for name in TYPED if self.form.get(name)}
        if self._is_new or not hmac.compare_digest(given.encode(), self._mark().encode()):
            message = "this form was not made for your browser, or you have signed in anew since: load the page again"
            raise ApiError(403, "foreign_form", message)

    def page(
        self,
        template: str,
        status: int = 200,
        *,
        backlog: Sequence[BacklogView] = (),
        database_away: bool = False,
        headers: dict[str, str] | None = None,
        **values: Any,
    ) -> Response:
        """Return a page.

        Args:
            template: Its template.
            status: HTTP status.
            backlog: What destinations should have by now, for the banner.
            database_away: The database could not be asked.
            headers: Further headers.
            values: What the template shows.
        """
        shown: list[Trouble] = []
        if self.may(Role.READ):
            shown = troubles(self.services, backlog, database_away=database_away)
        text = rendered(
            template,
            {
                "path": self.request.url.path,
                "here": self.here,
                "visitor": self._caller,
                "is_signed_in": self.is_signed_in,
                "may_respond": self.may(Role.RESPOND),
                "may_read": self.may(Role.READ),
                "mark": self._mark(),
                "now": self.services.now(),
                "troubles": shown,
                **values,
            },
        )
        answer = HTMLResponse(text, status, headers=headers)
        if self._is_new:
            self.set_cookie(answer, VISITOR, self._browser)
        return answer

    @property
    def here(self) -> str:
        """The path and query of the request."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    def set_cookie(self, answer: Response, name: str, value: str, life: float | None = None) -> None:
        """Let the browser keep something until it is closed, or for some seconds; an empty value makes it forget."""
        answer.set_cookie(
            cookie_name(self.request.scope, name),
            value,
            max_age=0 if not value else None if life is None else int(life),
            secure=self.request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )

    def _mark(self) -> str:
        return self.services.access.sessions.mark(self._browser)


def visit_of(request: Request) -> Visit:
    """Return the visit that a request is.

    Raises:
        ApiError: 403: nobody is asked for a token here, and the request names another host.
    """
    services: Services = request.state.services
    access, address = services.access, address_of_client(request.scope)
    session = session_in(request.scope)
    if session is not None:
        try:
            return Visit(request, access.resume(session, address))
        except UnauthenticatedError:
            pass  # as if nothing had been shown
    if access.asks and not access.cannot_tell:
        return Visit(request, None)
    if access.is_open_to_this_machine or access.cannot_tell:
        require_own_host(request.headers)
    return Visit(request, access.identify(None, address))


def sign_in_address(back: str) -> str:
    """Return the address of the page to sign in, which leads back to another page."""
    return "/login" if back == "/" else f"/login?{urlencode({'back': back})}"


def _browser_of(request: Request, caller: Caller | None) -> tuple[str, bool]:
    """Return what tells the browser from others, and whether it has yet to be told."""
    if caller is not None and caller.session is not None:
        return request.cookies[cookie_name(request.scope, SESSION)], False
    known = request.cookies.get(cookie_name(request.scope, VISITOR), "")
    if len(known) == _VISITOR_LENGTH:
        return known, False
    return secrets.token_urlsafe(16), True
