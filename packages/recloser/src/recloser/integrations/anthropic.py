"""Circuit breakers for the Anthropic SDK: `protect(client)`. Needs `recloser[anthropic]`."""

from __future__ import annotations

from typing import TypeVar, Unpack

import anthropic

from recloser.integrations import _sdk
from recloser.integrations._llm import Dialect, by_model
from recloser.integrations.options import LlmOptions

__all__ = ["by_model", "protect", "unprotect"]

C = TypeVar("C", bound=anthropic.Anthropic | anthropic.AsyncAnthropic)

DIALECT = Dialect(
    name="anthropic",
    endings={"/messages": frozenset({"message_stop"})},
    prelude=frozenset({"message_start", "content_block_start", "ping"}),
)


def protect(client: C, **options: Unpack[LlmOptions]) -> C:
    """Put a client behind circuit breakers, one per host; the client itself is changed and returned.

    When the circuit is open, the SDK raises its own error for a 503, with the `CircuitOpenError` as its cause, after
    one attempt that sends nothing. Failures are those of HTTP (529 `overloaded_error` among them), `error` events
    and streams without `message_stop`, and answers that are not JSON. 401, 402, 403 and an exhausted credit balance
    open it for `configuration_open_for` seconds; other 4xx are ignored. The time to the first token is the latency.

    Args:
        client: An `Anthropic` or `AsyncAnthropic` client, before its first request.
        options: `breaker`, `key` (see `by_model`), `settings` (default: `presets.llm_service()`), `registry`, `name`,
            `max_breakers`, `count_retries`, `idle_timeout`, `configuration_open_for`; see
            `recloser.integrations.options.LlmOptions`.

    Raises:
        TypeError: It is not such a client.
        ValueError: It is protected already.
        SettingsError: An option was refused.
        DuplicateBreakerError: The breakers of this name exist with other settings.
    """
    return _sdk.protect(client, DIALECT, **options)


def unprotect(client: C) -> C:
    """Undo `protect`; see `recloser.integrations._sdk.unprotect`."""
    return _sdk.unprotect(client)
