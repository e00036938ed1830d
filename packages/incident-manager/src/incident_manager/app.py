"""The application, composed here and nowhere else."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.registry import Collector

from incident_manager.access.audit_trail import AuditTrail
from incident_manager.access.factory import build_access
from incident_manager.access.roles import Role
from incident_manager.api import (
    alerts,
    audit,
    breaker_history,
    circuit_breakers,
    cloudevents,
    compatibility,
    health,
    incidents,
    ingest,
    pagerduty,
    sentinel,
    silences,
    stream,
    tokens,
)
from incident_manager.api.authentication import Authentication
from incident_manager.api.errors import install_error_handlers
from incident_manager.api.limits import BodyLimit
from incident_manager.api.openapi import install_openapi
from incident_manager.api.origin import OwnOriginOnly
from incident_manager.api.request_id import RequestId
from incident_manager.api.request_metrics import RequestMetrics, request_durations
from incident_manager.api.route import AllowedMethods, strangers_of
from incident_manager.api.services import Services
from incident_manager.cache.reads import Reads
from incident_manager.domain.catalog import Catalog
from incident_manager.domain.errors import IncidentManagerError
from incident_manager.domain.grouping import GroupingRules
from incident_manager.history.recorder import BreakerRecorder
from incident_manager.llm.factory import build_assessors, build_services
from incident_manager.metrics.collector import ServiceCollector
from incident_manager.metrics.condition import ConditionReader
from incident_manager.notify.dispatcher import Dispatcher
from incident_manager.notify.factory import build_destinations, build_policy, build_rotations, build_routes
from incident_manager.notify.routing import Router
from incident_manager.pipeline.actions import IncidentActions
from incident_manager.pipeline.assess import AssessmentPolicy, AssessmentWorker
from incident_manager.pipeline.expire import Expiry
from incident_manager.pipeline.grouping_worker import GroupingWorker
from incident_manager.pipeline.intake import AlertIntake
from incident_manager.pipeline.plan import AssessmentPlan
from incident_manager.pipeline.process import AlertPipeline
from incident_manager.pipeline.self_monitoring import SelfMonitoring
from incident_manager.protection import CACHE, DATABASE, breaker_table, build_registry
from incident_manager.reconfigure import LiveParts, LiveSettings, catalog_of
from incident_manager.reload import Reload, Reloadable
from incident_manager.settings import Settings
from incident_manager.settings.load import SettingsSource
from incident_manager.store.database import Store
from incident_manager.store.journal import Journal
from incident_manager.store.opening import Opening
from incident_manager.store.postgres import Connections
from incident_manager.store.sweep import IdempotencySweep, RetentionSweep
from incident_manager.stream.hub import StreamHub
from incident_manager.web.application import WebPages
from incident_manager.web.breakers import breakers_dashboard
from recloser import Clock, ControlChanged, Registry, StateChanged, SystemClock
from recloser.telemetry.prometheus import BreakerCollector

if TYPE_CHECKING:
    from incident_manager.cache.valkey import ValkeyCache

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
    compatibility,
    incidents,
    silences,
    breaker_history,  # before the one that takes any word for a breaker's name
    circuit_breakers,
    stream,
    audit,
    tokens,
    health,
)


def create_app(settings: Settings, *, clock: Clock | None = None, source: SettingsSource | None = None) -> FastAPI:
    """The application. It opens its database and starts notifying when it is started, not here.

    Args:
        settings: What `load_settings` returned.
        clock: Time, for everything in it; the system's by default.
        source: Where the settings came from, to read them again when they change; None never does.
    """
    time = clock or SystemClock()
    durations = request_durations(METRICS_PREFIX)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with _running(settings, time, durations, source) as services:
                app.state.services = services
                app.state.reload = _soon(services.reload.ask)
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
    app.add_middleware(Authentication, strangers=strangers, browsers=("/v1/stream",))
    app.add_middleware(WebPages)
    app.add_middleware(OwnOriginOnly)
    app.add_middleware(RequestId)
    app.add_middleware(RequestMetrics, durations=durations)
    return app


@asynccontextmanager
async def _running(
    settings: Settings, clock: Clock, durations: Histogram, source: SettingsSource | None
) -> AsyncIterator[Services]:
    """Everything that runs, started in the order in which one part needs the other, and stopped in reverse."""
    async with AsyncExitStack() as stack:
        registry = _breakers(settings, clock)
        reads, store, journal = await _storage(stack, settings, registry, clock)
        history = await _started(stack, BreakerRecorder(store, registry, clock))
        access = build_access(settings, store, clock)
        await _started(stack, access.directory)
        access.check_exposure()
        audit_trail = await _started(stack, AuditTrail(store))
        dashboard = breakers_dashboard(registry, audit_trail)
        stack.callback(dashboard.close)
        hub = await _started(stack, StreamHub(store, registry, clock, max_clients=settings.access.max_streams))
        await _started(stack, IdempotencySweep(store, clock))
        await _started(stack, _retention(settings, store, clock))

        by_tier = {} if settings.catalog is None else settings.catalog.severity_by_tier
        catalog = Catalog(catalog_of(settings), by_tier)
        router = Router(build_routes(settings), catalog, build_rotations(settings), clock)
        destinations = build_destinations(settings, registry, clock)
        policy = build_policy(settings.dispatcher)
        dispatcher = Dispatcher(store.outbox, destinations, clock=clock, policy=policy)
        await _started(stack, dispatcher)
        to_wake = [dispatcher.wake]

        def enqueued() -> None:
            for wake in to_wake:
                wake()

        assessment, plan = await _assessment(stack, settings, registry, store, router, clock, catalog, enqueued)
        grouping = await _started(stack, GroupingWorker(store, plan, clock, on_released=dispatcher.wake))
        to_wake.append(grouping.wake)  # it needs the plan, and findings can change what its groups spare people

        def changed() -> None:
            enqueued()
            assessment.wake()

        pipeline = AlertPipeline(store, router, clock, on_enqueued=changed, plan=plan)
        intake = await _started(stack, AlertIntake(pipeline, journal, settings.journal.patience))
        grace = settings.ingest.resolve_timeout
        await _started(stack, Expiry(store, router, clock, grace=grace, on_enqueued=changed, plan=plan))
        await _self_monitoring(stack, settings, registry, intake, clock)
        collector = ServiceCollector(METRICS_PREFIX, intake, dispatcher, assessment, clock)
        parts = LiveParts(
            registry=registry,
            dispatcher=dispatcher,
            router=router,
            grouping=plan.grouping,
            catalog=catalog,
            clock=clock,
            regroup=grouping.rules_changed,
        )
        reload = await _reload(stack, settings, source, parts)
        yield Services(
            clock=clock,
            registry=registry,
            metrics=_metrics(registry, collector, durations),
            collector=collector,
            condition=ConditionReader(registry, store, journal, dispatcher, clock, reload.problems),
            store=store,
            journal=journal,
            reads=reads,
            intake=intake,
            dispatcher=dispatcher,
            actions=IncidentActions(store, router, clock, on_enqueued=changed, plan=plan),
            ingest=settings.ingest,
            catalog=catalog,
            reload=reload,
            access=access,
            audit=audit_trail,
            stream=hub,
            dashboard=dashboard,
            history=history,
        )


class _Part(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


P = TypeVar("P", bound=_Part)


async def _started(stack: AsyncExitStack, part: P) -> P:
    """The part, started, to be stopped in its turn."""
    await part.start()
    stack.push_async_callback(part.stop)
    return part


def _retention(settings: Settings, store: Store, clock: Clock) -> RetentionSweep:
    keep = settings.retention
    return RetentionSweep(
        store, clock, incidents=keep.incident_seconds, audit=keep.audit_seconds, breakers=keep.breaker_seconds
    )


def _breakers(settings: Settings, clock: Clock) -> Registry:
    cached = settings.cache_url is not None
    table = breaker_table(settings.destinations, settings.breakers, settings.services.present, cache=cached)
    registry = build_registry(table, clock)
    registry.add_listener(_log_change, (StateChanged, ControlChanged))
    if not settings.destinations:
        logger.warning("no destination is set: incidents are kept, and nobody is told of them")
    return registry


def _metrics(registry: Registry, *others: Collector) -> CollectorRegistry:
    metrics = CollectorRegistry()
    BreakerCollector(registry, METRICS_PREFIX, register=metrics)
    for collector in others:
        metrics.register(collector)
    return metrics


async def _storage(
    stack: AsyncExitStack, settings: Settings, registry: Registry, clock: Clock
) -> tuple[Reads, Store, Journal]:
    cache = _cache(settings, registry)
    if cache is not None:
        stack.push_async_callback(cache.close)
    reads = Reads(cache, settings.cache.ttl, clock)
    connections = Connections(**settings.database.model_dump())
    store = Store(settings.store_url, registry[DATABASE], connections=connections, on_commit=reads.written)
    stack.push_async_callback(store.close)
    await _started(stack, Opening(store))
    limits = settings.journal
    journal = Journal(settings.journal_path, max_alerts=limits.max_alerts, max_bytes=limits.max_bytes, clock=clock)
    stack.push_async_callback(journal.close)
    await journal.open()
    return reads, store, journal


async def _assessment(
    stack: AsyncExitStack,
    settings: Settings,
    registry: Registry,
    store: Store,
    router: Router,
    clock: Clock,
    catalog: Catalog,
    on_enqueued: Callable[[], None],
) -> tuple[AssessmentWorker, AssessmentPlan]:
    services = build_services(settings.services, registry, clock)
    stack.push_async_callback(services.close)
    how = settings.assessment
    assessors = build_assessors(services, settings.services, how)
    policy = AssessmentPolicy(patience=how.patience, give_up_after=how.give_up_after)
    rules = GroupingRules(rule.as_rule() for rule in settings.grouping)
    plan = AssessmentPlan.of(assessors, how.hold).with_grouping(rules).with_catalog(catalog)
    worker = AssessmentWorker(store, assessors, router, clock, on_enqueued=on_enqueued, plan=plan, policy=policy)
    return await _started(stack, worker), plan


async def _self_monitoring(
    stack: AsyncExitStack, settings: Settings, registry: Registry, intake: AlertIntake, clock: Clock
) -> None:
    own = settings.self_monitoring
    if own.enabled:
        after, severity = own.open_longer_than, own.severity
        await _started(stack, SelfMonitoring(registry, intake.accept, clock, after=after, severity=severity))


async def _reload(stack: AsyncExitStack, settings: Settings, source: SettingsSource | None, parts: LiveParts) -> Reload:
    def tell(problem: str | None) -> None:
        reload.note("settings", problem)

    live = LiveSettings(settings, source, parts, tell)
    files = {
        "settings": Reloadable(live.settings_path, live.take_settings),
        "catalog": Reloadable(live.catalog_path, live.take_catalog),
    }
    reload = Reload(files, every=settings.reload_interval)
    return await _started(stack, reload)


def _soon(call: Callable[[], None]) -> Callable[[], None]:
    """The call, to be made from anywhere, as by a signal handler: it happens in this event loop, if that still runs."""
    loop = asyncio.get_running_loop()

    def soon() -> None:
        try:
            loop.call_soon_threadsafe(call)
        except RuntimeError:
            if not loop.is_closed():  # there is nobody left to ask
                raise

    return soon


def _cache(settings: Settings, registry: Registry) -> "ValkeyCache | None":
    if settings.cache_url is None:
        return None
    from incident_manager.cache.valkey import ValkeyCache  # a client that takes time to import

    limits = settings.cache
    url = settings.cache_url.get_secret_value()
    return ValkeyCache(url, registry[CACHE], timeout=limits.timeout, ttl=limits.ttl, keep=limits.keep)


def _log_change(event: Any) -> None:
    """Tell the log what became of a circuit."""
    if isinstance(event, StateChanged):
        why = f"{event.reason}: {event.detail}" if event.detail else event.reason
        logger.warning("circuit %s: %s -> %s (%s)", event.breaker, event.from_state, event.to_state, _one_line(why))
    elif isinstance(event, ControlChanged):
        logger.warning(
            "circuit %s: %s -> %s by an operator (%s)",
            event.breaker,
            event.from_control,
            event.to_control,
            _one_line(event.reason),
        )


def _one_line(text: str) -> str:
    """The text without what could pass for another line of the log."""
    return "".join(character if character.isprintable() else " " for character in text)
