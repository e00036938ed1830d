"""Prometheus as the system's packages install it, or the program `PROMETHEUS_BIN`. There is no wheel of it."""

import json
import os
import shutil
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from testing.servers.base import HOST, Server


def prometheus_program(name: str) -> str:
    """`prometheus` or `promtool`. Skips the test where it is not installed, and fails it when `CI` is set."""
    folder = os.environ.get("PROMETHEUS_BIN")
    found = shutil.which(name, path=folder) if folder else shutil.which(name)
    if found is not None:
        return found
    reason = f"{name} is not installed: apt-get install prometheus, or set PROMETHEUS_BIN to the folder that holds it"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class PrometheusServer(Server):
    """A Prometheus server that scrapes some addresses.

    Args:
        targets: `host:port` of each; `/metrics` is scraped.
        rules: A file of alerting and recording rules.
        interval: Seconds between scrapes, and between evaluations of the rules.
    """

    name = "prometheus"

    def __init__(self, *targets: str, rules: str | None = None, interval: float = 0.25) -> None:
        self._program = prometheus_program("prometheus")
        super().__init__()
        self._targets = targets
        self._rules = rules
        self._interval = f"{round(interval * 1000)}ms"

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://{HOST}:{self.port}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query: `metric` (labels) and `value` (time, text) of each series.

        Raises:
            urllib.error.HTTPError: The expression is wrong.
        """
        address = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def value(self, expression: str) -> float | None:
        """The value of a query with one series; None when there is none."""
        found = self.query(expression)
        assert len(found) <= 1, f"{expression} has {len(found)} series"
        return float(found[0]["value"][1]) if found else None

    def wait_for(self, expression: str, wanted: float, *, within: float = 0.0, seconds: float = 30.0) -> float:
        """Ask until the value is `wanted`, give or take `within`; fails after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            value = self.value(expression)
            if value is not None and abs(value - wanted) <= within:
                return value
            assert time.monotonic() < deadline, f"{expression} is {value}, not {wanted} ± {within}"
            time.sleep(0.05)

    def wait_until_absent(self, expression: str, *, seconds: float = 30.0) -> None:
        """Ask until a query has no series; fails after `seconds`."""
        deadline = time.monotonic() + seconds
        while found := self.query(expression):
            assert time.monotonic() < deadline, f"{expression} still is {found}"
            time.sleep(0.05)

    def _prepare(self) -> None:
        config: dict[str, Any] = {
            "global": {"scrape_interval": self._interval, "evaluation_interval": self._interval},
            "scrape_configs": [{"job_name": "test", "static_configs": [{"targets": list(self._targets)}]}],
        }
        if self._rules is not None:
            (self.folder / "rules.yml").write_text(self._rules)
            config["rule_files"] = ["rules.yml"]
        (self.folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML, too

    def _command(self) -> Sequence[str | Path]:
        return [
            self._program,
            "--config.file=prometheus.yml",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={HOST}:{self.port}",
        ]

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"GET /-/ready HTTP/1.0\r\n\r\n")
        with connection.makefile("rb") as stream:
            return b" 200 " in stream.readline()
