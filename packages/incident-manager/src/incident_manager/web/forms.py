"""What a form sends, read into the bodies of the API, so that both keep the same rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from incident_manager.api.errors import ApiError, field_path

B = TypeVar("B", bound=BaseModel)

MOST_FIELDS = 50
_TYPE = "application/x-www-form-urlencoded"


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form; of one that is given twice, the last.

    Raises:
        ApiError: 415 or 400: it is none.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != _TYPE:
        raise ApiError(415, "unsupported_media_type", f"Content-Type must be {_TYPE}; got {given!r}")
    try:
        text = (await request.body()).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise ApiError(400, "invalid_form", "the form cannot be read") from None
    # Browsers send the ends of lines as CR LF (https://html.spec.whatwg.org/multipage/form-control-infrastructure.html).
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def filled_in(body: type[B], values: Mapping[str, Any]) -> B:
    """Return the body of a request to the API with these values.

    Raises:
        ApiError: 422: one of them breaks a rule.
    """
    try:
        return body.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = field_path(("body", *first["loc"])) if first["loc"] else "form"
        raise ApiError(422, "invalid_request", f"{field}: {first['msg']}", field=field) from None


def local_path(text: str) -> str:
    """Return an address of this site, for a redirection; `/` instead of anything else."""
    is_local = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isascii() and text.isprintable()
    return text if is_local else "/"
