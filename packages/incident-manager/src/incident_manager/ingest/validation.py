"""From pydantic's errors to ours, which name the field, the value and the rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from incident_manager.domain.errors import InvalidAlertError

M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], payload: object, at: str = "") -> M:
    """Read a payload.

    Args:
        at: Where in the body the payload is, as in `[3]`; empty for the whole body.

    Raises:
        InvalidAlertError: For the first thing that is wrong with it.
    """
    if not isinstance(payload, dict):
        raise InvalidAlertError(at or "body", payload, "must be a JSON object")
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        value = first["input"]
        if first["type"] == "missing":
            raise InvalidAlertError(_path(at, first["loc"]), None, "is required") from None
        raise InvalidAlertError(_path(at, first["loc"]), value, _rule(first["type"], first["msg"])) from None


def _path(at: str, location: Sequence[str | int]) -> str:
    """Write `("alerts", 0, "labels", "severity")` as `alerts[0].labels.severity`."""
    parts = [part for part in location if part != "[key]"]
    path = at + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return path.removeprefix(".") or "body"


def _rule(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "is not a field of an alert"
    return message.removeprefix("Value error, ")
