"""The service of the demo: the real command in a real process, with its data in a temporary folder."""

import hashlib
import re
import subprocess
import sys
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from incident_manager.demo.receiver import SECRET

DESTINATION = "ops"
BREAKER = f"notify:{DESTINATION}"
OPEN_FOR = 4.0
"""Seconds the circuit stays open in the demo; by default it is a minute."""

_SETTINGS = """
destinations:
  {destination}:
    type: webhook
    url: {url}
    secret: {secret}
    allow_private: true
routes:
  - severities: [P0, P1, P2, P3, P4]
    destinations: [{destination}]
services:
  sentinel:
    url: {sentinel_url}
    dialect: native
breakers:
  "{breaker}":
    failure_threshold: 3
    open_for: {open_for}
  sentinel-llm:
    failure_threshold: 1
    success_threshold: 1
    open_for: {open_for}
"""


class Service(AbstractContextManager["Service"]):
    """``incident-manager serve`` on a free port, and a client of it."""

    def __init__(self, folder: Path, receiver_url: str, sentinel_url: str) -> None:
        self._folder = folder
        self._receiver_url = receiver_url
        self._sentinel_url = sentinel_url
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx2.Client(timeout=10)
        self.url = ""

    def __enter__(self) -> Self:
        settings = self._folder / "settings.yaml"
        values = {"destination": DESTINATION, "breaker": BREAKER, "url": self._receiver_url, "secret": SECRET}
        settings.write_text(_SETTINGS.format(**values, sentinel_url=self._sentinel_url, open_for=OPEN_FOR))
        command = [sys.executable, "-m", "incident_manager", "serve", "--host", "127.0.0.1", "--port", "0"]
        command += ["--data-dir", str(self._folder / "data"), "--config", str(settings)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)

    @property
    def _log(self) -> Path:
        return self._folder / "service.log"

    @property
    def log(self) -> str:
        """All it has printed."""
        return self._log.read_text(errors="replace")

    def has_started(self) -> bool:
        """Whether it listens; then `url` is set."""
        if found := re.search(r"listening on (http://\S+)", self.log):
            self.url = found[1]
        return bool(self.url)

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process is None or self._process.poll() is not None

    def post_alert(self, name: str, instance: str) -> str:
        """Send one alert as Prometheus' Alertmanager does; return the id of its incident."""
        labels = {"alertname": name, "instance": instance, "severity": "critical"}
        alert = {
            "status": "firing",
            "labels": labels,
            "annotations": {"summary": f"{name} on {instance}"},
            "startsAt": datetime.now(UTC).isoformat(),
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example.org/graph",
            "fingerprint": hashlib.sha256(f"{name} {instance}".encode()).hexdigest()[:16],
        }
        payload = {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{name}"}}',
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "incident-manager",
            "groupLabels": {"alertname": name},
            "commonLabels": labels,
            "commonAnnotations": {},
            "externalURL": "http://alertmanager.example.org",
            "alerts": [alert],
        }
        answer = self._client.post(f"{self.url}/v1/ingest/alertmanager", json=payload)
        answer.raise_for_status()
        return str(answer.json()["alerts"][0]["incident_id"])

    def circuit(self) -> dict[str, Any]:
        """The circuit breaker of the destination."""
        return self._get(f"/v1/circuit-breakers/{BREAKER}")

    def incident(self, incident_id: str) -> dict[str, Any]:
        """One incident with its notifications."""
        return self._get(f"/v1/incidents/{incident_id}")

    def _get(self, path: str) -> dict[str, Any]:
        answer = self._client.get(self.url + path)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found
