"""The error answers of a route, for OpenAPI."""

from typing import Any

from incident_manager.api.schemas import ErrorAnswer

_MEANING = {
    400: "The body is not JSON.",
    404: "There is none of this name or id.",
    409: "The incident's status or version does not allow it.",
    413: "The body is too large.",
    415: "The body is of another media type.",
    422: "A part of the request breaks a rule; `field` names it.",
    503: "The database cannot be used now; `Retry-After` says when to try again. Nothing was accepted.",
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What FastAPI takes as ``responses``: each of these statuses answers an `ErrorAnswer`."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        found[status] = {"model": ErrorAnswer, "description": _MEANING[status]}
        if status == 503:
            found[status]["headers"] = _RETRY_AFTER
    return found
