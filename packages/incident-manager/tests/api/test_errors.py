"""Every error answer has the one shape, whoever refuses the request."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI, Request
from testing.live import LiveApp

from incident_manager.api.errors import install_error_handlers
from incident_manager.api.limits import BodyLimit
from incident_manager.app import MAX_BODY_BYTES, create_app
from incident_manager.settings import Settings
from recloser import CircuitOpenError

JSON = {"Content-Type": "application/json"}


def error(answer: httpx2.Response, status: int) -> dict[str, str]:
    """The error of an answer, after a look at its shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    [(key, found)] = answer.json().items()
    assert key == "error"
    assert {"code", "message"} <= found.keys() <= {"code", "message", "field", "request_id"}
    assert all(isinstance(value, str) and value for value in found.values())
    return dict(found)


@pytest.mark.parametrize("path", ["/nothing", "/v1/nothing", "/v2/alerts", "/v1/incidents/a/b"])
def test_unknown_path(client: httpx2.Client, path: str) -> None:
    assert error(client.get(path), 404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/alerts", "POST"),
        ("DELETE", "/v1/incidents", "GET"),
        ("GET", "/v1/circuit-breakers/reset-all/x", None),
        ("PUT", "/health", "GET"),
    ],
)
def test_method_that_is_not_allowed(client: httpx2.Client, method: str, path: str, allowed: str | None) -> None:
    answer = client.request(method, path)
    if allowed is None:
        assert error(answer, 404)
    else:
        assert error(answer, 405)["code"] == "method_not_allowed"
        assert allowed in answer.headers["Allow"]


BAD_JSON = {
    "not JSON": b"{title: x}",
    "invalid UTF-8": b'{"title": "\xff"}',
    "duplicate key": b'{"title": "x", "title": "y"}',
    "NaN": b'{"title": "x", "labels": {"a": NaN}}',
    "too deep": b'{"a":' * 100 + b"1" + b"}" * 100,
    "absurdly deep": b"[" * 100_000,
    "half a surrogate pair": b'{"title": "\\ud800"}',
    "U+0000": b'{"title": "\\u0000"}',
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON.keys())
@pytest.mark.parametrize("path", ["/v1/alerts", "/v1/ingest/alertmanager", "/v1/incidents"])
def test_body_that_is_not_strict_json(client: httpx2.Client, path: str, body: bytes) -> None:
    assert error(client.post(path, content=body, headers=JSON), 400)["code"] == "invalid_json"


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", ""]
)
def test_body_of_another_media_type(client: httpx2.Client, media_type: str) -> None:
    answer = client.post("/v1/alerts", content=b'{"title": "x"}', headers={"Content-Type": media_type})
    assert error(answer, 415)["code"] == "unsupported_media_type"


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "application/cloudevents+json"])
def test_json_by_any_of_its_names_is_taken(client: httpx2.Client, media_type: str) -> None:
    body = b'{"title": "x", "dedup_key": "media type"}'
    assert client.post("/v1/alerts", content=body, headers={"Content-Type": media_type}).status_code == 202


def test_body_that_declares_to_be_too_large_is_refused_before_it_is_sent(service: LiveApp) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = f"POST /v1/alerts HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_body_that_grows_too_large(client: httpx2.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"title": "'
        for _ in range(MAX_BODY_BYTES // 65_536 + 1):
            yield b"x" * 65_536

    answer = client.post("/v1/alerts", content=chunks(), headers=JSON)
    assert error(answer, 413)["code"] == "body_too_large"


def test_body_just_below_the_limit_is_read(client: httpx2.Client) -> None:
    start, end = b'{"title": "Large", "dedup_key": "large", "description": "', b'"}'
    body = start + b"x" * (MAX_BODY_BYTES - len(start) - len(end)) + end
    assert client.post("/v1/alerts", content=body, headers=JSON).status_code == 202


@pytest.fixture(scope="module")
def small() -> Iterator[LiveApp]:
    """An application with our error handlers and limits, and routes that fail."""
    app = FastAPI()
    install_error_handlers(app)
    app.add_middleware(BodyLimit, max_bytes=100, timeout=0.2)

    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret detail")

    @app.get("/open/{retry_after}")
    async def circuit_open(retry_after: float) -> None:
        raise CircuitOpenError("llm", "open", retry_after if retry_after > 0 else None)

    with LiveApp(app) as live:
        yield live


def test_body_that_does_not_arrive_in_time(small: LiveApp) -> None:
    host, port = small.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nonly this")
        answer = b"".join(iter(lambda: connection.recv(2000), b""))
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"request_timeout"' in answer


def test_body_up_to_the_limit_arrives_whole(small: LiveApp) -> None:
    with small.client() as client:
        assert client.post("/size", content=b"x" * 100).json() == 100
        assert client.post("/size", content=iter([b"x" * 60, b"y" * 40])).json() == 100
        assert error(client.post("/size", content=b"x" * 101), 413)


def test_fault_of_ours_is_500_and_tells_nothing(small: LiveApp) -> None:
    with small.client() as client:
        found = error(client.get("/broken"), 500)
    assert found["code"] == "internal_error"
    assert "secret" not in found["message"]


@pytest.mark.parametrize(("retry_after", "header"), [(7.2, "8"), (0.01, "1"), (0, "5")])
def test_open_circuit_is_503_and_says_when_to_come_back(small: LiveApp, retry_after: float, header: str) -> None:
    with small.client() as client:
        answer = client.get(f"/open/{retry_after}")
    assert error(answer, 503)["code"] == "circuit_open"
    assert answer.headers["Retry-After"] == header


def test_service_that_cannot_make_its_database_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    app = create_app(Settings(data_dir=tmp_path / "file"))
    with pytest.raises(RuntimeError, match="did not start"):
        LiveApp(app).start()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_page_of_another_site_changes_nothing(client: httpx2.Client, origin: str) -> None:
    answer = client.post("/v1/circuit-breakers/reset-all", headers={"Origin": origin})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "foreign_origin"
    assert client.get("/v1/incidents", headers={"Origin": origin}).status_code == 200


def test_page_of_the_service_itself_may_change_things(client: httpx2.Client) -> None:
    own = f"{client.base_url.scheme}://{client.base_url.netloc.decode()}"
    assert client.post("/v1/circuit-breakers/reset-all", headers={"Origin": own}).status_code == 200
