"""Settings for the dependencies everybody has. Each function takes overrides: `http_api(open_for=5)`."""

from __future__ import annotations

from typing import Any

from recloser.settings import Settings


def _preset(overrides: dict[str, Any], **values: Any) -> Settings:
    return Settings(**values).replace(**overrides)


def http_api(**overrides: Any) -> Settings:
    """A partner's HTTP API: 5 failures open it for 30 s; 2 successes of at most 3 probes at once close it."""
    return _preset(overrides, failure_threshold=5, open_for=30.0, success_threshold=2, half_open_max_calls=3)


def llm_service(**overrides: Any) -> Settings:
    """A model provider: 3 failures open it for 120 s; 2 successes of at most 2 probes at once close it."""
    return _preset(overrides, failure_threshold=3, open_for=120.0, success_threshold=2, half_open_max_calls=2)


def database(**overrides: Any) -> Settings:
    """A database: 10 failures open it for 10 s; 3 successes of at most 5 probes at once close it."""
    return _preset(overrides, failure_threshold=10, open_for=10.0, success_threshold=3, half_open_max_calls=5)


def notifications(**overrides: Any) -> Settings:
    """Slack, mail, paging: 10 failures open it for 60 s; 2 successes of at most 3 probes at once close it."""
    return _preset(overrides, failure_threshold=10, open_for=60.0, success_threshold=2, half_open_max_calls=3)


def cache(**overrides: Any) -> Settings:
    """A cache: 8 failures open it for 20 s; 3 successes of at most 4 probes at once close it."""
    return _preset(overrides, failure_threshold=8, open_for=20.0, success_threshold=3, half_open_max_calls=4)


PRESETS = {
    "http_api": http_api,
    "llm_service": llm_service,
    "database": database,
    "notifications": notifications,
    "cache": cache,
}
"""The presets by name, as configuration files refer to them."""
