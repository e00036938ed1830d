"""Reading the catalogue of services from its file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, field_validator

from incident_manager.config_errors import InvalidSettingsError
from incident_manager.config_file import read_config_file
from incident_manager.config_report import Key, Layer, problems_of
from incident_manager.domain.catalog import CatalogService
from incident_manager.settings.section import Section, located

MAX_SERVICES = 10_000


def _web_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(character.isspace() for character in text):
        raise ValueError("must be a http:// or https:// URL with a host")
    return text


Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Link = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(_web_url)]


class ServiceEntry(Section):
    """One service of the file."""

    owner: Words | None = None
    """The team that looks after it."""
    on_call: Words | None = None
    """How that team is reached."""
    tier: Annotated[Words | None, Field(coerce_numbers_to_str=True)] = None
    """How much depends on it."""
    runbook: Link | None = None
    """URL of what to do."""
    dashboards: Annotated[tuple[Link, ...], Field(max_length=20)] = ()
    """URLs of where to look."""
    depends_on: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    """Names of other services of the file."""
    labels: Annotated[dict[Words, Words], Field(min_length=1, max_length=20)] | None = None
    """What an incident about it has, with `*` for any text; without it the label `service` must be its name."""


class CatalogEntries(Section):
    """The whole file."""

    services: Annotated[dict[Words, ServiceEntry], Field(max_length=MAX_SERVICES)]
    """The services, by name; the first that matches an incident counts."""

    @field_validator("services")
    @classmethod
    def _check_dependencies(cls, value: dict[str, ServiceEntry]) -> dict[str, ServiceEntry]:
        for name, service in value.items():
            for index, other in enumerate(service.depends_on):
                if other not in value:
                    raise located([name, "depends_on", index], other, "must be the name of a service of this file")
        return value


def read_catalog(path: Path) -> list[CatalogService]:
    """Return the services of a YAML or TOML file, in its order.

    Raises:
        InvalidSettingsError: It cannot be read or breaks a rule; the message names all of it, with line and column.
    """
    file = read_config_file(path, os.environ)
    try:
        entries = CatalogEntries.model_validate(file.values)
    except ValidationError as exc:
        problems = problems_of(exc, [Layer(lambda _: str(path), file.values, file.positions)], _known_keys)
    else:
        return [_service(name, entry) for name, entry in entries.services.items()]
    raise InvalidSettingsError(problems)


def _known_keys(path: Sequence[Key]) -> Sequence[str]:
    return list(CatalogEntries.model_fields if not path else ServiceEntry.model_fields)


def _service(name: str, entry: ServiceEntry) -> CatalogService:
    values: dict[str, Any] = {key: getattr(entry, key) for key in ServiceEntry.model_fields if key != "labels"}
    matchers: Mapping[str, str] = entry.labels or {"service": name}
    return CatalogService(name=name, matchers=matchers, **values)
