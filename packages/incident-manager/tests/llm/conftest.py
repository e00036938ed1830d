"""The small services, running, and the clients of them, each behind a breaker that opens soon."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime

import pytest

from incident_manager.demo.llm import edge_agent, governance, sentinel, shield
from incident_manager.demo.llm.faults import Fault
from incident_manager.demo.llm.server import ServiceServer
from incident_manager.domain.alert import new_alert
from incident_manager.domain.incident import Incident
from incident_manager.domain.lifecycle import open_from_alert
from incident_manager.llm.classify import classify_answer
from incident_manager.llm.connection import Connection
from incident_manager.llm.edge_agent import EdgeAgent
from incident_manager.llm.governance import Governance
from incident_manager.llm.sentinel import NativeSentinel, ServerSentinel
from incident_manager.llm.shield import Shield
from recloser import CircuitBreaker, presets
from recloser.testing import FakeClock

KEY = "k-1234567890"
NOW = datetime(2026, 1, 31, 10, 5, tzinfo=UTC)

Connect = Callable[[str, ServiceServer], Connection]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def patience(request: pytest.FixtureRequest) -> float:
    """Seconds that a call may take: few when the test is about a service that does not answer."""
    does_not_answer = {Fault.HANG, Fault.SLOW}
    callspec = getattr(request.node, "callspec", None)
    return 0.3 if callspec is not None and callspec.params.get("fault") in does_not_answer else 10.0


@pytest.fixture
async def connect(clock: FakeClock, patience: float) -> AsyncIterator[Connect]:
    """Makes connections to services."""
    async with AsyncExitStack() as stack:

        def make(service: str, server: ServiceServer) -> Connection:
            breaker = CircuitBreaker(f"{service}-llm", presets.llm_service(classify=classify_answer), clock=clock)
            connection = Connection(service, server.url, breaker, headers={"X-API-Key": KEY}, timeout=patience)
            stack.push_async_callback(connection.close)
            return connection

        yield make


SERVICES = {
    "sentinel": sentinel.ROUTES,
    "shield": shield.ROUTES,
    "edge-agent": edge_agent.ROUTES,
    "governance": governance.ROUTES,
}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, ServiceServer]]:
    """The four services, running; starting one takes longer than a test."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(ServiceServer(routes, value=KEY)) for name, routes in SERVICES.items()}


def _healthy(server: ServiceServer) -> ServiceServer:
    server.switch.mend()
    return server


@pytest.fixture
def sentinel_server(servers: dict[str, ServiceServer]) -> ServiceServer:
    return _healthy(servers["sentinel"])


@pytest.fixture
def shield_server(servers: dict[str, ServiceServer]) -> ServiceServer:
    return _healthy(servers["shield"])


@pytest.fixture
def edge_agent_server(servers: dict[str, ServiceServer]) -> ServiceServer:
    return _healthy(servers["edge-agent"])


@pytest.fixture
def governance_server(servers: dict[str, ServiceServer]) -> ServiceServer:
    return _healthy(servers["governance"])


@pytest.fixture
def native_sentinel(connect: Connect, sentinel_server: ServiceServer) -> NativeSentinel:
    return NativeSentinel(connect("sentinel", sentinel_server))


@pytest.fixture
def server_sentinel(connect: Connect, sentinel_server: ServiceServer) -> ServerSentinel:
    return ServerSentinel(connect("sentinel", sentinel_server))


@pytest.fixture
def shield_client(connect: Connect, shield_server: ServiceServer) -> Shield:
    return Shield(connect("shield", shield_server))


@pytest.fixture
def agent(connect: Connect, edge_agent_server: ServiceServer) -> EdgeAgent:
    return EdgeAgent(connect("edge-agent", edge_agent_server), model="small")


@pytest.fixture
def governance_client(connect: Connect, governance_server: ServiceServer) -> Governance:
    return Governance(connect("governance", governance_server), ["GDPR", "SOC2"])


IncidentMaker = Callable[..., Incident]


@pytest.fixture
def make_incident() -> IncidentMaker:
    """Makes an incident of an alert with the given values."""

    def make(title: str = "Errors in checkout", **values: object) -> Incident:
        alert = new_alert(**{"source": "test", "title": title, "received_at": NOW, **values})  # type: ignore[arg-type]
        return open_from_alert(alert)[0]

    return make
