"""aiohttp: each request of a session gets one more middleware, the last."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from recloser.instrumentation.dependencies import Dependencies
from recloser.instrumentation.patches import Patches
from recloser.integrations.aiohttp import BreakerMiddleware, host_of


def patch(patches: Patches, dependencies: Dependencies) -> None:
    """Patch aiohttp.

    Raises:
        RuntimeError: It is too old to have middlewares.
    """
    session: Any = aiohttp.ClientSession
    original = session._request
    if "middlewares" not in inspect.signature(original).parameters:
        raise RuntimeError(f"aiohttp {aiohttp.__version__} has no client middlewares: 3.12 or newer is needed")
    protect = BreakerMiddleware(**dependencies.options("http", host_of))

    traced = _Traced(protect.trace_config)
    patches.on_undo(traced.undo)

    async def protect_wanted(
        request: aiohttp.ClientRequest,
        handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        wanted = dependencies.wants("http", host_of(request))
        return await (protect(request, handler) if wanted else handler(request))

    async def _request(self: Any, *args: Any, middlewares: Any = None, **kwargs: Any) -> aiohttp.ClientResponse:
        chosen = self._middlewares if middlewares is None else middlewares
        if not any(isinstance(middleware, BreakerMiddleware) for middleware in chosen):
            chosen = (*chosen, protect_wanted)
            traced.add(self)
        response: aiohttp.ClientResponse = await original(self, *args, middlewares=chosen, **kwargs)
        return response

    patches.replace(session, "_request", _request)


class _Traced:
    """The sessions that tell when a request waits for a connection of a full pool."""

    def __init__(self, config: aiohttp.TraceConfig) -> None:
        config.freeze()
        self._config = config
        self._sessions: weakref.WeakSet[aiohttp.ClientSession] = weakref.WeakSet()

    def add(self, session: aiohttp.ClientSession) -> None:
        """A session that is about to make a request; several may have one list in common."""
        if self._config not in session.trace_configs:
            session.trace_configs.append(self._config)
            self._sessions.add(session)

    def undo(self) -> None:
        """Take it away from all sessions."""
        for session in list(self._sessions):
            if self._config in session.trace_configs:
                session.trace_configs.remove(self._config)
