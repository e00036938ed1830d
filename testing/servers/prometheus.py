"""Prometheus, from the system or the folder ``PROMETHEUS_BIN``."""

import json
import os
import signal
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testing.servers.base import HOST, Server
from testing.servers.programs import find_program


def prometheus_binary() -> Path:
    """The program ``prometheus``. Raises ProgramMissingError when it is not there."""
    return find_program("PROMETHEUS_BIN", "prometheus")


def promtool_binary() -> Path:
    """The program ``promtool``. Raises ProgramMissingError when it is not there."""
    return find_program("PROMETHEUS_BIN", "promtool")


class Prometheus(Server):
    """A Prometheus server.

    Args:
        config: Its configuration, as a mapping; written before each start and `reload`, so it may be changed.
        files: Further files beside the configuration, such as rules, by name.
        options: Further arguments of the command.
        port: Port to listen on; a free one when left out.
        start_timeout: Seconds a start may take.
    """

    name = "prometheus"

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        files: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        port: int | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        super().__init__(port=port, start_timeout=start_timeout)
        self.config = dict(config)
        self.files = dict(files or {})
        self.options = list(options)

    @classmethod
    def scraping(cls, *targets: str, rules: str | None = None, interval: float = 0.25) -> "Prometheus":
        """One that scrapes `/metrics` of some addresses.

        Args:
            targets: `host:port` of each.
            rules: A file of alerting and recording rules.
            interval: Seconds between scrapes, and between evaluations of the rules.
        """
        every = f"{round(interval * 1000)}ms"
        config: dict[str, Any] = {
            "global": {"scrape_interval": every, "evaluation_interval": every},
            "scrape_configs": [{"job_name": "test", "static_configs": [{"targets": list(targets)}]}],
        }
        if rules is None:
            return cls(config)
        return cls({**config, "rule_files": ["rules.yml"]}, files={"rules.yml": rules})

    @property
    def url(self) -> str:
        """The address of its API."""
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

    def reload(self) -> None:
        """Have it read its configuration again."""
        self._prepare()
        os.kill(self.pid, signal.SIGHUP)

    def _prepare(self) -> None:
        (self.folder / "prometheus.yml").write_text(json.dumps(self.config))  # YAML, too
        for name, content in self.files.items():
            (self.folder / name).write_text(content)

    def _command(self) -> Sequence[str | Path]:
        return [
            prometheus_binary(),
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--web.listen-address={HOST}:{self.port}",
            *self.options,
        ]

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"GET /-/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.1 200")
