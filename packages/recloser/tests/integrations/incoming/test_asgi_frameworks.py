"""The ASGI middleware in Starlette, FastAPI and Litestar, behind uvicorn and a real client."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import fastapi
import httpx2
import litestar
import pytest
import starlette.applications
import starlette.responses
from litestar.middleware import DefineMiddleware
from litestar.params import FromPath
from litestar.testing import TestClient as LitestarClient
from packages.recloser.tests.integrations.incoming.conftest import SETTINGS
from packages.recloser.tests.integrations.incoming.live import serving
from starlette.requests import Request
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from recloser import CircuitBreaker, CircuitOpenError, Registry, State
from recloser.integrations.asgi import CircuitBreakerMiddleware
from recloser.integrations.starlette import circuit_open_handler
from recloser.testing import FakeClock


def starlette_app(registry: Registry) -> Any:
    async def item(request: Request) -> starlette.responses.Response:
        return starlette.responses.PlainTextResponse(str(1 // request.path_params["id"]))

    async def fails(request: Request) -> starlette.responses.Response:
        return starlette.responses.PlainTextResponse("no", 502)

    routes = [
        Route("/items/{id:int}", item),
        Mount("/sub/{tenant}", routes=[Route("/fails", fails)]),
    ]
    app = starlette.applications.Starlette(routes=routes)
    app.add_middleware(CircuitBreakerMiddleware, registry=registry, settings=SETTINGS)
    return app


def fastapi_app(registry: Registry) -> Any:
    app = fastapi.FastAPI()
    router = fastapi.APIRouter(prefix="/sub/{tenant}")

    @app.get("/items/{id}")
    def item(id: int) -> int:
        return 1 // id

    @router.get("/fails")
    async def fails(tenant: str) -> int:
        raise fastapi.HTTPException(502)

    app.include_router(router)
    app.add_middleware(CircuitBreakerMiddleware, registry=registry, settings=SETTINGS)
    return app


def litestar_app(registry: Registry) -> Any:
    @litestar.get("/items/{number:int}")
    async def item(number: FromPath[int]) -> int:
        return 1 // number

    @litestar.get("/sub/{tenant:str}/fails")
    async def fails(tenant: FromPath[str]) -> int:
        raise litestar.exceptions.HTTPException(status_code=502)

    middleware = DefineMiddleware(CircuitBreakerMiddleware, registry=registry, settings=SETTINGS)
    return litestar.Litestar([item, fails], middleware=[middleware], logging_config=None)


# After an exception uvicorn closes the connection, which a client that keeps it would find out too late.
CLOSE = {"connection": "close"}

FRAMEWORKS = pytest.mark.parametrize(
    ("make", "templates"),
    [
        pytest.param(starlette_app, ("/items/{id:int}", "/sub/{tenant}/fails"), id="starlette"),
        pytest.param(fastapi_app, ("/items/{id}", "/sub/{tenant}/fails"), id="fastapi"),
        pytest.param(litestar_app, ("/items/{number}", "/sub/{tenant}/fails"), id="litestar"),
    ],
)


@FRAMEWORKS
def test_each_route_template_has_its_own_breaker(
    registry: Registry, make: Callable[[Registry], Any], templates: tuple[str, str]
) -> None:
    """A route that fails closes no other one."""
    with serving(make(registry)) as url, httpx2.Client(base_url=url, headers=CLOSE) as client:
        assert [client.get(f"/items/{number}").status_code for number in (1, 2, 3)] == [200] * 3
        assert [client.get(f"/sub/t{number}/fails").status_code for number in range(4)] == [502, 502, 503, 503]
        assert client.get("/items/1").status_code == 200
    assert {breaker.name for breaker in registry} == {f"route:{template}" for template in templates}


@FRAMEWORKS
def test_exceptions_open_the_route_and_time_closes_it(
    registry: Registry, clock: FakeClock, make: Callable[[Registry], Any], templates: tuple[str, str]
) -> None:
    with serving(make(registry)) as url, httpx2.Client(base_url=url, headers=CLOSE) as client:
        assert [client.get("/items/0").status_code for _ in range(2)] == [500, 500]
        rejected = client.get("/items/1")
        assert (rejected.status_code, rejected.headers["retry-after"]) == (503, "10")
        assert rejected.json()["error"] == "circuit_open"
        clock.advance(10)
        assert client.get("/items/1").status_code == 200
        assert client.get("/items/1").status_code == 200


@FRAMEWORKS
def test_unknown_paths_and_wrong_methods_make_no_breaker(
    registry: Registry, make: Callable[[Registry], Any], templates: tuple[str, str]
) -> None:
    with serving(make(registry)) as url, httpx2.Client(base_url=url, headers=CLOSE) as client:
        assert [client.get(f"/scan/{number}").status_code for number in range(5)] == [404] * 5
        assert client.post("/items/1").status_code == 405
    assert len(registry) == 0


def test_it_can_stand_around_the_application(registry: Registry) -> None:
    """Then nobody has put the application into the scope yet."""

    async def hello(request: Request) -> starlette.responses.Response:
        return starlette.responses.PlainTextResponse("hello")

    host = Host("{name}.example", starlette.applications.Starlette(routes=[Route("/hello", hello)]))
    app = CircuitBreakerMiddleware(starlette.applications.Starlette(routes=[host]), registry=registry)
    with TestClient(app, base_url="http://a.example") as client:
        assert client.get("/hello").text == "hello"
    assert "route:/hello" in registry


class Stream:
    """A streaming Starlette application whose stream goes on until the client has left."""

    def __init__(self, registry: Registry) -> None:
        self.ended = threading.Event()
        self.app = starlette.applications.Starlette(
            routes=[Route("/endless", self.endless), Route("/breaks", self.breaks)]
        )
        self.app.add_middleware(CircuitBreakerMiddleware, registry=registry, settings=SETTINGS)

    async def endless(self, request: Request) -> starlette.responses.Response:
        async def numbers() -> AsyncIterator[str]:
            try:
                while True:
                    yield "x" * 1_000
                    await anyio.sleep(0.001)
            finally:
                self.ended.set()

        return starlette.responses.StreamingResponse(numbers())

    async def breaks(self, request: Request) -> starlette.responses.Response:
        async def numbers() -> AsyncIterator[str]:
            yield "x"
            raise ValueError("broken stream")

        return starlette.responses.StreamingResponse(numbers())


@pytest.fixture
def stream(registry: Registry) -> Stream:
    return Stream(registry)


@pytest.fixture
def stream_client(stream: Stream) -> Iterator[httpx2.Client]:
    with serving(stream.app) as url, httpx2.Client(base_url=url, headers=CLOSE) as client:
        yield client


def settled(breaker: CircuitBreaker) -> None:
    """Return when no call is in flight."""
    deadline = threading.Event()
    timer = threading.Timer(20, deadline.set)
    timer.start()
    while breaker.stats().in_flight:
        assert not deadline.is_set(), "a call is still in flight"
    timer.cancel()


def test_client_that_leaves_a_stream_counts_nothing(
    registry: Registry, stream: Stream, stream_client: httpx2.Client
) -> None:
    for _ in range(10):
        stream.ended.clear()
        with stream_client.stream("GET", "/endless") as response:
            chunks = response.iter_bytes()  # the connection is closed when this is dropped
            assert next(chunks)
            assert registry["route:/endless"].stats().in_flight == 1
        assert stream.ended.wait(20)
        settled(registry["route:/endless"])
    stats = registry["route:/endless"].stats()
    assert (stats.state, stats.successful, stats.failed) == (State.CLOSED, 0, 0)
    assert stats.calls["ignored"] == 10


def test_stream_that_breaks_is_a_failure(registry: Registry, stream_client: httpx2.Client) -> None:
    for _ in range(2):
        with pytest.raises(httpx2.RemoteProtocolError):
            stream_client.get("/breaks")
    assert stream_client.get("/breaks").status_code == 503
    assert registry["route:/breaks"].last_failure == "ValueError: broken stream"


def downstream_app(make: Callable[[], Any], registry: Registry, database: CircuitBreaker) -> Any:
    app = make()
    app.add_exception_handler(CircuitOpenError, circuit_open_handler)
    app.add_middleware(CircuitBreakerMiddleware, registry=registry, settings=SETTINGS)

    async def query(request: Request) -> starlette.responses.Response:
        return starlette.responses.PlainTextResponse(database.call(lambda: "row"))

    async def accepted(websocket: WebSocket) -> None:
        await websocket.accept()
        database.call(lambda: "row")

    async def connecting(websocket: WebSocket) -> None:
        database.call(lambda: "row")

    app.router.routes += [
        Route("/query", query),
        WebSocketRoute("/accepted", accepted),
        WebSocketRoute("/connecting", connecting),
    ]
    return app


@pytest.fixture(params=[starlette.applications.Starlette, fastapi.FastAPI], ids=["starlette", "fastapi"])
def downstream(request: pytest.FixtureRequest, registry: Registry, breaker: CircuitBreaker) -> Iterator[TestClient]:
    """A client of an application whose dependency is open for 10 s."""
    for _ in range(3):
        breaker.acquire().failure()
    with TestClient(downstream_app(request.param, registry, breaker)) as client:
        yield client


def test_handler_answers_a_rejection_with_503(downstream: TestClient, clock: FakeClock) -> None:
    clock.advance(7.2)
    answer = downstream.get("/query")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert answer.json() == {
        "error": "circuit_open",
        "detail": "Unavailable for now, try again in 3 s.",
        "retry_after": 3,
    }


def test_rejection_further_in_opens_no_route(registry: Registry, downstream: TestClient, clock: FakeClock) -> None:
    """The route must be back as soon as its dependency is."""
    assert [downstream.get("/query").status_code for _ in range(5)] == [503] * 5
    assert registry["route:/query"].stats().calls["ignored"] == 5
    clock.advance(10)
    assert downstream.get("/query").text == "row"


def test_handler_closes_an_accepted_websocket(downstream: TestClient) -> None:
    with downstream.websocket_connect("/accepted") as websocket, pytest.raises(WebSocketDisconnect) as caught:
        websocket.receive_text()
    assert caught.value.code == 1013


def test_handler_denies_a_websocket_that_is_not_accepted_yet(downstream: TestClient) -> None:
    with pytest.raises(WebSocketDenialResponse) as caught, downstream.websocket_connect("/connecting"):
        pass
    assert (caught.value.status_code, caught.value.headers["retry-after"]) == (503, "10")


async def test_handler_refuses_other_exceptions() -> None:
    with pytest.raises(TypeError, match="register it for CircuitOpenError"):
        await circuit_open_handler(Request({"type": "http"}), ValueError())


def test_lifespan_runs_once_through_the_middleware(registry: Registry) -> None:
    phases: list[str] = []

    async def up() -> None:
        phases.append("up")

    async def down() -> None:
        phases.append("down")

    app = litestar.Litestar([], on_startup=[up], on_shutdown=[down])
    with LitestarClient(CircuitBreakerMiddleware(app, registry=registry)):  # type: ignore[arg-type]
        assert phases == ["up"]
    assert phases == ["up", "down"]
