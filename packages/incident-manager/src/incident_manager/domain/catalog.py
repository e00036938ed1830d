"""The services an organisation runs, who looks after them, and which of them an incident is about. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from incident_manager.domain.incident import Incident
from incident_manager.domain.matching import matches, value_of
from incident_manager.domain.severity import Severity

_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogService:
    """One service, as the catalogue says.

    Attributes:
        matchers: What an incident about it has: values of labels or of `source`, with `*` for any text.
        owner: The team that looks after it.
        on_call: How that team is reached.
        tier: How much depends on it, in the words of the organisation.
        runbook: URL of what to do.
        dashboards: URLs of where to look.
        depends_on: Names of other services.
    """

    name: str
    matchers: Mapping[str, str]
    owner: str | None = None
    on_call: str | None = None
    tier: str | None = None
    runbook: str | None = None
    dashboards: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what people are told of it, JSON-ready."""
        shown = asdict(self)
        del shown["matchers"]
        return {**shown, "dashboards": list(self.dashboards), "depends_on": list(self.depends_on)}


@dataclass(frozen=True, slots=True)
class _Index:
    """The services, found by a value they ask for; those that ask for patterns only are looked through."""

    by_value: dict[str, dict[str, list[tuple[int, CatalogService]]]] = field(default_factory=dict)
    others: list[tuple[int, CatalogService]] = field(default_factory=list)

    @classmethod
    def of(cls, services: Iterable[CatalogService]) -> _Index:
        index = cls()
        for numbered in enumerate(services):
            exact = [pair for pair in numbered[1].matchers.items() if not _WILD.intersection(pair[1])]
            if exact:
                [(name, value), *_] = exact
                index.by_value.setdefault(name, {}).setdefault(value, []).append(numbered)
            else:
                index.others.append(numbered)
        return index

    def candidates(self, incident: Incident) -> list[tuple[int, CatalogService]]:
        found = list(self.others)
        for name, by_value in self.by_value.items():
            found += by_value.get(value_of(incident, name), [])
        return sorted(found, key=lambda numbered: numbered[0])


class Catalog:
    """The services; the first that matches an incident is the one it is about.

    Args:
        services: In order.
        severity_by_tier: The severity of an incident about a service of a tier, at least.
    """

    def __init__(
        self, services: Iterable[CatalogService] = (), severity_by_tier: Mapping[str, Severity] | None = None
    ) -> None:
        self._services: tuple[CatalogService, ...] = ()
        self.replace(services, severity_by_tier)

    def replace(
        self, services: Iterable[CatalogService], severity_by_tier: Mapping[str, Severity] | None = None
    ) -> bool:
        """Go by other services from now on; return whether they are other than before."""
        before, self._services = self._services, tuple(services)
        # One assignment: whoever looks meanwhile sees the old ones or the new ones.
        self._known = (_Index.of(self._services), dict(severity_by_tier or {}))
        return before != self._services

    def service_of(self, incident: Incident) -> CatalogService | None:
        """Return the service that an incident is about; None when the catalogue knows none."""
        index, _ = self._known
        found = (service for _, service in index.candidates(incident) if matches(incident, service.matchers))
        return next(found, None)

    def least_severity(self, incident: Incident) -> Severity | None:
        """Return how bad an incident is at least because of the tier of its service; None when nothing says so."""
        _, by_tier = self._known
        service = self.service_of(incident) if by_tier else None
        return None if service is None or service.tier is None else by_tier.get(service.tier)
