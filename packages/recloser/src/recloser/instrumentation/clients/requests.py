"""requests: what an adapter of HTTP sends is put behind a breaker, whichever session it belongs to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from recloser.instrumentation.dependencies import Dependencies
from recloser.instrumentation.patches import Patches
from recloser.integrations import requests as integration
from recloser.integrations._http import Breakers

_protected: ContextVar[bool] = ContextVar("recloser_protected_request", default=False)
"""Whether an adapter around this one has asked a breaker already."""


def patch(patches: Patches, dependencies: Dependencies) -> None:
    """Patch requests."""
    breakers: Breakers[PreparedRequest] = Breakers(
        integration.host_of, **dependencies.options("http", integration.host_of)
    )
    original = HTTPAdapter.send
    around = integration.BreakerAdapter.send

    def send(self: HTTPAdapter, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        if _protected.get() or not dependencies.wants("http", integration.host_of(request)):
            return original(self, request, *args, **kwargs)
        return integration.send(breakers, request, lambda: original(self, request, *args, **kwargs))

    def send_protected(
        self: integration.BreakerAdapter, request: PreparedRequest, *args: Any, **kwargs: Any
    ) -> Response:
        token = _protected.set(True)
        try:
            return around(self, request, *args, **kwargs)
        finally:
            _protected.reset(token)

    patches.replace(HTTPAdapter, "send", send)
    patches.replace(integration.BreakerAdapter, "send", send_protected)
