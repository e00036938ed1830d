"""A route whose body is strict JSON, whatever FastAPI would have taken."""

from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

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
    """The route class of every router here: strict JSON, and 415 for a body of another type."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler with our request in front."""
        handler = super().get_route_handler()
        takes_body = self.body_field is not None

        async def strict(request: Request) -> Response:
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
