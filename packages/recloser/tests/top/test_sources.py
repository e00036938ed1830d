"""Where `recloser top` reads: admin sockets of this machine, metrics and dashboards at an address."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from packages.recloser.tests.instrumentation.programs import Programs, closed_port
from packages.recloser.tests.support import settings
from prometheus_client import CollectorRegistry, generate_latest

from recloser import Registry
from recloser.instrumentation.admin.commands import Commands
from recloser.instrumentation.admin.server import AdminServer
from recloser.instrumentation.report import Recorder
from recloser.telemetry.prometheus import BreakerCollector
from recloser.testing import FakeClock
from recloser.top.sources import read_address, read_sockets

Answer = Callable[[str, dict[str, str]], tuple[int, str, str]]


class Site:
    """An HTTP server that answers what the test says; it keeps the headers of the last request."""

    def __init__(self, answer: Answer) -> None:
        site = self
        self.headers: dict[str, str] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.headers = {name.lower(): value for name, value in self.headers.items()}
                parts = urlsplit(self.path)
                query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                status, kind, body = answer(parts.path, query)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.source = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.source}"

    def __enter__(self) -> "Site":
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def registry(clock: FakeClock) -> Registry:
    """One breaker that an operator holds open, and one with two good calls and a failed one."""
    made = Registry(settings(), clock=clock)
    held = made.get_or_create("http:example.com")
    held.force_open("an exercise")
    used = made.get_or_create("redis:cache")
    for _ in range(2):
        used.call(lambda: None)
    used.acquire().failure(ConnectionError())
    return made


@pytest.fixture
def admin(registry: Registry, tmp_path: Path) -> Iterator[Path]:
    """The folder of the admin socket of a program that has these breakers."""
    with Programs(tmp_path) as programs:
        recorder = Recorder(registry, observe_only=False)
        server = AdminServer(programs.sockets, os.getpid(), Commands(registry, recorder).answer)
        server.start()
        yield programs.sockets
        server.stop()
        recorder.stop()


def assert_shows_both(lines: Any) -> None:
    held, used = sorted(lines, key=lambda one: str(one.name))
    assert (held.name, held.state, held.control, held.openings) == ("http:example.com", "open", "forced_open", 1)
    assert (used.name, used.state, used.control) == ("redis:cache", "closed", "automatic")
    assert (used.calls, used.failed, used.rejected) == (3, 1, 0)


def test_sockets_show_the_breakers_of_each_process(admin: Path) -> None:
    reading = read_sockets(admin, None, None)
    assert_shows_both(reading.lines)
    assert {one.source.split()[0] for one in reading.lines} == {str(os.getpid())}
    assert reading.problems == []


def test_no_program_is_a_problem_and_no_error(tmp_path: Path) -> None:
    reading = read_sockets(tmp_path, None, None)
    assert (list(reading.lines), reading.problems) == ([], [f"no process with an admin socket in {tmp_path}"])


@pytest.mark.parametrize("prefix", ["recloser_", "llm_incident_manager_"])
def test_metrics_show_the_same(registry: Registry, prefix: str) -> None:
    collected = CollectorRegistry()
    BreakerCollector(registry, prefix, register=collected)
    with Site(lambda path, query: (200, "text/plain; version=0.0.4", generate_latest(collected).decode())) as site:
        reading = read_address(f"{site.url}/metrics", None)
        assert "authorization" not in site.headers
    assert_shows_both(reading.lines)
    assert {one.source for one in reading.lines} == {site.source}


def dashboard(registry: Registry, page_size: int) -> Answer:
    """A site that answers as `recloser.dashboard` does: a page for people, and the same for programs beside it."""
    recorder = Recorder(registry, observe_only=False)
    rows = Commands(registry, recorder).answer({"command": "list"})["result"]
    recorder.stop()

    def answer(path: str, query: dict[str, str]) -> tuple[int, str, str]:
        if path == "/breakers":
            return 200, "text/html; charset=utf-8", "<!doctype html>"
        assert path == "/breakers/api/breakers"
        offset = int(query.get("offset", 0))
        page = {"process": 7, "matching": len(rows), "breakers": rows[offset : offset + page_size]}
        return 200, "application/json", json.dumps(page)

    return answer


@pytest.mark.parametrize("path", ["/breakers", "/breakers/api/breakers"])
@pytest.mark.parametrize("page_size", [1, 100])
def test_dashboard_shows_the_same_page_by_page(registry: Registry, path: str, page_size: int) -> None:
    with Site(dashboard(registry, page_size)) as site:
        reading = read_address(f"{site.url}{path}", None)
    assert_shows_both(reading.lines)
    assert {one.source for one in reading.lines} == {f"7 {site.source}"}


@pytest.mark.parametrize("path", ["/breakers", "/breakers/api/breakers"])
def test_filter_of_an_address_is_kept_on_every_page(registry: Registry, path: str) -> None:
    answer = dashboard(registry, 1)
    asked = []

    def note(path: str, query: dict[str, str]) -> tuple[int, str, str]:
        asked.append(query)
        return answer(path, query)

    with Site(note) as site:
        assert_shows_both(read_address(f"{site.url}{path}?q=a%26b", None).lines)
    assert len(asked) >= 2
    assert {query["q"] for query in asked} == {"a&b"}
    assert asked[-1]["offset"] == "1"


def test_token_is_shown(registry: Registry) -> None:
    with Site(dashboard(registry, 100)) as site:
        read_address(f"{site.url}/breakers", "im_secret")
        assert site.headers["authorization"] == "Bearer im_secret"


@pytest.mark.parametrize(
    ("status", "kind", "body", "problem"),
    [
        (401, "text/plain", "", "answered 401 Unauthorized; is the token right?"),
        (500, "text/plain", "", "answered 500 Internal Server Error"),
        (200, "text/plain", "up 1\n", "shows no circuit breakers of recloser"),
        (200, "text/plain", "{{", "the answer is not in Prometheus' text format"),
        (200, "application/json", "[]", "the answer is JSON, but not of a dashboard"),
        (200, "application/json", '{"breakers": [{}], "matching": 1}', "the breakers are not as those of recloser"),
    ],
)
def test_answer_that_cannot_be_read_is_a_problem(status: int, kind: str, body: str, problem: str) -> None:
    with Site(lambda path, query: (status, kind, body)) as site:
        reading = read_address(f"{site.url}/metrics", "im_secret")
    assert list(reading.lines) == []
    [said] = reading.problems
    assert said.startswith(f"{site.source}: {problem}")
    assert "im_secret" not in said


def test_address_where_nobody_listens_is_a_problem() -> None:
    [said] = read_address(f"http://127.0.0.1:{closed_port()}/metrics", None).problems
    assert "does not answer" in said
