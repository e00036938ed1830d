"""Who sends a request, found out before its body is read; and what a route demands of them."""

from __future__ import annotations

import base64
import binascii
import contextlib
import ipaddress
from collections.abc import Collection, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request, params
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from incident_manager.access.caller import ANONYMOUS, Caller
from incident_manager.access.control import AccessControl
from incident_manager.access.roles import Role
from incident_manager.api.errors import ApiError, as_api_error, error_response
from incident_manager.domain.errors import IncidentManagerError, UnauthenticatedError

BEARER, BASIC = "bearer", "basic"
SESSION = "incident_manager_session"
"""The cookie of a browser that is signed in."""
SECURITY_SCHEMES = {
    BEARER: {
        "type": "http",
        "scheme": "bearer",
        "description": "A token, as `incident-manager tokens create` makes it. Each route names the role it needs.",
    },
    BASIC: {
        "type": "http",
        "scheme": "basic",
        "description": "The token as the password, with any user name; for senders that cannot set a bearer token.",
    },
}


class Requires:
    """What a route demands: a dependency of it, which `StrictRoute` looks at before it reads the body.

    Args:
        role: The role of the caller; None serves strangers too.
    """

    def __init__(self, role: Role | None) -> None:
        self.role = role

    async def __call__(self) -> None:  # FastAPI would call a plain function in a thread
        """Do nothing: `StrictRoute` has checked it when FastAPI comes to the dependencies."""


def requires(role: Role) -> Any:
    """Make a route, or all of a router, demand a role: ``dependencies=[requires(Role.READ)]``."""
    return Depends(Requires(role))


def open_to_all() -> Any:
    """Make a route serve strangers too."""
    return Depends(Requires(None))


def required_role(dependencies: list[params.Depends]) -> Role | None:
    """Return what the dependencies of a route demand; the last one counts, and silence demands `admin`."""
    found = [each.dependency.role for each in dependencies if isinstance(each.dependency, Requires)]
    return found[-1] if found else Role.ADMIN


class Authentication:
    """ASGI middleware that finds out who sends a request, and turns strangers away wherever they have no business.

    Args:
        app: The application.
        strangers: The paths that serve callers without a token, each with the roles they have there.
        browsers: The paths that serve browsers that are signed in, which cannot send a token.
    """

    def __init__(
        self, app: ASGIApp, strangers: Mapping[str, frozenset[Role]], browsers: Collection[str] = frozenset()
    ) -> None:
        self._app = app
        self._strangers = strangers
        self._browsers = browsers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            caller = self._identify(scope)
        except (ApiError, IncidentManagerError) as error:
            await error_response(as_api_error(error))(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    def _identify(self, scope: Scope) -> Caller:
        access: AccessControl = scope["app"].state.services.access
        headers, address = Headers(scope=scope), address_of_client(scope)
        token = token_in(headers)
        if token is None and scope["path"] in self._browsers:
            session = session_in(scope)
            if session is not None:
                with contextlib.suppress(UnauthenticatedError):  # as if nothing had been shown
                    return access.resume(session, address)
        roles = self._strangers.get(scope["path"])
        if roles is not None and token is None and access.asks and not access.cannot_tell:
            return Caller(token_id=None, name=ANONYMOUS, roles=roles, address=address)
        if (access.is_open_to_this_machine or access.cannot_tell) and token is None:
            require_own_host(headers)
        return access.identify(token, address)


def token_in(headers: Headers) -> str | None:
    """Return the token of an `Authorization` header: a bearer token (RFC 6750), or a basic password (RFC 7617).

    Raises:
        UnauthenticatedError: The header is neither.
    """
    given = headers.get("authorization")
    if given is None:
        return None
    scheme, _, value = given.partition(" ")
    value = value.strip()
    match scheme.lower():
        case "bearer" if value:
            return value
        case "basic":
            try:
                _, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                colon = password = ""
            if colon and password:
                return password
    message = "Authorization must be `Bearer <token>`, or `Basic` with the token as the password"
    raise UnauthenticatedError(message, given=True)


def address_of_client(scope: Scope) -> str:
    """Return the IP address a request came from; what a proxy on this machine says of it is believed."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def session_in(scope: Scope) -> str | None:
    """Return the session that a browser keeps as a cookie, whatever it is worth."""
    return HTTPConnection(scope).cookies.get(cookie_name(scope, SESSION)) or None


def cookie_name(scope: Scope, name: str) -> str:
    """Return the name under which a browser keeps a cookie of ours.

    Over https it says that no other host of the domain can have set the cookie
    (https://www.rfc-editor.org/rfc/rfc6265bis, section "The __Host- Prefix").
    """
    return f"__Host-{name}" if scope["scheme"] == "https" else name


def require_own_host(headers: Headers) -> None:
    """Refuse names that anybody may make lead to this machine (DNS rebinding), where nobody is asked for a token.

    Raises:
        ApiError: 403: the request names another host.
    """
    try:
        host = urlsplit(f"//{headers.get('host', 'localhost')}").hostname or ""
    except ValueError:
        host = ""
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost") or _is_address(name):
        return
    message = "without tokens the service answers to localhost and IP addresses only; make a token, or say `auth: none`"
    raise ApiError(403, "foreign_host", message, field="Host")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def caller_of(request: Request) -> Caller:
    """Return who sent a request."""
    caller: Caller = request.state.caller
    return caller


def demand(request: Request, role: Role) -> None:
    """Demand a role on a route that is `open_to_all` and finds out only from the body that this caller needs one.

    Raises:
        UnauthenticatedError: A token is needed, and there is none.
        ForbiddenError: The caller has not the role.
        RateLimitedError: Too often, one or the other.
    """
    access: AccessControl = request.app.state.services.access
    caller: Caller = request.state.caller
    if caller.token_id is None and access.asks and not access.cannot_tell:
        caller = access.identify(None, address_of_client(request.scope))
    access.require(caller, role)


def caller_with_token(request: Request, token: str, role: Role) -> Caller:
    """Return who shows a token elsewhere than in a header, as PagerDuty's senders do with `routing_key`.

    For routes that are `open_to_all` because of it. Where nobody is asked for a token, any text will do.

    Raises:
        UnauthenticatedError: It is no good token.
        ForbiddenError: It has not the role.
        RateLimitedError: Too often, one or the other.
    """
    access: AccessControl = request.app.state.services.access
    is_asked = access.asks and not access.cannot_tell
    caller = access.identify(token if is_asked else None, address_of_client(request.scope))
    access.require(caller, role)
    return caller


CurrentCaller = Annotated[Caller, Depends(caller_of)]
