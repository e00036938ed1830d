"""Every error answer has one shape: ``{"error": {"code", "message", "field"?, "request_id"?}}``."""

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from incident_manager.api.request_id import HEADER, current_request_id
from incident_manager.domain.errors import (
    ForbiddenError,
    IdempotencyKeyReusedError,
    IncidentManagerError,
    IncidentNotFoundError,
    InvalidAlertError,
    InvalidCursorError,
    InvalidTransitionError,
    PreconditionFailedError,
    RateLimitedError,
    SilenceNotFoundError,
    StoreUnavailableError,
    TokenNotFoundError,
    TooManyStreamsError,
    UnauthenticatedError,
    VersionConflictError,
)
from recloser import CircuitOpenError

logger = logging.getLogger(__name__)

DEFAULT_RETRY_AFTER = 5.0
"""Seconds, when what failed does not know when it will be back."""


class ApiError(HTTPException):
    """An error answer.

    Args:
        status_code: The HTTP status.
        code: A word for programs; it does not change between releases.
        message: A sentence for people: what was given, what was expected.
        field: The part of the request that is wrong, like ``alerts[0].labels``.
        headers: More headers of the answer.
    """

    def __init__(
        self,
        status_code: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status_code, detail=message, headers=dict(headers or {}))
        self.code = code
        self.field = field


def error_response(error: ApiError) -> JSONResponse:
    """The answer for an error."""
    body = {"code": error.code, "message": error.detail}
    headers = dict(error.headers or {})
    if error.field:
        body["field"] = error.field
    request_id = current_request_id()
    if request_id:
        body["request_id"] = headers[HEADER] = request_id
    return JSONResponse({"error": body}, error.status_code, headers=headers)


def unavailable(code: str, message: str, retry_after: float | None, status: int = 503) -> ApiError:
    """A 503, or 429, that says when to come back; ``retry_after`` is in seconds."""
    seconds = math.ceil(DEFAULT_RETRY_AFTER if retry_after is None else max(retry_after, 1.0))
    return ApiError(status, code, message, headers={"Retry-After": str(seconds)})


def unauthenticated(error: UnauthenticatedError) -> ApiError:
    """A 401 with its challenge (RFC 6750, section 3)."""
    more = ', error="invalid_token"' if error.given else ""
    headers = {"WWW-Authenticate": f'Bearer realm="incident-manager"{more}'}
    return ApiError(401, "unauthenticated", str(error), headers=headers)


def as_api_error(error: Exception) -> ApiError:
    """The answer to whatever was raised while a request was served."""
    match error:
        case ApiError():
            return error
        case RequestValidationError():
            return _invalid_request(error)
        case InvalidAlertError():
            return ApiError(422, "invalid_alert", str(error), field=error.field)
        case InvalidCursorError():
            return ApiError(422, "invalid_cursor", str(error), field="cursor")
        case UnauthenticatedError():
            return unauthenticated(error)
        case ForbiddenError():
            return ApiError(403, "forbidden", str(error))
        case RateLimitedError():
            return unavailable("rate_limited", str(error), error.retry_after, 429)
        case TooManyStreamsError():
            return unavailable("too_many_streams", str(error), None)
        case TokenNotFoundError():
            return ApiError(404, "token_not_found", str(error))
        case PreconditionFailedError():
            return ApiError(412, "precondition_failed", str(error), field="If-Match")
        case IdempotencyKeyReusedError():
            return ApiError(422, "idempotency_key_reused", str(error), field="Idempotency-Key")
        case SilenceNotFoundError():
            return ApiError(404, "silence_not_found", str(error))
        case IncidentNotFoundError():
            return ApiError(404, "incident_not_found", str(error))
        case InvalidTransitionError():
            return ApiError(409, "invalid_transition", str(error))
        case VersionConflictError():
            return ApiError(409, "version_conflict", str(error))
        case StoreUnavailableError():
            return unavailable("store_unavailable", "the database cannot be used now", error.retry_after)
        case CircuitOpenError():
            return unavailable("circuit_open", f"the circuit {error.breaker!r} is open", error.retry_after)
        case StarletteHTTPException():
            return _http_error(error)
    return ApiError(500, "internal_error", "the service failed to answer; its log says why")


def _http_error(error: StarletteHTTPException) -> ApiError:
    """What the framework refuses by itself: 404, 405 and their like."""
    code = HTTPStatus(error.status_code).name.lower()
    return ApiError(error.status_code, code, str(error.detail), headers=error.headers)


def _invalid_request(error: RequestValidationError) -> ApiError:
    """422 for the first thing that is wrong with a request."""
    first = error.errors()[0]
    field = field_path(first["loc"])
    return ApiError(422, "invalid_request", f"{field}: {first['msg']}", field=field)


def field_path(location: Sequence[str | int]) -> str:
    """``("body", "alerts", 0, "labels")`` as ``alerts[0].labels``; the body as a whole is ``body``."""
    parts = list(location[1:]) or list(location)
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return path.removeprefix(".")


async def _answer(request: Request, error: Exception) -> JSONResponse:
    answer = as_api_error(error)
    if answer.status_code == 500:
        logger.error("%s %s failed: %s", request.method, request.url.path, type(error).__name__)
    elif answer.status_code == 503:
        logger.warning("%s %s refused: %s", request.method, request.url.path, error)
    return error_response(answer)


async def _not_allowed(request: Request, error: Exception) -> JSONResponse:
    answer = as_api_error(error)
    allowed = request.app.state.allowed_methods.of(request.url.path)
    if allowed:
        answer.headers = {**(answer.headers or {}), "Allow": allowed}
    return error_response(answer)


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of the app an answer of our shape.

    `app.state.allowed_methods`, an `AllowedMethods`, completes the `Allow` of a 405.
    """
    for kind in (
        StarletteHTTPException,
        RequestValidationError,
        IncidentManagerError,
        CircuitOpenError,
        Exception,
    ):
        app.add_exception_handler(kind, _answer)
    if hasattr(app.state, "allowed_methods"):
        app.add_exception_handler(HTTPStatus.METHOD_NOT_ALLOWED, _not_allowed)
