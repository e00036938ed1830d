"""The SDKs of model providers: a call tells the HTTP client inside that its requests are judged as the SDK's."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

from recloser.instrumentation.clients import httpx as http
from recloser.instrumentation.dependencies import Dependencies
from recloser.instrumentation.patches import Patches
from recloser.integrations import _sdk
from recloser.integrations._httpx import host_of
from recloser.integrations._llm import Dialect, LlmPolicy


def patch_openai(patches: Patches, dependencies: Dependencies) -> None:
    """Patch the OpenAI SDK."""
    from openai import _base_client

    from recloser.integrations.openai import DIALECT

    _patch(_base_client, DIALECT, patches, dependencies)


def patch_anthropic(patches: Patches, dependencies: Dependencies) -> None:
    """Patch the Anthropic SDK."""
    from anthropic import _base_client

    from recloser.integrations.anthropic import DIALECT

    _patch(_base_client, DIALECT, patches, dependencies)


def _patch(base: ModuleType, dialect: Dialect, patches: Patches, dependencies: Dependencies) -> None:
    policies = _Policies(dialect, dependencies)
    for client in (base.SyncAPIClient, base.AsyncAPIClient):
        patches.replace(client, "request", _requesting(client.request, policies))


class _Policies:
    """One policy per SDK client, for as long as it lives."""

    def __init__(self, dialect: Dialect, dependencies: Dependencies) -> None:
        self._dialect = dialect
        self._dependencies = dependencies
        self._options: Any = dependencies.options(dialect.name, host_of)
        self._known: weakref.WeakKeyDictionary[Any, LlmPolicy] = weakref.WeakKeyDictionary()

    def of(self, client: Any) -> LlmPolicy | None:
        """The policy of a client; None when it is left alone."""
        inside = getattr(client, "_client", None)
        if inside is None or not self._dependencies.wants(self._dialect.name, host_of(_Addressed(client))):
            return None
        policy = self._known.get(client)
        if policy is None:
            policy = self._known[client] = _sdk.make_policy(client, self._dialect, **self._options)
        return policy


class _Addressed:
    """The base URL of an SDK client, where a request has its own."""

    def __init__(self, client: Any) -> None:
        self.url = client.base_url


def _requesting(original: Callable[..., Any], policies: _Policies) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(original):

        async def request_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            token = http.sdk_policy.set(policies.of(self))
            try:
                return await original(self, *args, **kwargs)
            except Exception as exc:
                _sdk.name_the_cause(exc)
                raise
            finally:
                http.sdk_policy.reset(token)

        return request_async

    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = http.sdk_policy.set(policies.of(self))
        try:
            return original(self, *args, **kwargs)
        except Exception as exc:
            _sdk.name_the_cause(exc)
            raise
        finally:
            http.sdk_policy.reset(token)

    return request
