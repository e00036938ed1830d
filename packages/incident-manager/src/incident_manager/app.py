"""The application, composed here and nowhere else."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from incident_manager.access.audit_trail import AuditTrail
from incident_manager.access.factory import build_access
from incident_manager.access.roles import Role
from incident_manager.api import (
    alerts,
    audit,
    circuit_breakers,
    cloudevents,
    health,
    incidents,
    ingest,
    pagerduty,
    sentinel,
    stream,
    tokens,
)
from incident_manager.api.authentication import Authentication
from incident_manager.api.errors import install_error_handlers
from incident_manager.api.limits import BodyLimit
from incident_manager.api.openapi import install_openapi
from incident_manager.api.origin import OwnOriginOnly
from incident_manager.api.request_id import RequestId
from incident_manager.api.route import AllowedMethods, strangers_of
from incident_manager.api.services import Services
from incident_manager.domain.errors import IncidentManagerError
from incident_manager.llm.factory import build_assessors, build_services
from incident_manager.notify.dispatcher import Dispatcher
from incident_manager.notify.factory import build_destinations, build_policy, build_router
from incident_manager.pipeline.actions import IncidentActions
from incident_manager.pipeline.assess import AssessmentPolicy, AssessmentWorker
from incident_manager.pipeline.expire import Expiry
from incident_manager.pipeline.plan import AssessmentPlan
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.pipeline.self_monitoring import SelfMonitoring
from incident_manager.protection import DATABASE, breaker_table, build_registry
from incident_manager.settings import Settings
from incident_manager.store.database import Store
from incident_manager.store.sweep import IdempotencySweep
from incident_manager.stream.hub import StreamHub
from recloser import Clock, ControlChanged, StateChanged, SystemClock
from recloser.telemetry.prometheus import BreakerCollector

logger = logging.getLogger(__name__)

METRICS_PREFIX = "llm_incident_manager_"
MAX_BODY_BYTES = 4 * 1024 * 1024
BODY_TIMEOUT = 30.0
"""Seconds until the last byte of a request's body has arrived."""

DESCRIPTION = """
Turns alerts from monitoring and LLM systems into deduplicated incidents and notifies people, whatever is failing.

Every error answer is `{"error": {"code", "message", "field"?, "request_id"?}}`. A 429 and a 503 carry `Retry-After`.
Every answer carries `X-Request-Id`: the one the caller gave, or a new one.
"""

ROUTERS = (
    alerts,
    ingest,
    pagerduty,
    cloudevents,
    sentinel,
    incidents,
    circuit_breakers,
    stream,
    audit,
    tokens,
    health,
)


def create_app(settings: Settings, *, clock: Clock | None = None) -> FastAPI:
    """The application. It opens its database and starts notifying when it is started, not here.

    Args:
        settings: What `load_settings` returned.
        clock: Time, for everything in it; the system's by default.
    """
    time = clock or SystemClock()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with _running(settings, time) as services:
                app.state.services = services
                app.state.end_streams = services.stream.end
                yield
        except IncidentManagerError as error:
            app.state.start_error = error
            raise

    app = FastAPI(title="LLM Incident Manager", version=health.VERSION, description=DESCRIPTION, lifespan=lifespan)
    for module in ROUTERS:
        app.include_router(module.router)
    strangers = strangers_of(module.router for module in ROUTERS)
    strangers |= dict.fromkeys(("/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"), frozenset[Role]())
    if settings.access.metrics == "open":
        strangers["/metrics"] = frozenset({Role.READ})
    app.state.allowed_methods = AllowedMethods(module.router for module in ROUTERS)
    install_error_handlers(app)
    install_openapi(app)
    # The last one added sees a request first.
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES, timeout=BODY_TIMEOUT)
    app.add_middleware(Authentication, strangers=strangers)
    app.add_middleware(OwnOriginOnly)
    app.add_middleware(RequestId)
    return app


@asynccontextmanager
async def _running(settings: Settings, clock: Clock) -> AsyncIterator[Services]:
    """Everything that runs, started in the order in which one part needs the other, and stopped in reverse."""
    registry = build_registry(breaker_table(settings.destinations, settings.breakers, settings.services.present), clock)
    registry.add_listener(_log_change, (StateChanged, ControlChanged))
    metrics = CollectorRegistry()
    BreakerCollector(registry, METRICS_PREFIX, register=metrics)
    store = Store(settings.store_url, registry[DATABASE])
    llm = build_services(settings.services, registry, clock)
    assessors = build_assessors(llm, settings.services, settings.assessment)
    await store.start()
    if not settings.destinations:
        logger.warning("no destination is set: incidents are kept, and nobody is told of them")
    access = build_access(settings, store, clock)
    audit_trail = AuditTrail(store)
    hub = StreamHub(store, registry, clock, max_clients=settings.access.max_streams)
    sweep = IdempotencySweep(store, clock)
    try:
        await access.directory.start()
        access.check_exposure()
        for part in (audit_trail, hub, sweep):
            await part.start()
        destinations = build_destinations(settings, registry, clock)
        dispatcher = Dispatcher(store.outbox, destinations, clock=clock, policy=build_policy(settings.dispatcher))
        router = build_router(settings)
        plan = AssessmentPlan.of(assessors, settings.assessment.hold)
        how = settings.assessment
        policy = AssessmentPolicy(patience=how.patience, give_up_after=how.give_up_after)
        assessment = AssessmentWorker(store, assessors, router, clock, on_enqueued=dispatcher.wake, policy=policy)

        def changed() -> None:
            dispatcher.wake()
            assessment.wake()

        pipeline = AlertPipeline(store, router, clock, on_enqueued=changed, plan=plan)
        own = settings.self_monitoring
        monitoring = SelfMonitoring(registry, pipeline.accept, clock, after=own.open_longer_than, severity=own.severity)
        await dispatcher.start()
        expiry = Expiry(
            store, router, clock, grace=settings.ingest.resolve_timeout, on_enqueued=dispatcher.wake, plan=plan
        )
        expiry.start()
        await assessment.start()
        if own.enabled:
            await monitoring.start()
        try:
            yield Services(
                clock=clock,
                registry=registry,
                metrics=metrics,
                store=store,
                pipeline=pipeline,
                dispatcher=dispatcher,
                actions=IncidentActions(store, router, clock, on_enqueued=changed, plan=plan),
                ingest=settings.ingest,
                access=access,
                audit=audit_trail,
                stream=hub,
            )
        finally:
            await monitoring.stop()
            await assessment.stop()
            await expiry.stop()
            await dispatcher.stop()
    finally:
        await llm.close()
        for stopping in (sweep, hub, audit_trail, access.directory):
            await stopping.stop()
        await store.close()


def _log_change(event: Any) -> None:
    """Tell the log what became of a circuit."""
    if isinstance(event, StateChanged):
        why = f"{event.reason}: {event.detail}" if event.detail else event.reason
        logger.warning("circuit %s: %s -> %s (%s)", event.breaker, event.from_state, event.to_state, why)
    elif isinstance(event, ControlChanged):
        logger.warning(
            "circuit %s: %s -> %s by an operator (%s)",
            event.breaker,
            event.from_control,
            event.to_control,
            event.reason,
        )
