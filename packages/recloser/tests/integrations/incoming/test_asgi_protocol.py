"""The ASGI middleware message by message, as a server and an application of our own see it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from packages.recloser.tests.integrations.incoming.conftest import SETTINGS

from recloser import CircuitBreaker, CircuitOpenError, Registry, State
from recloser.integrations.asgi import CircuitBreakerMiddleware
from recloser.testing import FakeClock

START = {"type": "http.response.start", "status": 200, "headers": []}
LAST = {"type": "http.response.body", "body": b"end"}
MORE = {"type": "http.response.body", "body": b"part", "more_body": True}
REQUEST = {"type": "http.request", "body": b"", "more_body": False}
DISCONNECT = {"type": "http.disconnect"}


def start(status: int, **more: Any) -> dict[str, Any]:
    return {**START, "status": status, **more}


class Sent(list[dict[str, Any]]):
    """What the middleware sent to the server; after `gone_after` messages the client is gone."""

    gone_after = 1_000

    async def __call__(self, message: Any) -> None:
        if len(self) >= self.gone_after:
            raise OSError("client gone")
        self.append(message)

    @property
    def status(self) -> int:
        [first] = [message for message in self if message["type"] == "http.response.start"]
        return int(first["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self[0]["headers"]}


def app_sending(*messages: dict[str, Any], then: BaseException | None = None) -> Callable[..., Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for message in messages:
            await send(message)
        if then is not None:
            raise then

    return app


def breaker(registry: Registry) -> CircuitBreaker:
    return registry["route:*"]


async def request(registry: Registry, app: Any, *received: dict[str, Any], gone_after: int = 1_000) -> Sent:
    """One request to `app` behind the middleware."""
    protected = CircuitBreakerMiddleware(app, registry=registry, settings=SETTINGS)
    incoming = iter(received or (REQUEST,))
    sent = Sent()
    sent.gone_after = gone_after

    async def receive() -> Any:
        return next(incoming, DISCONNECT)

    await protected({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, sent)
    return sent


async def trip(registry: Registry) -> None:
    for _ in range(2):
        await request(registry, app_sending(start(500), LAST))


async def test_answer_passes_through_unchanged(registry: Registry) -> None:
    assert await request(registry, app_sending(START, MORE, LAST)) == [START, MORE, LAST]
    assert breaker(registry).stats().calls["success"] == 1


@pytest.mark.parametrize("status", [200, 301, 404, 429, 499])
async def test_below_500_is_a_success(registry: Registry, status: int) -> None:
    await request(registry, app_sending(start(status), LAST))
    assert breaker(registry).stats().calls["success"] == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
async def test_5xx_is_a_failure(registry: Registry, status: int) -> None:
    """An error that the framework has already turned into a response counts."""
    await request(registry, app_sending(start(status), LAST))
    assert breaker(registry).stats().calls["failure"] == 1
    assert breaker(registry).last_failure == f"HTTP {status}"


async def test_exception_is_a_failure_and_goes_on(registry: Registry) -> None:
    with pytest.raises(ZeroDivisionError):
        await request(registry, app_sending(then=ZeroDivisionError()))
    assert breaker(registry).stats().calls["failure"] == 1


async def test_exception_in_the_middle_starts_no_second_response(registry: Registry) -> None:
    sent = Sent()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(MORE)
        raise ValueError("in the middle")

    async def receive() -> Any:
        return REQUEST

    protected = CircuitBreakerMiddleware(app, registry=registry, settings=SETTINGS)
    with pytest.raises(ValueError, match="in the middle"):
        await protected({"type": "http"}, receive, sent)
    assert sent == [START, MORE]
    assert breaker(registry).stats().calls["failure"] == 1


async def test_rejection_is_one_503_with_the_remaining_seconds(registry: Registry, clock: FakeClock) -> None:
    """Rounded up, never a constant."""
    await trip(registry)
    clock.advance(6.5)
    sent = await request(registry, app_sending(START, LAST))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent.status == 503
    assert sent.headers["retry-after"] == "4"
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["content-length"] == str(len(sent[1]["body"]))
    assert json.loads(sent[1]["body"]) == {
        "error": "circuit_open",
        "detail": "Unavailable for now, try again in 4 s.",
        "retry_after": 4,
    }


async def test_rejection_by_an_operator_has_no_time(registry: Registry) -> None:
    await request(registry, app_sending(START, LAST))
    breaker(registry).force_open("maintenance")
    sent = await request(registry, app_sending(START, LAST))
    assert sent.status == 503
    assert "retry-after" not in sent.headers
    assert json.loads(sent[1]["body"])["retry_after"] is None


async def test_rejection_never_runs_the_application(registry: Registry) -> None:
    await trip(registry)
    ran = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ran.append(scope)

    await request(registry, app)
    assert ran == []


async def test_it_recovers(registry: Registry, clock: FakeClock) -> None:
    await trip(registry)
    clock.advance(10)
    assert (await request(registry, app_sending(START, LAST))).status == 200
    assert breaker(registry).state is State.CLOSED


async def test_client_that_leaves_in_the_middle_counts_nothing(registry: Registry) -> None:
    """Seen by `receive`, whether the application then returns or raises."""
    for _ in range(5):
        await request(registry, app_sending(START, MORE), DISCONNECT)
        with pytest.raises(RuntimeError):
            await request(registry, app_sending(START, MORE, then=RuntimeError("disconnected")), DISCONNECT)
    stats = breaker(registry).stats()
    assert (stats.state, stats.successful, stats.failed, stats.calls["ignored"]) == (State.CLOSED, 0, 0, 10)


async def test_client_that_is_gone_when_something_is_sent_counts_nothing(registry: Registry) -> None:
    """Seen by `send`, in servers of ASGI 2.4."""
    for _ in range(10):
        with pytest.raises(OSError, match="client gone"):
            await request(registry, app_sending(START, MORE, LAST), gone_after=2)
    stats = breaker(registry).stats()
    assert (stats.state, stats.successful, stats.failed, stats.calls["ignored"]) == (State.CLOSED, 0, 0, 10)


async def test_cancelled_request_counts_nothing(registry: Registry) -> None:
    with pytest.raises(asyncio.CancelledError):
        await request(registry, app_sending(START, then=asyncio.CancelledError()))
    assert breaker(registry).stats().calls["ignored"] == 1


async def test_connection_error_of_the_application_is_a_failure(registry: Registry) -> None:
    """An OSError that did not come out of `send` says nothing about the client."""
    with pytest.raises(ConnectionError):
        await request(registry, app_sending(START, then=ConnectionRefusedError()))
    assert breaker(registry).stats().calls["failure"] == 1


@pytest.mark.parametrize("messages", [[], [START], [START, MORE]])
async def test_incomplete_response_is_a_failure(registry: Registry, messages: list[dict[str, Any]]) -> None:
    await request(registry, app_sending(*messages))
    assert breaker(registry).stats().calls["failure"] == 1


async def test_permit_is_held_to_the_end_and_latency_ends_at_the_start(registry: Registry, clock: FakeClock) -> None:
    in_flight: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        clock.advance(0.5)
        await send(START)
        clock.advance(100)
        in_flight.append(breaker(registry).stats().in_flight)
        await send(LAST)
        in_flight.append(breaker(registry).stats().in_flight)

    await request(registry, app)
    assert in_flight == [1, 0]
    assert breaker(registry).stats().duration_sum == 0.5


async def test_work_after_the_response_does_not_count(registry: Registry) -> None:
    with pytest.raises(ValueError, match="background"):
        await request(registry, app_sending(START, LAST, then=ValueError("background")))
    assert breaker(registry).stats().calls["success"] == 1


async def test_response_with_trailers_ends_with_them(registry: Registry) -> None:
    opening = start(200, trailers=True)
    await request(registry, app_sending(opening, LAST))
    assert breaker(registry).stats().calls["failure"] == 1
    await request(registry, app_sending(opening, LAST, {"type": "http.response.trailers", "headers": []}))
    assert breaker(registry).stats().calls["success"] == 1


async def test_file_sent_by_path_is_a_complete_response(registry: Registry) -> None:
    await request(registry, app_sending(START, {"type": "http.response.pathsend", "path": "/file"}))
    assert breaker(registry).stats().calls["success"] == 1


async def test_rejection_of_a_breaker_further_in_is_ignored(registry: Registry) -> None:
    inner = CircuitOpenError("db", "open", 3.0)
    for _ in range(5):
        with pytest.raises(CircuitOpenError):
            await request(registry, app_sending(then=inner))
    assert breaker(registry).stats().calls["ignored"] == 5


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_other_protocols_pass_through(registry: Registry, kind: str) -> None:
    """The application gets the very same scope, receive and send, whatever the breaker's state."""
    seen: list[Any] = []

    async def app(*args: Any) -> None:
        seen.append(args)

    async def receive() -> Any: ...

    sent = Sent()
    protected = CircuitBreakerMiddleware(app, registry=registry, settings=SETTINGS)
    scope = {"type": kind}
    await protected(scope, receive, sent)
    [given] = seen
    assert all(given[number] is expected for number, expected in enumerate((scope, receive, sent)))
    assert len(registry) == 0


async def test_key_chooses_the_breaker_or_none(registry: Registry) -> None:
    protected = CircuitBreakerMiddleware(
        app_sending(START, LAST), registry=registry, key=lambda scope: scope["path"].split("/")[1] or None
    )

    async def receive() -> Any:
        return REQUEST

    for path in ("/a/1", "/a/2", "/b/1", "/"):
        await protected({"type": "http", "path": path}, receive, Sent())
    assert {b.name: b.stats().successful for b in registry} == {"route:a": 2, "route:b": 1}


async def test_number_of_breakers_is_bounded(registry: Registry) -> None:
    protected = CircuitBreakerMiddleware(
        app_sending(START, LAST), registry=registry, key=lambda scope: scope["path"], max_breakers=3
    )

    async def receive() -> Any:
        return REQUEST

    for number in range(50):
        await protected({"type": "http", "path": f"/{number}"}, receive, Sent())
    assert len(registry) == 3
