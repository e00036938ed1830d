"""The pages as an application of their own, beside the API."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from incident_manager.access.roles import Role
from incident_manager.api.errors import as_api_error
from incident_manager.api.limits import BodyLimit
from incident_manager.domain.errors import IncidentManagerError, StoreUnavailableError
from incident_manager.web import changes, deliveries, incidents, signing_in, silences
from incident_manager.web.breakers import show_breakers
from incident_manager.web.headers import PageHeaders
from incident_manager.web.rendering import STATIC
from incident_manager.web.visit import SignInNeededError, Visit, sign_in_address, visit_of

logger = logging.getLogger(__name__)

MAX_FORM_BYTES = 512 * 1024
FORM_TIMEOUT = 30.0
"""Seconds until the last byte of a form has arrived."""

Handler = Callable[[Visit], Awaitable[Response]]


class WebPages:
    """ASGI middleware that serves the pages, and leaves every other path to the API.

    Args:
        app: The application of the API; its `state.services` is the running service.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        routes = _routes()
        self._paths = {"/", *(f"/{route.path.split('/')[1]}" for route in routes if isinstance(route, Route | Mount))}
        self._pages = PageHeaders(BodyLimit(_application(routes), MAX_FORM_BYTES, FORM_TIMEOUT))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not self._is_page(scope["path"]):
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})["services"] = scope["app"].state.services
        await self._pages(scope, receive, send)

    def _is_page(self, path: str) -> bool:
        return path == "/" or f"/{path.split('/')[1]}" in self._paths - {"/"}


def _application(routes: Sequence[BaseRoute]) -> Starlette:
    return Starlette(
        routes=routes,
        exception_handlers={
            SignInNeededError: _sign_in,
            HTTPException: _show_error,
            IncidentManagerError: _show_error,
            Exception: _show_error,
        },
    )


def _routes() -> Sequence[BaseRoute]:
    return (
        _page("/", incidents.show_list),
        _page("/incidents/{incident_id}", incidents.show_one),
        _page("/incidents/{incident_id}/{action}", _lead_back),
        _form("/incidents/{incident_id}/acknowledge", changes.acknowledge),
        _form("/incidents/{incident_id}/resolve", changes.resolve),
        _form("/incidents/{incident_id}/change", changes.change),
        _page("/deliveries", deliveries.show),
        _page("/silences", silences.show),
        _form("/silences", silences.create),
        _page("/silences/{silence_id}/end", _lead_to_silences),
        _form("/silences/{silence_id}/end", silences.end),
        _page("/login", signing_in.show, role=None),
        _form("/login", signing_in.sign_in, role=None),
        _page("/logout", _lead_back),
        _form("/logout", signing_in.sign_out, role=None),
        Mount("/breakers", show_breakers),
        Mount("/static", StaticFiles(directory=STATIC)),
    )


def _page(path: str, handler: Handler, role: Role | None = Role.READ) -> Route:
    async def endpoint(request: Request) -> Response:
        visit = visit_of(request)
        if role is not None:
            visit.services.access.require(visit.caller, role)
        return await handler(visit)

    return Route(path, endpoint, methods=["GET"])


def _form(path: str, handler: Handler, role: Role | None = Role.RESPOND) -> Route:
    async def endpoint(request: Request) -> Response:
        visit = visit_of(request)
        if role is not None:
            visit.services.access.require(visit.caller, role)
        await visit.read_form()
        return await handler(visit)

    return Route(path, endpoint, methods=["POST"])


async def _lead_back(visit: Visit) -> Response:
    """From the address of a form, which a browser may load again, to the page where the form is."""
    return RedirectResponse(visit.request.url.path.rpartition("/")[0] or "/", 303)


async def _lead_to_silences(visit: Visit) -> Response:
    return RedirectResponse("/silences", 303)


async def _sign_in(request: Request, error: Exception) -> Response:
    visit = visit_of(request)
    back = visit.here if request.method == "GET" else "/"
    return RedirectResponse(sign_in_address(back), 303)


async def _show_error(request: Request, error: Exception) -> Response:
    """A page that says what went wrong, in the words of the API."""
    answer = as_api_error(error)
    if answer.status_code == 500:
        logger.error("%s %s failed: %s", request.method, quote(request.url.path), type(error).__name__)
    away = isinstance(error, StoreUnavailableError)
    visit = _visit_or_stranger(request)
    registry = visit.services.registry
    return visit.page(
        "error.html",
        answer.status_code,
        database_away=away,
        headers=dict(answer.headers or {}),
        status_code=answer.status_code,
        message=answer.detail,
        is_away=away and visit.may(Role.READ),
        circuits=list(registry.stats().values()),
        journal=visit.services.journal.state,
        typed=getattr(request.state, "typed", {}),
    )


def _visit_or_stranger(request: Request) -> Visit:
    """The visit; where it is refused itself, that of somebody unknown."""
    try:
        return visit_of(request)
    except HTTPException:
        return Visit(request, None)
