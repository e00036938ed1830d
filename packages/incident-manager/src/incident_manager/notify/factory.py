"""From settings to what the dispatcher and the pipeline need."""

from __future__ import annotations

from collections.abc import Mapping

from incident_manager.domain.oncall import Rotation
from incident_manager.notify.backoff import Backoff
from incident_manager.notify.dispatcher import Destination
from incident_manager.notify.email import EmailNotifier
from incident_manager.notify.endpoint import HttpEndpoint
from incident_manager.notify.notifier import Notifier
from incident_manager.notify.pacing import DispatchPolicy
from incident_manager.notify.pagerduty import PagerDutyNotifier
from incident_manager.notify.routing import Route
from incident_manager.notify.slack import SlackNotifier
from incident_manager.notify.slack_api import SlackApiNotifier
from incident_manager.notify.smtp_session import MailServer
from incident_manager.notify.ssrf import Resolver, resolve
from incident_manager.notify.templates import Templates
from incident_manager.notify.webhook import WebhookNotifier, decode_secret
from incident_manager.pipeline.router import Step
from incident_manager.protection import notify_breaker
from incident_manager.settings import (
    DestinationSettings,
    DispatcherSettings,
    EmailDestination,
    HttpDestination,
    PagerDutyDestination,
    RouteSettings,
    Settings,
    SlackApiDestination,
    SlackDestination,
)
from recloser import CircuitBreaker, Clock, Registry


def build_routes(settings: Settings) -> list[Route]:
    """The routes of the settings; without any, every destination is told everything."""
    if settings.routes is None:
        return [Route(frozenset(), tuple(settings.destinations))]
    return [_route(route) for route in settings.routes]


def build_rotations(settings: Settings) -> dict[str, Rotation]:
    """Who takes turns on call, by the name that routes use."""
    return {name: rotation.as_rotation() for name, rotation in settings.rotations.items()}


def _route(route: RouteSettings) -> Route:
    steps = [Step(step.after, name) for step in route.escalation for name in step.destinations]
    return Route(
        route.severities,
        route.destinations,
        sources=route.sources,
        labels=route.labels,
        escalation=tuple(steps),
        owners=route.owners,
        tiers=route.tiers,
    )


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
        name: build_destination(
            destination,
            build_notifier(destination, settings.dispatcher.send_timeout, clock, resolver=resolver),
            registry[notify_breaker(name)],
        )
        for name, destination in settings.destinations.items()
    }


def build_destination(settings: DestinationSettings, notifier: Notifier, breaker: CircuitBreaker) -> Destination:
    """One destination.

    Args:
        settings: Of the destination.
        notifier: What sends to it.
        breaker: What guards it.
    """
    interval = 0.0 if settings.max_per_second is None else 1.0 / settings.max_per_second
    return Destination(notifier=notifier, breaker=breaker, interval=interval, pages=settings.pages)


def build_notifier(
    settings: DestinationSettings, timeout: float, clock: Clock, *, resolver: Resolver = resolve
) -> Notifier:
    """What sends to one destination.

    Args:
        settings: The destination.
        timeout: Seconds for one send.
        clock: Time.
        resolver: Where addresses come from.
    """
    templates = Templates(settings.templates.compiled())
    if isinstance(settings, EmailDestination):
        server = _mail_server(settings, timeout, resolver)
        return EmailNotifier(server, sender=settings.sender, recipients=settings.to, templates=templates)
    endpoint = _endpoint(settings, timeout, clock, resolver)
    match settings:
        case SlackDestination():
            return SlackNotifier(endpoint, templates)
        case SlackApiDestination():
            token = settings.token.get_secret_value()
            return SlackApiNotifier(endpoint, token=token, channel=settings.channel, templates=templates)
        case PagerDutyDestination():
            routing_key = settings.routing_key.get_secret_value()
            return PagerDutyNotifier(endpoint, routing_key=routing_key, templates=templates)
    secret = settings.secret
    return WebhookNotifier(
        endpoint,
        clock=clock,
        key=None if secret is None else decode_secret(secret.get_secret_value()),
        headers={name: value.get_secret_value() for name, value in settings.headers.items()},
        templates=templates,
    )


def _endpoint(settings: HttpDestination, timeout: float, clock: Clock, resolver: Resolver) -> HttpEndpoint:
    return HttpEndpoint(
        settings.url.get_secret_value(),
        allow_private=settings.allow_private,
        timeout=timeout,
        clock=clock,
        resolver=resolver,
    )


def _mail_server(settings: EmailDestination, timeout: float, resolver: Resolver) -> MailServer:
    password = settings.password
    return MailServer(
        host=settings.server,
        port=settings.effective_port,
        starttls=settings.security == "starttls",
        tls=settings.trust(),
        username=settings.username,
        password=None if password is None else password.get_secret_value(),
        allow_private=settings.allow_private,
        timeout=timeout if settings.timeout is None else min(timeout, settings.timeout),
        resolver=resolver,
    )
