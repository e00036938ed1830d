"""The error answers of a route, for OpenAPI."""

from typing import Any

from incident_manager.api.schemas import ErrorAnswer

_MEANING = {
    400: "The body is not JSON.",
    401: "A token or a signature is needed, or the one given opens nothing; `WWW-Authenticate` tells of tokens.",
    403: "The token has not the role that is needed, or a page of another web site asks.",
    404: "There is none of this name or id.",
    408: "The body did not arrive in time.",
    409: "The incident's status or version does not allow it.",
    412: "The incident is not the one that `If-Match` names.",
    413: "The body is too large.",
    415: "The body is of another media type.",
    422: "A part of the request breaks a rule; `field` names it.",
    429: "Asked too often; `Retry-After` says when to try again. Nothing was done.",
    503: "The database cannot be used now; `Retry-After` says when to try again. Nothing was accepted.",
}
_EXAMPLES = {
    400: ("invalid_json", "the body is not JSON: Expecting value at line 1 column 1", None),
    401: ("unauthenticated", "a token is needed", None),
    403: ("forbidden", "the role respond is needed; 'wallboard' has read", None),
    404: ("incident_not_found", "no incident has the id 'inc_0198c0de7a7b7c0f8e9d0a1b2c3d4e5f'", None),
    408: ("request_timeout", "the body did not arrive within 30 s", None),
    409: ("version_conflict", "incident inc_0198c0de7a7b7c0f8e9d0a1b2c3d4e5f has version 4, not 3: ...", None),
    412: ("precondition_failed", "incident inc_0198c0de7a7b7c0f8e9d0a1b2c3d4e5f has version 4, ...", "If-Match"),
    413: ("body_too_large", "the body is larger than 4194304 bytes; send fewer alerts in one request", None),
    415: ("unsupported_media_type", "Content-Type must be application/json; got 'text/plain'", None),
    422: ("invalid_request", "title: Field required", "title"),
    429: ("rate_limited", "'prometheus' asks too often", None),
    503: ("store_unavailable", "the database cannot be used now", None),
}
_CHALLENGE = {"WWW-Authenticate": {"description": "RFC 6750.", "schema": {"type": "string"}}}
_TAG = {"ETag": {"description": "Its version and what it says.", "schema": {"type": "string"}}}
REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` when the answer was given before to a request with the same `Idempotency-Key`.",
        "schema": {"type": "string"},
    }
}
"""A header of answers that may be given again."""

TAGGED: dict[str, Any] = {"headers": _TAG}
"""An answer with an entity tag."""

NOT_MODIFIED: dict[str, Any] = {"description": "The answer at hand is still good.", "headers": _TAG}
"""The answer to a condition that does not hold."""

_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What FastAPI takes as ``responses``: each of these statuses answers an `ErrorAnswer`."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        found[status] = {"model": ErrorAnswer, "description": _MEANING[status]}
        if status in (429, 503):
            found[status]["headers"] = _RETRY_AFTER
        if status == 401:
            found[status]["headers"] = _CHALLENGE
    return found


def error_example(status: int) -> dict[str, Any]:
    """An answer with an error status, as it may look."""
    code, message, field = _EXAMPLES[status]
    where = {} if field is None else {"field": field}
    return {"error": {"code": code, "message": message, **where, "request_id": "req_6f0c2f5a114f1c2b9e0d7a4b"}}
