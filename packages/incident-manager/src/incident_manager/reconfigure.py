"""Which settings can change while the service runs, and how they are taken over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from incident_manager.catalog_file import read_catalog
from incident_manager.config_errors import InvalidSettingsError, Problem
from incident_manager.domain.catalog import Catalog, CatalogService
from incident_manager.domain.grouping import GroupingRules
from incident_manager.log_level import set_log_level
from incident_manager.notify.dispatcher import Dispatcher
from incident_manager.notify.factory import build_destination, build_notifier, build_rotations, build_routes
from incident_manager.notify.notifier import Notifier
from incident_manager.notify.routing import Router
from incident_manager.protection import UnknownBreakerNameError, breaker_table, notify_breaker
from incident_manager.settings import Settings
from incident_manager.settings.load import SettingsSource
from recloser import Clock, Registry, SettingsError
from recloser import Settings as BreakerSettings

logger = logging.getLogger(__name__)

LIVE = frozenset({"breakers", "catalog", "destinations", "grouping", "log_level", "rotations", "routes"})
"""Keys of the settings that are taken over while the service runs; any other one needs a restart."""


@dataclass(frozen=True, kw_only=True)
class LiveParts:
    """What new settings change."""

    registry: Registry
    dispatcher: Dispatcher
    router: Router
    grouping: GroupingRules
    catalog: Catalog
    clock: Clock
    regroup: Callable[[], None]
    """Called after other rules of grouping are in force; it must not block."""


def catalog_of(settings: Settings) -> list[CatalogService]:
    """Return the services of the catalogue; none when there is none.

    Raises:
        InvalidSettingsError: The file cannot be used.
    """
    return [] if settings.catalog is None else read_catalog(settings.catalog.file)


class LiveSettings:
    """The settings in force. Methods are to be called one at a time, in the event loop of the service.

    Args:
        settings: Those of the start.
        source: Where they come from.
        parts: What they change.
        tell: Called with what a person should know after settings were taken: what needs a restart; None for nothing.
    """

    def __init__(
        self,
        settings: Settings,
        source: SettingsSource | None,
        parts: LiveParts,
        tell: Callable[[str | None], None],
    ) -> None:
        self.settings = settings
        self._source = source
        self._parts = parts
        self._tell = tell

    def settings_path(self) -> Path | None:
        """Where the settings file is."""
        return None if self._source is None else self._source.path

    def catalog_path(self) -> Path | None:
        """Where the catalogue is."""
        return None if self.settings.catalog is None else self.settings.catalog.file

    async def take_catalog(self) -> bool:
        """Take the catalogue over; return whether it says anything else than before.

        Raises:
            InvalidSettingsError: It is refused; the services are those of before.
        """
        services = await asyncio.to_thread(catalog_of, self.settings)
        return self._replace_catalog(self.settings, services)

    async def take_settings(self) -> bool:
        """Take the settings over, all that can change while the service runs, and say what cannot.

        Everything that may be refused comes first; from then on nothing is left half-done.

        Returns:
            Whether anything is other than before.

        Raises:
            InvalidSettingsError: They are refused; the settings are those of before.
        """
        if self._source is None:
            return False
        before, source = self.settings, self._source
        given = await asyncio.to_thread(source.load)
        merged = before.model_copy(update={name: getattr(given, name) for name in LIVE})
        services = await asyncio.to_thread(catalog_of, merged)
        table = _table(merged, source)
        notifiers = await self._notifiers(before, merged)
        self._apply(merged, services, table)
        await self._exchange(before, merged, notifiers)
        self.settings = merged
        self._warn(before, given)
        return merged != before

    def _apply(self, merged: Settings, services: list[CatalogService], table: Mapping[str, BreakerSettings]) -> None:
        for name, breaker_settings in table.items():
            breaker = self._parts.registry.get(name)
            if breaker is None:
                self._parts.registry.get_or_create(name, breaker_settings)
            elif breaker.settings != breaker_settings:
                breaker.reconfigure(breaker_settings)
        self._parts.grouping.replace(rule.as_rule() for rule in merged.grouping)
        if merged.grouping != self.settings.grouping:
            self._parts.regroup()
        self._replace_catalog(merged, services)
        if merged.log_level != self.settings.log_level:
            set_log_level(merged.log_level)

    async def _notifiers(self, before: Settings, merged: Settings) -> Mapping[str, Notifier]:
        """Make what sends to the destinations that are new or other than before."""
        made: dict[str, Notifier] = {}
        try:
            for name, destination in merged.destinations.items():
                if before.destinations.get(name) != destination:
                    made[name] = build_notifier(destination, merged.dispatcher.send_timeout, self._parts.clock)
        except Exception:
            for notifier in made.values():
                await notifier.close()
            raise
        return made

    async def _exchange(self, before: Settings, merged: Settings, notifiers: Mapping[str, Notifier]) -> None:
        """Change the destinations. What is new is there before a route leads to it, and what goes leaves after."""
        for name, notifier in notifiers.items():
            breaker = self._parts.registry[notify_breaker(name)]
            await self._parts.dispatcher.put(name, build_destination(merged.destinations[name], notifier, breaker))
        self._parts.router.replace(build_routes(merged), build_rotations(merged))
        for name in before.destinations.keys() - merged.destinations.keys():
            await self._parts.dispatcher.remove(name)
            # Closed first, so that nothing is told for ever of a circuit that is gone.
            self._parts.registry[notify_breaker(name)].reset("its destination was taken out of the settings")
            self._parts.registry.remove(notify_breaker(name))

    def _replace_catalog(self, settings: Settings, services: list[CatalogService]) -> bool:
        by_tier = {} if settings.catalog is None else settings.catalog.severity_by_tier
        return self._parts.catalog.replace(services, by_tier)

    def _warn(self, before: Settings, given: Settings) -> None:
        fixed = [name for name in Settings.model_fields if name not in LIVE]
        waiting = [name for name in fixed if getattr(given, name) != getattr(before, name)]
        if not waiting:
            self._tell(None)
            return
        message = f"changes of {', '.join(waiting)} need a restart and are not in force"
        logger.warning("%s", message)
        self._tell(message)


def _table(settings: Settings, source: SettingsSource) -> Mapping[str, BreakerSettings]:
    """The settings of each breaker, given what cannot change."""
    cached = settings.cache_url is not None
    try:
        return breaker_table(settings.destinations, settings.breakers, settings.services.present, cache=cached)
    except UnknownBreakerNameError as error:
        rule = f"{error}; a service or a cache is new after a restart only"
        raise InvalidSettingsError([Problem(str(source.path), "breakers", rule)]) from None
    except SettingsError as error:  # the settings have been checked, so that this is about what they are merged with
        raise InvalidSettingsError([Problem(str(source.path), "breakers", str(error))]) from None
