"""gunicorn and uvicorn with two workers each: killed, restarted and reloaded, scraped by a real Prometheus, too."""

import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from packages.recloser.tests.telemetry.scraping import Samples, labels_of, read_page, value
from testing.servers import Prometheus, Server

FOLDER = Path(__file__).parent


class WorkerServer(Server):
    """A server with two workers that runs `worker_app`."""

    name = "workers"

    def __init__(self, *, warm_up: bool = False) -> None:
        super().__init__()
        self._warm_up = warm_up

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def call(self, path: str) -> tuple[int, str]:
        """The worker that answered, and the state of its breaker."""
        pid, state = self.get(path).split()
        return int(pid), state

    def scrape(self) -> Samples:
        return read_page(self.get("/metrics"))

    def _environment(self) -> Mapping[str, str]:
        extra = {"BREAKERS": str(self.folder / "breakers"), **({"WARM_UP": "1"} if self._warm_up else {})}
        return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(FOLDER), **extra}

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with connection.makefile("rb") as stream:
            return b" 200 " in stream.readline()


class Uvicorn(WorkerServer):
    name = "uvicorn"

    def _command(self) -> Sequence[str | Path]:
        options = [
            "--workers",
            "2",
            "--port",
            str(self.port),
            "--log-level",
            "warning",
            "--timeout-graceful-shutdown",
            "3",
        ]
        return [sys.executable, "-m", "uvicorn", "worker_app:asgi", *options]


class Gunicorn(WorkerServer):
    """The application is imported before the workers are forked."""

    name = "gunicorn"

    def _command(self) -> Sequence[str | Path]:
        options = ["--preload", "--workers", "2", "--bind", f"127.0.0.1:{self.port}", "--graceful-timeout", "5"]
        return [sys.executable, "-m", "gunicorn", *options, "worker_app:wsgi"]


@pytest.fixture(params=[Uvicorn, Gunicorn], ids=["uvicorn", "gunicorn"])
def server(request: pytest.FixtureRequest) -> Iterator[WorkerServer]:
    with request.param() as running:
        yield running


def total(samples: Samples, metric: str) -> float:
    """A counter's value; 0 while no worker has made its breaker."""
    return sum(value(samples, metric, **labels) for labels in labels_of(samples, metric))


def wait_for_total(server: WorkerServer, metric: str, wanted: float) -> None:
    """Until a scrape shows what the workers have counted; their last writing may lie a moment back."""
    deadline = time.monotonic() + 30
    while (shown := total(server.scrape(), metric)) != wanted:
        assert shown <= wanted
        assert time.monotonic() < deadline, f"{metric} is {shown}, not {wanted}"
        time.sleep(0.02)


def call_both_workers(server: WorkerServer) -> tuple[set[int], int]:
    """Call until both workers have answered: their process ids, and the number of calls."""
    deadline = time.monotonic() + 30
    pids: set[int] = set()
    calls = 0
    while len(pids) < 2:
        assert time.monotonic() < deadline, "one of the workers gets all the calls"
        pids.add(server.call("/ok")[0])
        calls += 1
    return pids, calls


def open_one(server: WorkerServer) -> tuple[int, int]:
    """Fail until a worker's circuit is open: its process id, and the number of calls that failed."""
    for failed in range(1, 7):
        pid, state = server.call("/fail")
        if state == "open":
            return pid, failed
    raise AssertionError("six failures over two workers, and none has seen three")


def test_any_worker_shows_the_calls_of_all(server: WorkerServer) -> None:
    _, calls = call_both_workers(server)
    wait_for_total(server, "successful_calls_total", calls)


def test_killed_worker_leaves_its_counters_and_no_open_circuit(server: WorkerServer) -> None:
    _, succeeded = call_both_workers(server)
    pid, failed = open_one(server)
    wait_for_total(server, "failed_calls_total", failed)
    wait_for_total(server, "successful_calls_total", succeeded)
    samples = server.scrape()
    assert (value(samples, "state", name="db"), value(samples, "workers", name="db", state="open")) == (1, 1)

    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while True:
        samples = server.scrape()
        assert total(samples, "failed_calls_total") == failed
        assert total(samples, "successful_calls_total") == succeeded
        if total(samples, "state") == 0:
            break
        assert time.monotonic() < deadline, "a dead worker's circuit is still shown as open"
        time.sleep(0.02)
    assert value(samples, "workers", name="db", state="open") == 0

    _, more = call_both_workers(server)
    wait_for_total(server, "successful_calls_total", succeeded + more)


def test_restart_of_the_server_goes_on_counting(server: WorkerServer) -> None:
    _, succeeded = call_both_workers(server)
    _, failed = open_one(server)
    server.restart()
    samples = server.scrape()
    assert total(samples, "successful_calls_total") == succeeded
    assert total(samples, "failed_calls_total") == failed
    assert total(samples, "state") == 0


def test_calls_made_before_the_fork_are_counted_once() -> None:
    with Gunicorn(warm_up=True) as server:
        _, calls = call_both_workers(server)
        wait_for_total(server, "successful_calls_total", 1 + calls)


def test_supervisor_that_makes_no_calls_is_no_worker() -> None:
    with Gunicorn() as server:
        call_both_workers(server)
        deadline = time.monotonic() + 30
        while (closed := value(server.scrape(), "workers", name="db", state="closed")) != 2:
            assert closed < 2
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_reload_of_gunicorn_loses_no_call() -> None:
    with Gunicorn() as server:
        before, calls = call_both_workers(server)
        os.kill(server.pid, signal.SIGHUP)
        deadline = time.monotonic() + 30
        while server.call("/ok")[0] in before or any(map(is_running, before)):
            calls += 1
            assert time.monotonic() < deadline, "gunicorn has not replaced its workers"
        wait_for_total(server, "successful_calls_total", calls + 1)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.usefixtures("prometheus_program")
def test_prometheus_sees_no_reset_and_no_stale_state_when_a_worker_is_killed(server: WorkerServer) -> None:
    with Prometheus.scraping(f"127.0.0.1:{server.port}") as prometheus:
        _, succeeded = call_both_workers(server)
        pid, failed = open_one(server)
        prometheus.wait_for("recloser_circuit_breaker_failed_calls_total", failed)
        prometheus.wait_for("recloser_circuit_breaker_successful_calls_total", succeeded)
        prometheus.wait_for('recloser_circuit_breaker_workers{state="open"}', 1)
        os.kill(pid, signal.SIGKILL)
        prometheus.wait_for('recloser_circuit_breaker_workers{state="open"}', 0)
        _, more = call_both_workers(server)
        prometheus.wait_for("recloser_circuit_breaker_successful_calls_total", succeeded + more)
        for counter in ("calls", "failed_calls", "state_seconds", "state_transitions"):
            assert prometheus.value(f"sum(resets(recloser_circuit_breaker_{counter}_total[5m]))") == 0
