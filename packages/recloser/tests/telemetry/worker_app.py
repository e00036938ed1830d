"""An application for servers with several workers, WSGI (`wsgi`) and ASGI (`asgi`).

`/ok` and `/fail` make a call through the breaker `db` and answer with the worker's process id and the state of its
breaker; `/metrics` shows the breakers of all workers. The environment names the directory (`BREAKERS`).
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, make_asgi_app, make_wsgi_app

from recloser import CircuitOpenError, Registry, Settings
from recloser.telemetry.multiprocess import Workers
from recloser.telemetry.prometheus import BreakerCollector

registry = Registry(Settings(failure_threshold=3, open_for=3_600))
db = registry.get_or_create("db")
prometheus = CollectorRegistry()
BreakerCollector(Workers(registry, os.environ["BREAKERS"], interval=0.05), register=prometheus)

if os.environ.get("WARM_UP"):
    db.call(str)

_wsgi_metrics = make_wsgi_app(prometheus)
_asgi_metrics = make_asgi_app(prometheus)


def answer(path: str) -> bytes:
    """Make the call that the path asks for."""
    try:
        permit = db.acquire()
    except CircuitOpenError:
        pass
    else:
        permit.failure() if path == "/fail" else permit.success()
    return f"{os.getpid()} {db.state}".encode()


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application for gunicorn."""
    if environ["PATH_INFO"] == "/metrics":
        return _wsgi_metrics(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer(environ["PATH_INFO"])]


async def asgi(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """The application for uvicorn."""
    if scope["type"] != "http":
        return
    if scope["path"] == "/metrics":
        await _asgi_metrics(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": answer(scope["path"])})
