"""What the commands that ask a running service have in common: its address, the token, and what its refusals mean."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import httpx2
import typer

from incident_manager.access.exposure import is_loopback
from incident_manager.cli_parts import err, fail
from incident_manager.settings.load import TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT = 30.0
"""Seconds that an answer may take."""

PAGE = 200
"""Entries that one request asks for, at most."""


class ExitCode(IntEnum):
    """How a command that asks a running service ends."""

    DONE = 0
    REFUSED = 1
    """The service answered that it cannot be done."""
    USAGE = 2
    """The command was not understood, or its settings are wrong."""
    AWAY = 3
    """The service does not answer, or cannot do it now: try again later."""
    DENIED = 4
    """A token is needed, or this one may not do it."""
    NOT_FOUND = 5
    CONFLICT = 6
    """Somebody else was faster, or the state of the incident does not allow it."""


_CODES = {
    401: ExitCode.DENIED,
    403: ExitCode.DENIED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
    412: ExitCode.CONFLICT,
    422: ExitCode.USAGE,
    429: ExitCode.AWAY,
    503: ExitCode.AWAY,
}

UrlOption = Annotated[str, typer.Option("--url", help="Address of the service.", envvar=URL_VARIABLE, show_envvar=True)]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help=f"File that holds the token; or set {TOKEN_VARIABLE}. There is no option for the token itself: others "
        "could see it among the processes.",
        envvar=TOKEN_FILE_VARIABLE,
        show_envvar=True,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


class ApiClient:
    """A client of a running service. What goes wrong ends the program with a sentence and an `ExitCode`.

    Use it as a context manager.

    Args:
        url: The address, without a path of the API.
        token_file: Where the token is; None takes it from the environment, if it is there.
    """

    def __init__(self, url: str, token_file: Path | None = None) -> None:
        self._url = _checked(url)
        token = _token(token_file)
        if token is not None and _is_in_the_clear(self._url):
            err.print(f"warning: the token goes to {self._url} unencrypted", style="yellow", highlight=False)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._client = httpx2.Client(base_url=self._url, headers=headers, timeout=TIMEOUT)
        self._has_token = token is not None

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The answer to a GET. Parameters that are None are left out."""
        return self._ask("GET", path, params={key: value for key, value in (params or {}).items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to a POST. Members of the body that are None are left out."""
        return self._ask("POST", path, json={key: value for key, value in body.items() if value is not None})

    def pages(self, path: str, member: str, most: int, params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """The entries of a list that comes in pages, up to a number of them."""
        cursor = None
        while most > 0:
            page = self.get(path, {**(params or {}), "limit": min(most, PAGE), "cursor": cursor})
            yield from page[member]
            most -= len(page[member])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = self._client.request(method, path, **options)
        except httpx2.HTTPError as error:
            fail(f"{self._url} does not answer: {error or type(error).__name__}", ExitCode.AWAY)
        if not answer.is_success:
            fail(self._refusal(answer), _CODES.get(answer.status_code, ExitCode.REFUSED))
        try:
            return answer.json()
        except ValueError:
            fail(f"{self._url} is no incident manager: what it answers to {path} is not JSON", ExitCode.REFUSED)

    def _refusal(self, answer: httpx2.Response) -> str:
        try:
            error = answer.json()["error"]
            message, code = str(error["message"]), error["code"]
        except (ValueError, KeyError, TypeError):
            return f"{self._url} answered {answer.status_code}; is it an incident manager?"
        match answer.status_code:
            case 401 if not self._has_token:
                return f"{message}: set {TOKEN_VARIABLE}, or give --token-file"
            case 401:
                return f"{message}; the token was taken from {TOKEN_VARIABLE} or --token-file"
            case 404 if code == "not_found":
                return f"{answer.url.path}: {self._url} has no such thing; is --url right?"
            case 409 | 412:
                return f"{message} (look at it again with `incident-manager show`)"
            case 429 | 503 if "retry-after" in answer.headers:
                return f"{message}; try again in {answer.headers['retry-after']} s"
        return message


def segment(text: str) -> str:
    """A word as one part of a path."""
    return quote(text, safe="")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        fail(f"--url must be an address such as {DEFAULT_URL}; given {url[:80]!r}", ExitCode.USAGE)
    if parts.username is not None or parts.password is not None:
        fail(f"--url must hold no user or password: set {TOKEN_VARIABLE}, or give --token-file", ExitCode.USAGE)
    return url.rstrip("/")


def _is_in_the_clear(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _token(file: Path | None) -> str | None:
    """The token: of the file, if one is named, else of the environment."""
    text = os.environ.get(TOKEN_VARIABLE)
    if file is not None:
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not text"
            fail(f"--token-file {file}: {reason}", ExitCode.USAGE)
    text = (text or "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isprintable() or " " in text:
        fail("the token must be one word of printable ASCII characters", ExitCode.USAGE)
    return text
