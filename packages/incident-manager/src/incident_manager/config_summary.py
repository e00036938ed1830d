"""What the settings come to, as tables for people. Shows no secret: of a webhook's URL, the host only."""

from collections.abc import Iterator

from rich.table import Table

from incident_manager.domain.severity import Severity
from incident_manager.protection import breaker_table
from incident_manager.settings import Settings
from recloser import Settings as BreakerSettings


def summary(settings: Settings) -> Iterator[Table]:
    """Where the service listens and keeps its data, who is told what, and how each dependency is guarded."""
    yield _service(settings)
    yield _destinations(settings)
    yield _breakers(settings)


def _service(settings: Settings) -> Table:
    table = Table("setting", "value", title="Service")
    table.add_row("listens on", f"{settings.host}:{settings.port}")
    own = settings.database_url is not None
    table.add_row("database", "as database_url says" if own else f"SQLite in {settings.data_dir.absolute()}")
    table.add_row("journal", str(settings.journal_path.absolute()))
    table.add_row("cache", "none" if settings.cache_url is None else "as cache_url says")
    return table


def _destinations(settings: Settings) -> Table:
    table = Table("destination", "type", "host", "is told of", title="Destinations")
    for name, destination in settings.destinations.items():
        told = sorted(_told(settings, name))
        table.add_row(name, destination.type, destination.host, ", ".join(told) or "[yellow]nothing[/]")
    if not settings.destinations:
        table.add_row("[yellow]none: nobody is notified[/]", "", "", "")
    return table


def _told(settings: Settings, destination: str) -> set[Severity]:
    """The severities of which a destination is told."""
    if settings.routes is None:
        return set(Severity)
    names = {destination} | {name for name, rotation in settings.rotations.items() if destination in rotation.people}
    routes = [
        route
        for route in settings.routes
        if not names.isdisjoint(route.destinations)
        or any(not names.isdisjoint(step.destinations) for step in route.escalation)
    ]
    return {severity for route in routes for severity in route.severities or Severity}


def _breakers(settings: Settings) -> Table:
    table = Table("circuit breaker", "opens on", "stays open", "closes on", title="Circuit breakers")
    services, cached = settings.services.present, settings.cache_url is not None
    for name, breaker in breaker_table(settings.destinations, settings.breakers, services, cache=cached).items():
        closes = f"{breaker.success_threshold} success(es)"
        table.add_row(name, _opens_on(breaker), f"{breaker.open_for:g} s", closes)
    return table


def _opens_on(breaker: BreakerSettings) -> str:
    reasons = []
    if breaker.failure_threshold is not None:
        reasons.append(f"{breaker.failure_threshold} failures in a row")
    if breaker.failure_rate_threshold is not None:
        reasons.append(f"{breaker.failure_rate_threshold:.0%} failures")
    if breaker.slow_call_rate_threshold is not None:
        reasons.append(f"{breaker.slow_call_rate_threshold:.0%} calls slower than {breaker.slow_call_duration:g} s")
    return " or ".join(reasons)
