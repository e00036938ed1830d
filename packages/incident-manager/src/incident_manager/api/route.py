"""A route that knows whom it serves, and whose body is strict JSON, whatever FastAPI would have taken."""

from collections.abc import Callable, Coroutine, Iterable
from email.message import Message
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from incident_manager.access.roles import Role
from incident_manager.api.authentication import BASIC, BEARER, required_role
from incident_manager.api.errors import ApiError
from incident_manager.api.strict_json import JsonError, parse_json


class StrictRequest(Request):
    """A request that reads its JSON with `parse_json`."""

    async def json(self) -> Any:
        """The value of the body. Raises ApiError (400)."""
        if not hasattr(self, "_value"):
            try:
                self._value = parse_json(await self.body())
            except JsonError as error:
                raise ApiError(400, "invalid_json", str(error)) from None
        return self._value


class StrictRoute(APIRoute):
    """The route class of every router here: a role, strict JSON, and 415 for a body of another type.

    Its `dependencies` say which role it demands (`requires`, `open_to_all`); without a word it demands `admin`.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.role = required_role(options.get("dependencies") or [])
        roles = [] if self.role is None else [self.role.value]
        security = [{BEARER: roles}, {BASIC: roles}] if roles else []
        options["openapi_extra"] = {"security": security, **(options.get("openapi_extra") or {})}
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler with our request in front."""
        handler = super().get_route_handler()
        takes_body = self.body_field is not None

        async def strict(request: Request) -> Response:
            if self.role is not None:
                request.app.state.services.access.require(request.state.caller, self.role)
            own = StrictRequest(request.scope, request.receive)
            if takes_body and await own.body():
                _require_json(own)
            return await handler(own)

        return strict


def _require_json(request: Request) -> None:
    """Refuse other media types. This also keeps a form on a foreign web page from posting to us."""
    header = Message()
    header["content-type"] = given = request.headers.get("content-type", "")
    kind, subtype = header.get_content_maintype(), header.get_content_subtype()
    if kind == "application" and (subtype == "json" or subtype.endswith("+json")):
        return
    shown = f"got {given!r}" if given else "the request names none"
    raise ApiError(415, "unsupported_media_type", f"Content-Type must be application/json; {shown}")


class AllowedMethods:
    """What may be done with each path; a router alone tells the methods of the first route that it meets.

    Args:
        routers: All that the application has.
    """

    def __init__(self, routers: Iterable[APIRouter]) -> None:
        routes = [route for router in routers for route in router.routes]
        self._routes = [route for route in routes if isinstance(route, StrictRoute)]

    def of(self, path: str) -> str:
        """The value of `Allow` for a path; empty for one that is not ours."""
        matching = [route for route in self._routes if route.path == path]  # no parameter is meant by a fixed path
        matching = matching or [route for route in self._routes if route.path_regex.match(path)]
        return ", ".join(sorted({method for route in matching for method in route.methods or ()}))


def strangers_of(routers: Iterable[APIRouter]) -> dict[str, frozenset[Role]]:
    """The paths of routes that are open to all, for `Authentication`."""
    routes = (route for router in routers for route in router.routes)
    return {route.path: frozenset() for route in routes if isinstance(route, StrictRoute) and route.role is None}
