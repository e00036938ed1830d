"""What the answers of model providers mean, whatever SDK asks."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from recloser.errors import CircuitOpenError
from recloser.integrations._http import Breakers, Exchange, verdict_on_status
from recloser.integrations._httpx import Names, Policy, host_of
from recloser.integrations._sse import SseEvent, SseWatch, as_object
from recloser.outcomes import FAILURE, IGNORED, SUCCESS, Outcome, Verdict

OPEN_ERROR = "recloser.open_error"
"""Extension of a synthetic response: the rejection it stands for."""

_NOT_ALLOWED = frozenset({401, 402, 403})
_OUR_FAULT = frozenset(
    {
        "authentication_error", "billing_error", "billing_hard_limit_reached", "insufficient_quota", "invalid_api_key",
        "permission_error",
    }
)  # fmt: skip
_THROTTLING = frozenset({"rate_limit_error", "rate_limit_exceeded", "too_many_requests"})
_CALLERS_FAULT = frozenset(
    {
        "content_filter", "content_policy_violation", "context_length_exceeded", "invalid_prompt",
        "invalid_request_error", "not_found_error", "request_too_large",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Dialect:
    """How one provider streams.

    Attributes:
        name: Of the provider; its breakers are called `name:host`.
        endings: By end of the path: the names or data of events that complete a stream there.
        prelude: Names of events that come before the first token.
    """

    name: str
    endings: Mapping[str, frozenset[str]]
    prelude: frozenset[str]

    def endings_at(self, path: str) -> frozenset[str]:
        """The terminal markers of streams from this path; empty where none is known."""
        for end, markers in self.endings.items():
            if path.endswith(end):
                return markers
        return frozenset()


class Call:
    """One call of an SDK with all its attempts: holds a failed one until the SDK gives up or tries again."""

    def __init__(self) -> None:
        self.over = False
        self.held: tuple[LlmExchange, Verdict | BaseException] | None = None

    def end(self) -> None:
        """The SDK has returned or raised: the failure that it did not retry is the call's."""
        self.over = True
        held, self.held = self.held, None
        if held is not None:
            held[0].settle_held(held[1])


_call: ContextVar[Call | None] = ContextVar("recloser_llm_call", default=None)


@contextmanager
def one_call() -> Iterator[None]:
    """Attempts inside are one call."""
    call = Call()
    token = _call.set(call)
    try:
        yield
    finally:
        _call.reset(token)
        call.end()


class LlmExchange(Exchange):
    """One attempt, or several of one call: failures are held back while the SDK may still retry."""

    __slots__ = ("_call",)

    def __init__(self, exchange: Exchange, call: Call | None) -> None:
        super().__init__(exchange.permit, exchange.judge, exchange.settings)
        self._call = call

    def answered(self, verdict: Verdict, response: object = None) -> None:
        """See `Exchange.answered`."""
        if verdict.outcome is Outcome.FAILURE and self._call is not None and not self._call.over:
            self._call.held = (self, verdict)
        else:
            super().answered(verdict, response)

    def raised(self, exc: BaseException) -> None:
        """See `Exchange.raised`."""
        if isinstance(exc, Exception) and self._call is not None and not self._call.over:
            self._call.held = (self, exc)
        else:
            super().raised(exc)

    def settle_held(self, word: Verdict | BaseException) -> None:
        """The SDK does not try again."""
        if isinstance(word, BaseException):
            super().raised(word)
        else:
            super().answered(word)


class LlmPolicy(Policy):
    """Decides about the requests of one SDK client.

    Args:
        names: Those of the HTTP client inside.
        breakers: Find the breaker of a request.
        patience: The SDK client's own read timeout in seconds; callers with a shorter one are impatient.
        dialect: How the provider streams.
        configuration_open_for: Seconds to stay open when the key or the account is refused.
        idle_timeout: Longest silence within a stream, in seconds; None leaves it to the client's read timeout.
    """

    def __init__(
        self,
        names: Names,
        breakers: Breakers[Any],
        patience: float | None,
        dialect: Dialect,
        configuration_open_for: float,
        idle_timeout: float | None,
    ) -> None:
        super().__init__(names, breakers, patience)
        self._dialect = dialect
        self._configuration_open_for = configuration_open_for
        self._idle_timeout = idle_timeout

    def begin(self, request: Any) -> Exchange:
        """Ask for leave; a retry of a call goes on with the leave that the call has.

        Raises:
            CircuitOpenError: The request is rejected.
        """
        # The timeouts become the request's own, so that the one of its stream can change without touching others.
        timeout = dict(request.extensions.get("timeout", {}))
        request.extensions = {**request.extensions, "timeout": timeout}
        call = _call.get()
        if call is not None and call.held is not None:
            exchange, call.held = call.held[0], None
            return exchange
        return LlmExchange(super().begin(request), call)

    def rejected(self, error: CircuitOpenError, request: Any) -> Any:
        """A 503 that the SDK does not retry, so that it raises its own error at once."""
        headers = {"x-should-retry": "false"}
        if error.retry_after is not None:
            headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
        return self.names.response(
            503,
            headers=headers,
            json={"error": {"type": "circuit_open", "code": "circuit_open", "message": str(error)}},
            request=request,
            extensions={OPEN_ERROR: error},
        )

    def judge(self, exc: BaseException, request: Any) -> Verdict:
        """The verdict on an exception; silence within a stream is the server's fault whatever the caller's patience."""
        if isinstance(exc, self.names.read_timeout) and "recloser.streaming" in request.extensions:
            return FAILURE
        return super().judge(exc, request)

    def answered(self, exchange: Exchange, request: Any, response: Any) -> bool:
        """The head of the answer has come; True when the whole body is needed to judge it."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        if response.status_code >= 400 or kind == "application/json":
            return True
        if kind != "text/event-stream":
            return super().answered(exchange, request, response)
        if self._idle_timeout is not None:
            request.extensions["timeout"]["read"] = self._idle_timeout
            request.extensions["recloser.streaming"] = True
        endings = self._dialect.endings_at(request.url.path)
        watch = SseWatch(
            response.headers.get("content-encoding", "").lower(),
            lambda event: self._verdict_on_event(event, endings),
            lambda event: event.name not in self._dialect.prelude,
            exchange.first_byte,
            needs_end=bool(endings),
        )
        exchange.expect_body(response, watch)
        return False

    def complete(self, exchange: Exchange, request: Any, response: Any, content: bytes) -> None:
        """The whole body has come."""
        if response.status_code >= 400:
            verdict = self._verdict_on_error(response.status_code, response.headers, as_object(content))
        elif content and not as_object(content) and not content.lstrip().startswith((b"[", b"{}")):
            verdict = Verdict(Outcome.FAILURE, failed="a malformed answer: not JSON")
        else:
            verdict = SUCCESS
        if verdict.outcome is not Outcome.FAILURE:  # a retry may still make an answer of it, and that has the latency
            exchange.first_byte()
        exchange.answered(verdict, response)

    def _verdict_on_error(self, status: int, headers: Mapping[str, str], body: dict[str, Any]) -> Verdict:
        code, message = _code_and_message(body.get("error"))
        broke = (status == 429 and code in _OUR_FAULT) or (status == 400 and "credit balance" in message.lower())
        if status in _NOT_ALLOWED or broke:
            return self._configuration(f"HTTP {status} {code}".rstrip())
        verdict = verdict_on_status(status, headers, time.time())
        if verdict.outcome is Outcome.THROTTLED:
            return verdict._replace(retry_after=_milliseconds(headers) or verdict.retry_after)
        return verdict if verdict.outcome is Outcome.FAILURE else IGNORED

    def _verdict_on_event(self, event: SseEvent, endings: frozenset[str]) -> Verdict | None:
        if event.name in ("error", "response.failed") or '"error"' in event.data:
            body = event.parsed()
            error = body.get("error") or (body.get("response") or {}).get("error")
            if error or event.name in ("error", "response.failed"):
                return self._verdict_on_stream_error(error or body)
        return SUCCESS if event.name in endings or event.data in endings else None

    def _verdict_on_stream_error(self, error: Any) -> Verdict:
        code, message = _code_and_message(error)
        if code in _OUR_FAULT:
            return self._configuration(code)
        if code in _THROTTLING:
            return Verdict(Outcome.THROTTLED, failed=code)
        if code in _CALLERS_FAULT:
            return IGNORED
        text = f"{code}: {message}"[:200].strip(": ")
        return Verdict(Outcome.FAILURE, failed=text or "the stream reported an error")

    def _configuration(self, reason: str) -> Verdict:
        return Verdict(Outcome.CONFIGURATION, self._configuration_open_for, failed=reason)


def _code_and_message(error: Any) -> tuple[str, str]:
    """The most telling code of an error object, and its message; both may be empty."""
    if not isinstance(error, dict):
        return "", error if isinstance(error, str) else ""
    codes = [code for code in (error.get("code"), error.get("type")) if isinstance(code, str)]
    known = [code for code in codes if code in _OUR_FAULT | _THROTTLING | _CALLERS_FAULT]
    return (known or codes or [""])[0], str(error.get("message") or "")


def _milliseconds(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after-ms", "")
    return float(value) / 1_000 if value.isascii() and value.isdigit() and len(value) < 16 else None


def by_model(request: Any) -> str:
    """A `key`: one breaker per host and model, for fallbacks from one model to another."""
    model = as_object(request.content).get("model") if "json" in request.headers.get("content-type", "") else None
    return f"{host_of(request)}/{model}" if isinstance(model, str) else host_of(request)
