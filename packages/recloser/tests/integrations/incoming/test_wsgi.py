"""The WSGI middleware under the standard library's validator, in Flask, and behind real servers."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import flask
import httpx2
import pytest
from packages.recloser.tests.integrations.incoming.conftest import SETTINGS

from recloser import CircuitBreaker, CircuitOpenError, Registry, State
from recloser.integrations.wsgi import CircuitBreakerMiddleware, circuit_open_response
from recloser.testing import FakeClock

HEADERS = [("Content-Type", "text/plain")]


def app_answering(status: str, body: Any = (b"body",)) -> Callable[..., Any]:
    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, HEADERS)
        return list(body)

    return app


def breaker(registry: Registry) -> CircuitBreaker:
    return registry["route:*"]


def request(registry: Registry, app: Any, *, leave_after: int | None = None) -> tuple[str, dict[str, str], bytes]:
    """One request through validators on both sides of the middleware; the client leaves after so many parts."""
    protected = validator(CircuitBreakerMiddleware(validator(app), registry=registry, settings=SETTINGS))
    environ: dict[str, Any] = {"QUERY_STRING": ""}
    setup_testing_defaults(environ)
    answer: list[Any] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        answer[:] = [status, dict(headers)]
        return lambda data: None

    parts: list[bytes] = []
    body = protected(environ, start_response)
    try:
        for part in body:
            parts.append(part)
            if len(parts) == leave_after:
                break
    finally:
        body.close()  # type: ignore[attr-defined]
    return answer[0], {name.lower(): value for name, value in answer[1].items()}, b"".join(parts)


def trip(registry: Registry) -> None:
    for _ in range(2):
        request(registry, app_answering("500 Oh"))


def test_answer_passes_through_unchanged(registry: Registry) -> None:
    assert request(registry, app_answering("200 OK", (b"a", b"b"))) == ("200 OK", {"content-type": "text/plain"}, b"ab")
    assert breaker(registry).stats().calls["success"] == 1


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "429 Slow Down"])
def test_below_500_is_a_success(registry: Registry, status: str) -> None:
    request(registry, app_answering(status))
    assert breaker(registry).stats().calls["success"] == 1


@pytest.mark.parametrize("status", ["500 Oh", "502 Bad", "503 Unavailable"])
def test_5xx_is_a_failure(registry: Registry, status: str) -> None:
    request(registry, app_answering(status))
    assert breaker(registry).stats().calls["failure"] == 1


def test_exception_is_a_failure_and_goes_on(registry: Registry) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        request(registry, app)
    assert breaker(registry).stats().calls["failure"] == 1


def test_exception_in_the_body_is_a_failure(registry: Registry) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", HEADERS)
        yield b"part"
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        request(registry, app)
    assert breaker(registry).stats().calls["failure"] == 1


def test_rejection_is_a_503_with_the_remaining_seconds(registry: Registry, clock: FakeClock) -> None:
    """Rounded up, never a constant."""
    trip(registry)
    clock.advance(6.5)
    status, headers, body = request(registry, app_answering("200 OK"))
    assert (status, headers["retry-after"]) == ("503 Service Unavailable", "4")
    assert json.loads(body)["retry_after"] == 4
    assert headers["content-length"] == str(len(body))


def test_rejection_by_an_operator_has_no_time(registry: Registry) -> None:
    request(registry, app_answering("200 OK"))
    breaker(registry).force_open("maintenance")
    status, headers, _ = request(registry, app_answering("200 OK"))
    assert status == "503 Service Unavailable"
    assert "retry-after" not in headers


def test_rejection_never_runs_the_application(registry: Registry) -> None:
    trip(registry)
    ran = []
    request(registry, lambda environ, start_response: ran.append(environ))
    assert ran == []


def test_it_recovers(registry: Registry, clock: FakeClock) -> None:
    trip(registry)
    clock.advance(10)
    assert request(registry, app_answering("200 OK"))[0] == "200 OK"
    assert breaker(registry).state is State.CLOSED


def test_client_that_leaves_in_the_middle_counts_nothing(registry: Registry) -> None:
    for _ in range(10):
        request(registry, app_answering("200 OK", (b"a", b"b", b"c")), leave_after=1)
    stats = breaker(registry).stats()
    assert (stats.state, stats.successful, stats.failed, stats.calls["ignored"]) == (State.CLOSED, 0, 0, 10)


def test_permit_is_held_to_the_end_and_latency_ends_at_the_status(registry: Registry, clock: FakeClock) -> None:
    in_flight: list[int] = []

    def app(environ: Any, start_response: Any) -> Any:
        clock.advance(0.5)
        start_response("200 OK", HEADERS)
        yield b"first"
        clock.advance(100)
        in_flight.append(breaker(registry).stats().in_flight)

    request(registry, app)
    assert (in_flight, breaker(registry).stats().in_flight) == ([1], 0)
    assert breaker(registry).stats().duration_sum == 0.5


def test_body_of_the_application_is_closed(registry: Registry) -> None:
    closed: list[bool] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter((b"a", b"b"))

        def close(self) -> None:
            closed.append(True)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", HEADERS)
        return Body()

    request(registry, app, leave_after=1)
    assert closed == [True]


def test_key_chooses_the_breaker_or_none(registry: Registry) -> None:
    protected = CircuitBreakerMiddleware(
        app_answering("200 OK"), registry=registry, key=lambda environ: environ["PATH_INFO"].split("/")[1] or None
    )
    for path in ("/a/1", "/a/2", "/b/1", "/"):
        list(protected({"PATH_INFO": path}, lambda *_: lambda data: None))
    assert {b.name: b.stats().successful for b in registry} == {"route:a": 2, "route:b": 1}


def flask_app(registry: Registry, database: CircuitBreaker) -> flask.Flask:
    app = flask.Flask("sample")
    app.wsgi_app = CircuitBreakerMiddleware(app.wsgi_app, registry=registry, settings=SETTINGS)  # type: ignore[method-assign]
    app.register_error_handler(CircuitOpenError, circuit_open_response)

    @app.get("/items/<int:number>")
    def item(number: int) -> str:
        return str(1 // number)

    @app.get("/query")
    def query() -> str:
        return database.call(lambda: "row")

    @app.get("/endless")
    def endless() -> flask.Response:
        return flask.Response(b"x" * 100_000 for _ in iter(int, 1))

    return app


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def client(registry: Registry, breaker: CircuitBreaker) -> Iterator[httpx2.Client]:
    """A client of the Flask application behind the standard library's server."""
    server = make_server("127.0.0.1", 0, flask_app(registry, breaker), handler_class=QuietHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
            yield client
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_flask_has_a_breaker_per_rule(registry: Registry, client: httpx2.Client, clock: FakeClock) -> None:
    assert [client.get(f"/items/{number}").status_code for number in (1, 0, 0, 1)] == [200, 500, 500, 503]
    assert client.get("/query").text == "row"
    clock.advance(10)
    assert client.get("/items/1").text == "1"
    assert {b.name for b in registry} == {"route:/items/<int:number>", "route:/query"}


def test_flask_makes_no_breaker_for_what_it_does_not_serve(registry: Registry, client: httpx2.Client) -> None:
    assert client.get("/scan/1").status_code == 404
    assert client.post("/query").status_code == 405
    assert len(registry) == 0


def test_flask_answers_a_rejection_further_in_with_503(
    registry: Registry, client: httpx2.Client, breaker: CircuitBreaker, clock: FakeClock
) -> None:
    for _ in range(3):
        breaker.acquire().failure()
    clock.advance(7.2)
    answers = [client.get("/query") for _ in range(5)]
    assert [(answer.status_code, answer.headers["retry-after"]) for answer in answers] == [(503, "3")] * 5
    assert registry["route:/query"].stats().calls["ignored"] == 5


def test_real_client_that_leaves_a_stream_counts_nothing(registry: Registry, client: httpx2.Client) -> None:
    """The server finds out when it writes, and closes the response."""
    for _ in range(3):
        with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as connection:
            connection.sendall(b"GET /endless HTTP/1.0\r\n\r\n")
            assert connection.recv(1_000)
        assert client.get("/items/1").status_code == 200  # a single thread serves: the stream has ended
    stats = registry["route:/endless"].stats()
    assert (stats.successful, stats.failed, stats.calls["ignored"], stats.in_flight) == (0, 0, 3, 0)
