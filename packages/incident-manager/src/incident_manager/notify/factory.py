"""From settings to what the dispatcher and the pipeline need."""

from __future__ import annotations

from collections.abc import Mapping

from incident_manager.notify.backoff import Backoff
from incident_manager.notify.dispatcher import Destination
from incident_manager.notify.endpoint import HttpEndpoint
from incident_manager.notify.notifier import Notifier
from incident_manager.notify.pacing import DispatchPolicy
from incident_manager.notify.routing import Route, Router
from incident_manager.notify.slack import SlackNotifier
from incident_manager.notify.ssrf import Resolver, resolve
from incident_manager.notify.webhook import WebhookNotifier, decode_secret
from incident_manager.pipeline.router import Step
from incident_manager.protection import notify_breaker
from incident_manager.settings import DestinationSettings, DispatcherSettings, RouteSettings, Settings, SlackDestination
from recloser import Clock, Registry


def build_router(settings: Settings) -> Router:
    """The routes of the settings; without any, every destination is told everything."""
    if settings.routes is None:
        return Router([Route(frozenset(), tuple(settings.destinations))])
    return Router(_route(route) for route in settings.routes)


def _route(route: RouteSettings) -> Route:
    steps = [Step(step.after, name) for step in route.escalation for name in step.destinations]
    return Route(route.severities, route.destinations, route.sources, route.labels, tuple(steps))


def build_policy(settings: DispatcherSettings) -> DispatchPolicy:
    """How deliveries are tried."""
    return DispatchPolicy(
        batch=settings.batch,
        lease=settings.lease,
        send_timeout=settings.send_timeout,
        backoff=Backoff(settings.backoff_base, settings.backoff_max),
        give_up_after=settings.give_up_after,
        poll=settings.poll,
    )


def build_destinations(
    settings: Settings, registry: Registry, clock: Clock, *, resolver: Resolver = resolve
) -> Mapping[str, Destination]:
    """Every destination of the settings, guarded by its breaker of the registry.

    Raises:
        recloser.UnknownBreakerError: The registry was built from other settings.
    """
    return {
        name: Destination(
            notifier=_notifier(destination, settings.dispatcher.send_timeout, clock, resolver),
            breaker=registry[notify_breaker(name)],
            interval=0.0 if destination.max_per_second is None else 1.0 / destination.max_per_second,
        )
        for name, destination in settings.destinations.items()
    }


def _notifier(settings: DestinationSettings, timeout: float, clock: Clock, resolver: Resolver) -> Notifier:
    endpoint = HttpEndpoint(
        settings.url.get_secret_value(),
        allow_private=settings.allow_private,
        timeout=timeout,
        clock=clock,
        resolver=resolver,
    )
    if isinstance(settings, SlackDestination):
        return SlackNotifier(endpoint)
    secret = settings.secret
    return WebhookNotifier(
        endpoint,
        clock=clock,
        key=None if secret is None else decode_secret(secret.get_secret_value()),
        headers={name: value.get_secret_value() for name, value in settings.headers.items()},
    )
