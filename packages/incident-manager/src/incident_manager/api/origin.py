"""Keep other web sites from operating the service through a browser that can reach it.

A page of any site may make a browser post to an address on the reader's own machine or network. Browsers say in the
`Origin` header where such a request comes from; programs that are no browsers send none.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from incident_manager.api.errors import ApiError, error_response

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class OwnOriginOnly:
    """ASGI middleware that refuses changes asked for by the pages of another origin: 403 `foreign_origin`.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] not in _SAFE_METHODS and _is_foreign(Headers(scope=scope)):
            message = "a page of another web site may not change anything here"
            await error_response(ApiError(403, "foreign_origin", message))(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_foreign(headers: Headers) -> bool:
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
