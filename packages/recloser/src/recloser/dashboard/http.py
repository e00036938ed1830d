"""Requests and responses on plain ASGI, as far as the page needs them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

MAX_BODY = 16_384
"""Bytes of a request's body."""

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",  # not no-referrer: a form would be sent with the origin "null"
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""On every response."""


class HttpError(Exception):
    """A request is answered with an error.

    Attributes:
        status: The status of the response.
        error: A word for programs.
        detail: A sentence for people.
        headers: Further headers.
    """

    def __init__(self, status: int, error: str, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.error = error
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True)
class Request:
    """A request, its body not yet read.

    Attributes:
        scope: What the server says of it.
        method: In capitals.
        path: Below the place where the page is mounted, from its first slash and without a last one; `/` for the page
            itself, and empty where the address of the page was asked for without its slash.
        query: The parameters; of those that come twice, the last.
        headers: By lower-case name; of those that come twice, the last, but all cookies in one.
    """

    scope: Scope
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @classmethod
    def of(cls, scope: Scope) -> Request:
        """The request of a scope.

        Raises:
            HttpError: The query is not UTF-8.
        """
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            # A client may split its cookies: https://www.rfc-editor.org/rfc/rfc9113#section-8.2.3
            headers[name] = f"{headers[name]}; {value}" if name == "cookie" and name in headers else value
        return cls(scope, scope["method"], _path_below(scope), parse_form(scope.get("query_string", b"")), headers)

    @property
    def content_type(self) -> str:
        """The type of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def _path_below(scope: Scope) -> str:
    # Servers and frameworks differ in whether `path` begins with `root_path`; ASGI 3 says that it does.
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    below = path[len(root) :] if root and (path == root or path.startswith(f"{root}/")) else path
    if below.strip("/"):
        return below.rstrip("/")  # Litestar adds one
    return "/" if _asked_for(scope).endswith("/") else ""


def _asked_for(scope: Scope) -> str:
    raw_path = scope.get("raw_path")
    return str(scope["path"]) if raw_path is None else raw_path.decode("latin-1").partition("?")[0]


def with_slash(scope: Scope) -> str:
    """The address of the page with its slash, relative to that without, which a proxy may know under another path."""
    return f"./{_asked_for(scope).rpartition('/')[2]}/"


def parse_form(encoded: bytes) -> dict[str, str]:
    """The fields of a query or of a form.

    Raises:
        HttpError: It is not UTF-8, or has far too many fields.
    """
    try:
        fields = parse_qsl(encoded.decode("ascii"), keep_blank_values=True, errors="surrogatepass", max_num_fields=50)
    except ValueError:
        raise HttpError(400, "malformed", "the query or the form must be percent-encoded UTF-8") from None
    return dict(fields)


@dataclass(frozen=True)
class Response:
    """A response.

    Attributes:
        body: Its content.
        content_type: What that is.
        status: The status.
        headers: Further headers.
    """

    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def html(cls, text: str, status: int = 200, **headers: str) -> Response:
        """A page."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(text.encode("utf-8", "backslashreplace"), "text/html; charset=utf-8", status, named)

    @classmethod
    def json(cls, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Values for a program."""
        return cls(json.dumps(value, allow_nan=False).encode(), "application/json", status, headers or {})

    @classmethod
    def error(cls, error: HttpError) -> Response:
        """What an error is answered with."""
        return cls.json({"error": error.error, "detail": error.detail}, error.status, error.headers)

    async def send(self, send: Send, *, head: bool = False) -> None:
        """Send it; with `head` all but its body."""
        headers = {
            **SECURITY_HEADERS,
            "content-type": self.content_type,
            "content-length": str(len(self.body)),
            **self.headers,
        }
        await send({"type": "http.response.start", "status": self.status, "headers": raw(headers)})
        await send({"type": "http.response.body", "body": b"" if head else self.body})


def raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them."""
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


async def read_body(receive: Receive) -> bytes:
    """The body of a request.

    Raises:
        HttpError: It is longer than `MAX_BODY`.
        ClientLeftError: The client went away.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise HttpError(413, "too_large", f"the body must have {MAX_BODY} bytes or fewer")
        if not message.get("more_body", False):
            return bytes(body)


class ClientLeftError(Exception):
    """The client went away before its request was complete."""
