"""The application, composed here and nowhere else."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from incident_manager.api import alerts, circuit_breakers, health, incidents, ingest
from incident_manager.api.errors import install_error_handlers
from incident_manager.api.limits import BodyLimit
from incident_manager.api.openapi import install_openapi
from incident_manager.api.origin import OwnOriginOnly
from incident_manager.api.services import Services
from incident_manager.cache.reads import Reads
from incident_manager.cache.valkey import ValkeyCache
from incident_manager.domain.errors import IncidentManagerError
from incident_manager.notify.dispatcher import Dispatcher
from incident_manager.notify.factory import build_destinations, build_policy, build_router
from incident_manager.pipeline.actions import IncidentActions
from incident_manager.pipeline.intake import AlertIntake
from incident_manager.pipeline.metrics import JournalCollector
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.protection import CACHE, DATABASE, breaker_table, build_registry
from incident_manager.settings import Settings
from incident_manager.store.database import Store
from incident_manager.store.journal import Journal
from incident_manager.store.opening import Opening
from incident_manager.store.postgres import Connections
from recloser import Clock, ControlChanged, Registry, StateChanged, SystemClock
from recloser.telemetry.prometheus import BreakerCollector

logger = logging.getLogger(__name__)

METRICS_PREFIX = "llm_incident_manager_"
MAX_BODY_BYTES = 4 * 1024 * 1024
BODY_TIMEOUT = 30.0
"""Seconds until the last byte of a request's body has arrived."""

DESCRIPTION = """
Turns alerts from monitoring and LLM systems into deduplicated incidents and notifies people, whatever is failing.

Every error answer is `{"error": {"code", "message", "field"?}}`. A 503 carries `Retry-After`.
"""


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
                yield
        except IncidentManagerError as error:
            app.state.start_error = error
            raise

    app = FastAPI(title="LLM Incident Manager", version=health.VERSION, description=DESCRIPTION, lifespan=lifespan)
    for module in (alerts, ingest, incidents, circuit_breakers, health):
        app.include_router(module.router)
    install_error_handlers(app)
    install_openapi(app)
    app.add_middleware(OwnOriginOnly)
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES, timeout=BODY_TIMEOUT)
    return app


@asynccontextmanager
async def _running(settings: Settings, clock: Clock) -> AsyncIterator[Services]:
    """Everything that runs, started in the order in which one part needs the other, and stopped in reverse."""
    cached = settings.cache_url is not None
    registry = build_registry(breaker_table(settings.destinations, settings.breakers, cache=cached), clock)
    registry.add_listener(_log_change, (StateChanged, ControlChanged))
    metrics = CollectorRegistry()
    BreakerCollector(registry, METRICS_PREFIX, register=metrics)
    connections = Connections(**settings.database.model_dump())
    cache = _cache(settings, registry)
    reads = Reads(cache, settings.cache.ttl, clock)
    store = Store(settings.store_url, registry[DATABASE], connections=connections, on_commit=reads.written)
    limits = settings.journal
    journal = Journal(settings.journal_path, max_alerts=limits.max_alerts, max_bytes=limits.max_bytes, clock=clock)
    metrics.register(JournalCollector(journal, METRICS_PREFIX))
    opening = Opening(store)
    await opening.start()
    if not settings.destinations:
        logger.warning("no destination is set: incidents are kept, and nobody is told of them")
    try:
        destinations = build_destinations(settings, registry, clock)
        dispatcher = Dispatcher(store.outbox, destinations, clock=clock, policy=build_policy(settings.dispatcher))
        router = build_router(settings)
        await journal.open()
        pipeline = AlertPipeline(store, router, clock, on_enqueued=dispatcher.wake)
        intake = AlertIntake(pipeline, journal, limits.patience)
        await dispatcher.start()
        await intake.start()
        try:
            yield Services(
                clock=clock,
                registry=registry,
                metrics=metrics,
                store=store,
                reads=reads,
                journal=journal,
                intake=intake,
                dispatcher=dispatcher,
                actions=IncidentActions(store, router, clock, on_enqueued=dispatcher.wake),
            )
        finally:
            await intake.stop()
            await dispatcher.stop()
    finally:
        await journal.close()
        await opening.stop()
        await store.close()
        if cache is not None:
            await cache.close()


def _cache(settings: Settings, registry: Registry) -> ValkeyCache | None:
    if settings.cache_url is None:
        return None
    limits = settings.cache
    url = settings.cache_url.get_secret_value()
    return ValkeyCache(url, registry[CACHE], timeout=limits.timeout, ttl=limits.ttl, keep=limits.keep)


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
