"""Everything that can be set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from incident_manager.access.exposure import AuthMode
from incident_manager.log_level import LogLevel
from incident_manager.protection import UnknownBreakerNameError, breaker_table
from incident_manager.settings.access import AccessSettings, TokenSettings
from incident_manager.settings.catalog import CatalogSettings
from incident_manager.settings.destinations import DestinationSettings
from incident_manager.settings.grouping import GroupingSettings
from incident_manager.settings.ingest import IngestSettings
from incident_manager.settings.monitoring import SelfMonitoringSettings
from incident_manager.settings.notifications import DispatcherSettings, RouteSettings
from incident_manager.settings.oncall import RotationSettings
from incident_manager.settings.section import Seconds, located
from incident_manager.settings.services import AssessmentSettings, ServicesSettings
from incident_manager.settings.storage import CacheSettings, DatabaseSettings, JournalSettings, RetentionSettings
from recloser import SettingsError

ENV_PREFIX = "INCIDENT_MANAGER_"
"""Of every environment variable that is a setting."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Settings(BaseSettings):
    """Everything that can be set. Made by `load_settings`, or directly in tests: the environment is not read then."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to listen on; 0 takes a free one."""
    data_dir: Path = Path("data")
    """Folder of the embedded database and of the journal."""
    database_url: SecretStr | None = None
    """`sqlite:///...` or `postgresql://...`; None for SQLite in `data_dir`."""
    cache_url: SecretStr | None = None
    """`redis://...` or `rediss://...` of a Redis or Valkey; None for no cache."""
    destinations: dict[str, DestinationSettings] = {}
    """Who can be told, by name."""
    rotations: dict[str, RotationSettings] = {}
    """Who takes turns on call, by name; routes use the name as that of a destination."""
    routes: tuple[RouteSettings, ...] | None = None
    """Who is told what; None tells every destination everything."""
    grouping: tuple[GroupingSettings, ...] = ()
    """Which incidents belong together, and of which of them people are told; the first rule that matches counts."""
    log_level: LogLevel = "info"
    """What the log tells: `debug`, `info`, `warning` or `error`."""
    reload_interval: Seconds | None = 5.0
    """Seconds between two looks whether this file or the catalogue has changed; None: only at SIGHUP."""
    catalog: CatalogSettings | None = None
    """The catalogue of the services that incidents are about; None for none."""
    services: ServicesSettings = ServicesSettings()
    """The LLM-ops services: `sentinel`, `shield`, `edge_agent`, `governance`."""
    assessment: AssessmentSettings = AssessmentSettings()
    """How incidents are assessed with them."""
    breakers: dict[str, dict[str, Any]] = {}
    """Changes to the circuit breakers: `database`, `cache`, `notify:<destination>` and `<service>-llm`."""
    dispatcher: DispatcherSettings = DispatcherSettings()
    ingest: IngestSettings = IngestSettings()
    database: DatabaseSettings = DatabaseSettings()
    journal: JournalSettings = JournalSettings()
    cache: CacheSettings = CacheSettings()
    retention: RetentionSettings = RetentionSettings()
    """How long what is over is kept."""
    self_monitoring: SelfMonitoringSettings = SelfMonitoringSettings()
    """When an open circuit becomes an incident."""
    auth: AuthMode = "auto"
    """Who must show a token: with `tokens` everybody, with `none` nobody; `auto` decides by whether there is one."""
    tokens: dict[str, TokenSettings] = {}
    """Tokens by the name of who holds them; others are kept in the database."""
    access: AccessSettings = AccessSettings()

    @property
    def store_url(self) -> str:
        """URL of the store. May hold a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+aiosqlite:///{(self.data_dir / 'incidents.db').absolute()}"

    @property
    def journal_path(self) -> Path:
        """The file of the journal."""
        return self.journal.path or self.data_dir / "journal.db"

    @field_validator("cache_url")
    @classmethod
    def _check_cache_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("redis://", "rediss://")):
            raise ValueError("must begin with redis:// or rediss://")
        return value

    @field_validator("rotations")
    @classmethod
    def _check_rotations(cls, value: dict[str, RotationSettings], info: ValidationInfo) -> dict[str, RotationSettings]:
        known = info.data.get("destinations")
        for name, rotation in value.items():
            if known is not None and name in known:
                raise located([name], name, "must not be the name of a destination as well")
            for index, person in enumerate(rotation.people):
                if known is not None and person not in known:
                    rule = f"must be the name of a destination; there are: {', '.join(known) or 'none'}"
                    raise located([name, "people", index], person, rule)
        return value

    @field_validator("destinations", "rotations", "tokens")
    @classmethod
    def _check_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not _NAME.fullmatch(name):
                raise located([name], name, "must be 1 to 63 of a-z, 0-9, '.', '_' and '-', not a mark first")
        return value

    @field_validator("routes")
    @classmethod
    def _check_routes(
        cls, value: tuple[RouteSettings, ...] | None, info: ValidationInfo
    ) -> tuple[RouteSettings, ...] | None:
        destinations, rotations = info.data.get("destinations"), info.data.get("rotations")
        known = None if destinations is None or rotations is None else [*destinations, *rotations]
        for index, route in enumerate(value or ()):
            named: list[tuple[list[Any], str]] = [
                ([index, "destinations", position], name) for position, name in enumerate(route.destinations)
            ]
            for number, step in enumerate(route.escalation):
                path = [index, "escalation", number, "destinations"]
                named += [([*path, position], name) for position, name in enumerate(step.destinations)]
            for path, name in named:
                if known is not None and name not in known:
                    there = ", ".join(known) or "none"
                    raise located(path, name, f"must be the name of a destination; there are: {there}")
        return value

    @field_validator("grouping")
    @classmethod
    def _check_grouping(cls, value: tuple[GroupingSettings, ...]) -> tuple[GroupingSettings, ...]:
        names = [rule.name for rule in value]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise located([index, "name"], name, "must be of one rule only")
        return value

    @field_validator("breakers")
    @classmethod
    def _check_breakers(cls, value: dict[str, dict[str, Any]], info: ValidationInfo) -> dict[str, dict[str, Any]]:
        destinations, services = info.data.get("destinations"), info.data.get("services")
        if destinations is None or services is None:
            return value
        for name, changes in value.items():
            try:
                cached = info.data.get("cache_url") is not None
                breaker_table(destinations, {name: changes}, services.present, cache=cached)
            except UnknownBreakerNameError as exc:
                raise located([name], name, exc.rule) from None
            except SettingsError as exc:
                raise located([name, *exc.field.split(".")], exc.value, exc.rule) from None
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed: `load_settings` joins the sources itself, to say where a wrong value came from."""
        return (init_settings,)
