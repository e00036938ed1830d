"""httpx and httpx2: the transport that a client chooses for a request is put behind a breaker."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from recloser.instrumentation.dependencies import Dependencies
from recloser.instrumentation.patches import Patches
from recloser.integrations import _httpx as common
from recloser.integrations._http import host_key

sdk_policy: ContextVar[common.Policy | None] = ContextVar("recloser_sdk_policy", default=None)
"""What decides about the requests of the SDK that is making a call: they are no business of the client inside."""


def patch_httpx(patches: Patches, dependencies: Dependencies) -> None:
    """Patch httpx."""
    import httpx

    from recloser.integrations import httpx as skin

    _patch(httpx, skin, patches, dependencies)


def patch_httpx2(patches: Patches, dependencies: Dependencies) -> None:
    """Patch httpx2."""
    import httpx2

    from recloser.integrations import httpx2 as skin

    _patch(httpx2, skin, patches, dependencies)


def _patch(client: ModuleType, skin: Any, patches: Patches, dependencies: Dependencies) -> None:
    policies = _Policies(client.__name__, skin.BreakerTransport.names, dependencies)
    # In-process stand-ins are no dependencies.
    untouched = (common.Transport, client.MockTransport, client.ASGITransport, client.WSGITransport)
    for kind, transport in (
        (client.Client, skin.BreakerTransport),
        (client.AsyncClient, skin.AsyncBreakerTransport),
    ):
        choose = _choosing(kind._transport_for_url, transport, policies, untouched)
        patches.replace(kind, "_transport_for_url", choose)


class _Policies:
    """The policies of plain HTTP, one per patience: a client's own read timeout decides whose fault a timeout is."""

    def __init__(self, name: str, names: common.Names, dependencies: Dependencies) -> None:
        self._name = name
        self._names = names
        self._dependencies = dependencies
        self._options = dependencies.options("http", common.host_of)
        self._by_patience: dict[float | None, common.Policy] = {}

    def of(self, client: Any, url: Any) -> common.Policy | None:
        """The policy of a request; None when it is left alone."""
        if not self._dependencies.active:
            return None
        policy = sdk_policy.get()
        if policy is not None:
            return policy
        key = host_key(url.scheme, url.host, url.port)
        if not (self._dependencies.wants_client(self._name) and self._dependencies.wants("http", key)):
            return None
        patience = common.read_timeout_of(client)
        policy = self._by_patience.get(patience)
        if policy is None:
            policy = common.make_policy(self._names, patience, **self._options)
            self._by_patience[patience] = policy
        return policy


def _choosing(
    original: Callable[..., Any], transport: Any, policies: _Policies, untouched: tuple[type, ...]
) -> Callable[..., Any]:
    def _transport_for_url(self: Any, url: Any) -> Any:
        chosen = original(self, url)
        if isinstance(chosen, untouched):
            return chosen
        policy = policies.of(self, url)
        return chosen if policy is None else transport.around(chosen, policy)

    return _transport_for_url
