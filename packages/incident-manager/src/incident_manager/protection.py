"""Every circuit breaker the service has, in one table."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from incident_manager.llm.classify import classify_answer
from incident_manager.notify.classify import classify_delivery
from recloser import Clock, CountWindow, Registry, Settings, SettingsError, TimeWindow, presets

DATABASE = "database"
"""The breaker of the store."""

CACHE = "cache"
"""The breaker of the cache, if there is one."""

_PRESETS = {
    "cache": presets.cache,
    "database": presets.database,
    "http_api": presets.http_api,
    "llm_service": presets.llm_service,
    "notifications": presets.notifications,
}
_OVERRIDABLE = (
    "failure_threshold",
    "failure_rate_threshold",
    "slow_call_duration",
    "slow_call_rate_threshold",
    "minimum_calls",
    "open_for",
    "half_open_max_calls",
    "success_threshold",
    "half_open_timeout",
    "max_retry_after",
)


class UnknownBreakerNameError(ValueError):
    """Settings name a breaker that the service does not have.

    Attributes:
        name: The name that was given.
        rule: Which names there are, nearest first.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = list(known)
        self.name = name
        self.rule = f"no such breaker{_did_you_mean(name, names)}; there are: {', '.join(names)}"
        super().__init__(f"{name!r}: {self.rule}")


def notify_breaker(destination: str) -> str:
    """Name of the breaker of a destination."""
    return f"notify:{destination}"


def service_breaker(service: str) -> str:
    """Name of the breaker of an LLM-ops service."""
    return f"{service}-llm"


def breaker_table(
    destinations: Iterable[str],
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    services: Iterable[str] = (),
    *,
    cache: bool = False,
) -> dict[str, Settings]:
    """The settings of each breaker, by name.

    Args:
        destinations: Names of the destinations.
        overrides: From the settings file: `{breaker: {setting: value}}`. A `preset` is taken first, `window` is
            `{calls: n}` or `{seconds: s}`.
        services: Names of the LLM-ops services that are set.
        cache: Whether there is a cache.

    Raises:
        UnknownBreakerNameError: There is no such breaker.
        recloser.SettingsError: A value was refused; its `field` is the key below the breaker's name.
    """
    table = {DATABASE: presets.database()}
    if cache:
        table[CACHE] = presets.cache()
    for destination in destinations:
        # One success closes it: the second may be the next incident, days away, and a breaker that waits for it in
        # half-open would open again meanwhile.
        table[notify_breaker(destination)] = presets.notifications(success_threshold=1, classify=classify_delivery)
    for service in services:
        table[service_breaker(service)] = presets.llm_service(classify=classify_answer)
    for name, changes in (overrides or {}).items():
        if name not in table:
            raise UnknownBreakerNameError(name, table)
        table[name] = _override(table[name], changes)
    return table


def build_registry(table: Mapping[str, Settings], clock: Clock) -> Registry:
    """A registry with one breaker per row of the table."""
    registry = Registry(clock=clock)
    for name, settings in table.items():
        registry.get_or_create(name, settings)
    return registry


def _override(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    values = dict(changes)
    if "preset" in values:
        settings = _preset(settings, values.pop("preset"))
    if "window" in values:
        values["window"] = _window(values["window"])
    known = ("preset", "window", *_OVERRIDABLE)
    for name, value in values.items():
        if name not in known:
            raise SettingsError(name, value, f"is not a setting of a breaker{_did_you_mean(name, known)}")
    return settings.replace(**values)


def _preset(settings: Settings, name: object) -> Settings:
    chosen = _PRESETS.get(name) if isinstance(name, str) else None
    if chosen is None:
        raise SettingsError("preset", name, f"must be one of {', '.join(_PRESETS)}")
    preset = chosen()
    # A preset is numbers; what counts as a failure of this dependency stays.
    return settings.replace(**{name: getattr(preset, name) for name in (*_OVERRIDABLE, "window", "recovery")})


def _window(value: Any) -> CountWindow | TimeWindow:
    match value:
        case {"calls": size} if len(value) == 1:
            return CountWindow(size)
        case {"seconds": duration} if len(value) == 1:
            return TimeWindow(duration)
        case _:
            raise SettingsError("window", value, "must be {calls: number} or {seconds: number}")


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    alike = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"; did you mean {alike[0]!r}?" if alike else ""
