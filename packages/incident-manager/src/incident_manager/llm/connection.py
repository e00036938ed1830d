"""One LLM-ops service over HTTP: deadlines, credentials, what its answers mean, and its circuit breaker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from incident_manager.llm.errors import (
    MalformedAnswerError,
    RequestRefusedError,
    ServiceMisconfiguredError,
    ServiceThrottledError,
    ServiceUnavailableError,
)
from incident_manager.notify.retry_after import parse_retry_after
from recloser import CircuitBreaker, Clock, SystemClock

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

CONNECT_TIMEOUT = 10.0
"""Seconds to connect."""

REQUEST_TIMEOUT = 30.0
"""Seconds until the last byte of an answer, or between two chunks of a stream."""

ANSWER_LIMIT = 4 * 1024 * 1024
"""Bytes of an answer; more is malformed."""

_MISCONFIGURED = frozenset({401, 402, 403})
_ERROR_LIMIT = 64 * 1024


class Connection:
    """Calls one service. Each call passes through the breaker and ends within the deadline.

    Args:
        service: Its name, for errors.
        url: Base URL; paths are put below it.
        breaker: Its settings must classify with `classify_answer`.
        headers: Sent with every request; credentials are among them.
        connect_timeout: Seconds to connect.
        timeout: Seconds for a whole call; for a stream, until its first byte and between two chunks.
        verify: Whether the certificate of the service is checked.
        clock: To read dates in Retry-After; the system's by default.
    """

    def __init__(
        self,
        service: str,
        url: str,
        breaker: CircuitBreaker,
        *,
        headers: Mapping[str, str] | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        timeout: float = REQUEST_TIMEOUT,
        verify: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.service = service
        self.breaker = breaker
        self.timeout = timeout
        self._clock = clock or SystemClock()
        self._protected_events = breaker(self._events)
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers=dict(headers or {}),
            timeout=httpx2.Timeout(timeout, connect=min(connect_timeout, timeout)),
            verify=verify,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(self, path: str, answer: type[M], params: Mapping[str, str | int] | None = None) -> M:
        """GET, read as `answer`.

        Raises:
            LlmServiceError: One of its kinds, by what went wrong.
            recloser.CircuitOpenError: The breaker holds callers off.
        """
        request = self._client.build_request("GET", path, params=params)
        return await self.breaker.call(self._exchange, request, lambda content: self.read(answer, content))

    async def post(self, path: str, body: Any, answer: type[M], headers: Mapping[str, str] | None = None) -> M:
        """POST a JSON body; the answer and the errors as for `get`."""
        return await self.ask(path, body, answer, lambda parsed: parsed, headers)

    async def ask(
        self,
        path: str,
        body: Any,
        answer: type[M],
        use: Callable[[M], T],
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """POST, and give what `use` makes of the answer; when it finds the answer malformed, that is a failure too."""
        request = self._client.build_request("POST", path, json=body, headers=headers)
        return await self.breaker.call(self._exchange, request, lambda content: use(self.read(answer, content)))

    async def check(self, path: str) -> None:
        """GET a health page, whose content does not matter; errors as for `get`."""
        request = self._client.build_request("GET", path)
        await self.breaker.call(self._exchange, request, lambda content: None)

    def stream(
        self, path: str, body: Any, read: Callable[[httpx2.ServerSentEvent], T | None]
    ) -> AsyncGenerator[T, None]:
        """POST, and give what `read` makes of each server-sent event until the event `[DONE]`.

        The call lasts until the stream ends. Errors are as for `get`; a stream that ends without `[DONE]` is broken.
        Close it when it is not read to its end.
        """
        return self._protected_events(path, body, read)

    async def _exchange(self, request: httpx2.Request, use: Callable[[bytes], T]) -> T:
        with self._explained():
            async with asyncio.timeout(self.timeout):
                response = await self._client.send(request, stream=True)
                try:
                    await self._raise_for(response)
                    content = await self._content(response)
                finally:
                    await response.aclose()
        return use(content)

    async def _events(
        self, path: str, body: Any, read: Callable[[httpx2.ServerSentEvent], T | None]
    ) -> AsyncGenerator[T, None]:
        request = self._client.build_request("POST", path, json=body, headers={"Accept": "text/event-stream"})
        with self._explained():
            async with asyncio.timeout(self.timeout):
                response = await self._client.send(request, stream=True)
            try:
                await self._raise_for(response)
                async for event in httpx2.EventSource(response, max_event_size=ANSWER_LIMIT):
                    if event.data.strip() == "[DONE]":
                        return
                    item = read(event)
                    if item is not None:
                        yield item
            finally:
                await response.aclose()
        raise ServiceUnavailableError(self.service, "the stream ended before it was done")

    async def _raise_for(self, response: httpx2.Response) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        retry_after = parse_retry_after(response.headers.get("retry-after"), self._clock.time())
        problem = f"it answered {status}"
        if status in _MISCONFIGURED or _is_of_the_account(await self._beginning(response)):
            raise ServiceMisconfiguredError(self.service, f"{problem}: it does not accept our credentials or account")
        if status == 429 or (status == 503 and retry_after is not None):
            raise ServiceThrottledError(self.service, problem, retry_after)
        if 300 <= status < 400:
            raise ServiceMisconfiguredError(self.service, f"{problem}: redirects are not followed; set the final URL")
        if status == 408 or status >= 500:
            raise ServiceUnavailableError(self.service, problem)
        raise RequestRefusedError(self.service, problem)

    async def _beginning(self, response: httpx2.Response) -> bytes:
        received = bytearray()
        async with aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                received += chunk
                if len(received) >= _ERROR_LIMIT:
                    break
        return bytes(received)

    async def _content(self, response: httpx2.Response) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > ANSWER_LIMIT:
                raise MalformedAnswerError(self.service, f"its answer is longer than {ANSWER_LIMIT:,} bytes")
        return bytes(content)

    def read(self, answer: type[M], content: bytes | str) -> M:
        """A JSON text as what the contract says it is.

        Raises:
            MalformedAnswerError: It is not; the text tells where, and nothing of the content.
        """
        try:
            return answer.model_validate(json.loads(content))
        except ValidationError as error:
            problem = _first_problem(error)
        except (ValueError, RecursionError):
            problem = "it is no JSON"
        raise MalformedAnswerError(self.service, f"its answer cannot be read: {problem}") from None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of HTTP as ours. The original is not chained: it holds the request, and with it the credentials."""
        try:
            yield
        except (TimeoutError, httpx2.TimeoutException):
            raise ServiceUnavailableError(self.service, f"no answer within {self.timeout:g} s") from None
        except httpx2.ConnectError:
            raise ServiceUnavailableError(self.service, "could not connect") from None
        except httpx2.DecodingError:
            raise MalformedAnswerError(self.service, "its answer is compressed in a way that cannot be read") from None
        except httpx2.SSEError:
            raise MalformedAnswerError(self.service, "its answer is no stream of events") from None
        except httpx2.TransportError as error:
            raise ServiceUnavailableError(self.service, f"the connection broke ({type(error).__name__})") from None


def _is_of_the_account(content: bytes) -> bool:
    """Tell whether an error of a model provider says that the account has no credit, whatever its status."""
    try:
        error = json.loads(content)["error"]
        code, message = error.get("code"), error.get("message")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    return code in ("insufficient_quota", "billing_hard_limit_reached") or "credit balance" in str(message)


def _first_problem(error: ValidationError) -> str:
    detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, detail["loc"])) or "the whole"
    return f"{where}: {detail['msg']}"
