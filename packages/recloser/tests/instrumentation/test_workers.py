"""Servers with worker processes under `recloser run`: each worker has its breakers, its socket and its report."""

import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from packages.recloser.tests.instrumentation.programs import BIN, Programs, closed_port, wait_until

APPLICATION = """
import json, os, requests

def ask():
    outcomes = []
    for _ in range(8):
        try:
            requests.get("http://127.0.0.1:%d/", timeout=5)
        except requests.ConnectionError as error:
            outcomes.append(type(error).__name__)
    return json.dumps([os.getpid(), outcomes]).encode()

def wsgi(environ, start_response):
    start_response("200 OK", [("content-type", "application/json")])
    return [ask()]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": ask()})
"""


def servers(port: int) -> dict[str, list[str]]:
    gunicorn = [str(BIN / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", "2", "--no-control-socket"]
    uvicorn = ["uvicorn", "app:asgi", "--port", str(port), "--workers", "2", "--log-level", "warning"]
    return {
        "gunicorn": [*gunicorn, "app:wsgi"],
        "gunicorn --preload": [*gunicorn, "--preload", "app:wsgi"],
        "uvicorn": [str(BIN / "uvicorn"), *uvicorn[1:]],
        "python -m uvicorn": [sys.executable, "-m", *uvicorn],
    }


@contextmanager
def serving(programs: Programs, name: str, port: int, report: Path) -> Iterator[subprocess.Popen[str]]:
    programs.write("app.py", APPLICATION % closed_port())
    process = programs.start(*servers(port)[name], options=["--report", str(report)], PYTHONPATH=str(programs.folder))
    wait_until(lambda: process.poll() is not None or answers(port), "the server")
    assert process.poll() is None, process.communicate()
    yield process


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def fetch(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as response:
        text: str = response.read().decode()
    return text


@pytest.mark.parametrize("name", servers(0))
def test_each_worker_is_protected_operated_and_reports(programs: Programs, name: str, tmp_path: Path) -> None:
    port, report = closed_port(), tmp_path / "report.jsonl"
    with serving(programs, name, port, report) as process:
        assert fetch(port).count("CircuitOpenConnectionError") >= 3
        rows = wait_until(lambda: workers_with(programs, "open"), "a worker with an open circuit")
        assert process.pid not in [row["pid"] for row in rows]
        worker = rows[0]["pid"]
        done = programs.operate("reset", "http:*", "--reason", "the partner is back", "--pid", str(worker))
        assert done.stdout == f"{worker}: {rows[0]['name']}\n"
        assert [row["state"] for row in programs.breakers() if row["pid"] == worker] == ["closed"]
        process.terminate()
        process.communicate(timeout=60)
    written = programs.reports(report)
    assert worker in [each["pid"] for each in written]
    assert process.pid not in [each["pid"] for each in written]
    assert list(programs.sockets.iterdir()) == []


def workers_with(programs: Programs, state: str) -> list[dict[str, Any]]:
    return [row for row in programs.breakers() if row["state"] == state]
