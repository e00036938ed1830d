"""Types of single fields that more than one wire format has."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from incident_manager.domain.severity import Severity

TITLE_LIMIT = 500
SOURCE_LIMIT = 100
KEY_LIMIT = 500
LINK_LIMIT = 2000

DEFAULT_SEVERITY = Severity.P2
"""Of alerts that do not give one."""

_DATE = re.compile(r"\s*\d{4}-")
_TIMESTAMP_RULE = "an RFC 3339 timestamp with a time zone, as in 2026-01-31T10:05:00Z"


def written_out(value: Any) -> Any:
    """A moment as it was given, for pydantic to read.

    Raises:
        ValueError: It is a number, or text that holds one: a Unix time of a unit that would be guessed.
    """
    if value is None or isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _DATE.match(value):
        raise ValueError(_TIMESTAMP_RULE)
    return value


def _read_timestamp(value: Any) -> Any:
    value = written_out(value)
    return None if isinstance(value, str) and value.startswith("0001-01-01T") else value


def _as_utc(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    if not 1970 <= value.year < 9999:  # beyond these, moving it to UTC may leave what a datetime can hold
        raise ValueError("a timestamp from 1970 on")
    return value.astimezone(UTC)


Timestamp = Annotated[AwareDatetime | None, BeforeValidator(_read_timestamp), AfterValidator(_as_utc)]
"""An optional moment. Go's zero time, 0001-01-01T00:00:00Z, means none."""


def _read_severity(value: Any) -> Any:
    return Severity.parse(value) if isinstance(value, str) else value


SeverityWord = Annotated[Severity, BeforeValidator(_read_severity)]
"""P0 to P4 or one of the usual words."""


def _check_names(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        try:
            name.encode()
        except UnicodeEncodeError:  # pydantic looks at the values only
            raise ValueError("names must be valid strings, without halves of surrogate pairs") from None
    return value


Labels = Annotated[dict[str, str], AfterValidator(_check_names)]
"""Names and values, all of them text."""


def as_text(value: object) -> str:
    """Write a JSON value as text: a string as it is, anything else as compact JSON with its keys in order."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _scalars_as_text(value: Any) -> Any:
    if not isinstance(value, dict):
        return {} if value is None else value
    kept = {name: item for name, item in value.items() if item is not None}
    return {name: item if isinstance(item, list | dict) else as_text(item) for name, item in kept.items()}


def _all_as_text(value: Any) -> Any:
    if not isinstance(value, dict):
        return {} if value is None else value
    return {name: as_text(item) for name, item in value.items() if item is not None}


_Scalar = str | int | float | bool | None

LooseLabels = Annotated[
    dict[str, str],
    BeforeValidator(_scalars_as_text, json_schema_input_type=dict[str, _Scalar] | None),
    AfterValidator(_check_names),
]
"""Labels of senders that also write numbers and booleans; null means that there is none."""

Details = Annotated[
    dict[str, str],
    BeforeValidator(_all_as_text, json_schema_input_type=dict[str, Any] | None),
    AfterValidator(_check_names),
]
"""What a sender wants known besides; what is no text is kept as JSON."""


def _none_as_empty(value: Any) -> Any:
    return "" if value is None else value


LooseText = Annotated[str, BeforeValidator(_none_as_empty, json_schema_input_type=str | None)]
"""Text; null means that there is none."""

StatusWord = Literal["firing", "resolved"]
"""What most formats say of a trouble."""


def _check_link(value: str) -> str:
    if not is_link(value):
        raise ValueError(f"an http or https URL of at most {LINK_LIMIT} characters")
    return value


Link = Annotated[str, AfterValidator(_check_link)]
"""A link that is safe to show: nothing but http and https."""


def is_link(text: str) -> bool:
    """Tell whether the text may be shown as a link."""
    return text.startswith(("http://", "https://")) and len(text) <= LINK_LIMIT


def shorten(text: str, limit: int) -> str:
    """Return the text, cut to `limit` characters with an ellipsis at its end if it is longer."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
