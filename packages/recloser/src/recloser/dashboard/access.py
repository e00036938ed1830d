"""Who may operate breakers from the page, and whether a request comes from the page itself."""

from __future__ import annotations

import hmac
import inspect
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

from recloser.dashboard.http import HttpError, Request, Scope

logger = logging.getLogger("recloser.dashboard")

Authorize: TypeAlias = Callable[[Scope], "str | Awaitable[str | None] | None"]
"""Names the person who sent a request, if he may operate breakers; None if not."""

MIN_TOKEN = 16
"""Characters of a token: fewer could be guessed."""

FORM_COOKIE = "recloser_form"


class Access:
    """Who may operate breakers.

    Args:
        token: What a person or program must know; see `dashboard`.
        authorize: Names the person; see `dashboard`.
        anonymous: Whether everybody may.

    Raises:
        ValueError: The token is too short, or there is more than one rule.
    """

    def __init__(self, token: str | None, authorize: Authorize | None, anonymous: bool) -> None:
        if (token is not None) + (authorize is not None) + anonymous > 1:
            raise ValueError("give one of token, authorize and anonymous_control: together they have no clear meaning")
        if token is not None and not _is_token(token):  # which must not be in the text
            rule = f"must be a text of {MIN_TOKEN} ASCII characters or more, without spaces"
            raise ValueError(f"token: {rule}, for example secrets.token_urlsafe()")
        self._token = token
        self._authorize = authorize
        self._anonymous = anonymous

    @property
    def needs_token(self) -> bool:
        """Whether a token is asked for."""
        return self._token is not None

    async def may_control(self, scope: Scope) -> bool:
        """Whether whoever looks at the page is to be offered to operate breakers."""
        if self._authorize is not None:
            return await self._person(scope) is not None
        return self._anonymous or self._token is not None

    async def who(self, request: Request, token: str | None) -> str:
        """The name of the person who may operate breakers. Who may not is logged.

        Args:
            request: His request.
            token: The token that it brings.

        Raises:
            HttpError: He may not.
        """
        try:
            return await self._who(request, token)
        except HttpError as error:
            logger.warning("refused to let %s operate breakers: %s", request.scope.get("client"), error)
            raise

    async def _who(self, request: Request, token: str | None) -> str:
        if self._token is not None:
            if token is None or not hmac.compare_digest(_bytes(token), _bytes(self._token)):
                raise HttpError(
                    401, "wrong_token", "the token is missing or is not the right one", www_authenticate="Bearer"
                )
            return "token"
        if self._authorize is not None:
            person = await self._person(request.scope)
            if person is None:
                raise HttpError(403, "not_allowed", "you may look at the breakers, but not operate them")
            return person
        if not self._anonymous:
            raise HttpError(403, "read_only", "this page is read-only: it was made without a token or authorize")
        return "anonymous"

    async def _person(self, scope: Scope) -> str | None:
        assert self._authorize is not None
        person = self._authorize(scope)
        if inspect.isawaitable(person):
            person = await person
        if person is not None and not isinstance(person, str):
            raise TypeError(f"authorize returned {person!r}: must be the name of a person, or None")
        return person or None


def _is_token(token: object) -> bool:
    # What can stand in a header, and is no file's content with a line end by mistake.
    return isinstance(token, str) and len(token) >= MIN_TOKEN and all("!" <= character <= "~" for character in token)


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of `Authorization: Bearer ...`."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# Other sites must not be able to send requests with a visitor's cookies.


def refuse_other_origins(headers: Mapping[str, str]) -> None:
    """Refuse a request that a page of another origin sends.

    Browsers say where a request comes from in `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/), older ones
    and those without TLS in `Origin`; programs say neither.

    Raises:
        HttpError: It comes from elsewhere.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        same = site == "same-origin"
    else:
        same = origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    if not same:
        raise HttpError(403, "other_origin", "breakers can be operated from their own page only")


def form_token(headers: Mapping[str, str]) -> str | None:
    """The secret of the forms of this browser, from its cookie."""
    for cookie in headers.get("cookie", "").split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == FORM_COOKIE and len(value) >= MIN_TOKEN:
            return value
    return None


def fresh_form_token() -> str:
    """A secret for the forms of a browser that has none."""
    return secrets.token_urlsafe(24)


def form_cookie(token: str, scope: Scope) -> str:
    """The header that gives it to the browser."""
    # Without a path it belongs to the folder of the page, whatever a proxy calls that.
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{FORM_COOKIE}={token}; HttpOnly; SameSite=Strict{secure}"


def refuse_other_forms(request: Request, given: str) -> None:
    """Refuse a form that was not made for this browser.

    Raises:
        HttpError: It was not.
    """
    wanted = form_token(request.headers)
    if wanted is None or not hmac.compare_digest(_bytes(wanted), _bytes(given)):
        raise HttpError(403, "stale_form", "the form is too old or not from this page: load the page again")
