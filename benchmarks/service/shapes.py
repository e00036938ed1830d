"""What senders post: alerts of a usual size, in the native format and in that of Alertmanager."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

_NUMBER = "%NUMBER%"


@dataclass(frozen=True)
class Shape:
    """What the requests look like.

    Attributes:
        name: How the tables call it.
        path: Where they go.
        alerts: Alerts in each.
        senders: Connections that send at once.
        one_new_in: Of how many alerts one is of a trouble that nobody reported before; None if all repeat known ones.
    """

    name: str
    path: str
    alerts: int
    senders: int
    one_new_in: int | None = 1

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


KNOWN = 50
"""Troubles that are reported again and again."""

SINGLE = Shape("1 alert a request, each new", "/v1/alerts", alerts=1, senders=64)
REPEATED = Shape(f"1 alert a request, of {KNOWN} known troubles", "/v1/alerts", alerts=1, senders=64, one_new_in=None)
BATCH = Shape("100 alerts a request, each new", "/v1/ingest/alertmanager", alerts=100, senders=8)
MIXED = Shape("1 alert a request, 1 in 20 new", "/v1/alerts", alerts=1, senders=64, one_new_in=20)


def requests(shape: Shape, host: str) -> Iterator[bytes]:
    """HTTP requests without end, ready to be sent. Those of different processes and calls report different troubles."""
    body = _alertmanager(shape.alerts) if shape.path.endswith("alertmanager") else _native
    names = _names(shape.one_new_in)
    while True:
        content = body(names)
        head = f"POST {shape.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        yield f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def _names(one_new_in: int | None) -> Callable[[], str]:
    run, numbers = secrets.token_hex(4), count()

    def name() -> str:
        number = next(numbers)
        new = one_new_in is not None and number % one_new_in == 0
        return f"{run}-{number}" if new else f"known-{number % KNOWN}"

    return name


def _native(names: Callable[[], str]) -> bytes:
    return _NATIVE.replace(_NUMBER, names()).encode()


def _alertmanager(alerts: int) -> Callable[[Callable[[], str]], bytes]:
    def body(names: Callable[[], str]) -> bytes:
        items = ",".join(_ITEM.replace(_NUMBER, names()) for _ in range(alerts))
        return f"{_ENVELOPE}{items}]}}".encode()

    return body


_LABELS = {"alertname": "HighLatency", "instance": _NUMBER, "job": "gateway", "cluster": "eu-1", "severity": "warning"}
_ANNOTATIONS = {
    "summary": f"p99 latency of {_NUMBER} is above 2 s",
    "runbook_url": "https://runbooks.example.org/high-latency",
}
_NATIVE = json.dumps(
    {
        "title": f"p99 latency of {_NUMBER} is above 2 s",
        "description": "The 99th percentile of the last 5 minutes was 2.31 s; the objective is 2 s.",
        "source": "gateway",
        "severity": "P3",
        "labels": _LABELS,
        "annotations": _ANNOTATIONS,
        "starts_at": "2026-11-25T08:00:00.123Z",
        "dedup_key": _NUMBER,
        "generator_url": "https://prometheus.example.org/graph?g0.expr=latency",
    },
)
_ITEM = json.dumps(
    {
        "status": "firing",
        "labels": _LABELS,
        "annotations": {**_ANNOTATIONS, "description": "The 99th percentile of the last 5 minutes was 2.31 s."},
        "startsAt": "2026-11-25T08:00:00.123Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://prometheus.example.org/graph?g0.expr=latency",
        "fingerprint": _NUMBER,
    }
)
_ENVELOPE = (
    '{"version":"4","receiver":"incidents","status":"firing","commonLabels":{},"commonAnnotations":{},"alerts":['
)
