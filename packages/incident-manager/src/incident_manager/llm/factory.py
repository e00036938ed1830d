"""From settings to clients and assessors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from incident_manager.llm import edge_agent, governance, sentinel, shield
from incident_manager.llm.assistant import ModelAssistant
from incident_manager.llm.connection import Connection
from incident_manager.llm.edge_agent import EdgeAgent
from incident_manager.llm.governance import Governance
from incident_manager.llm.jobs import (
    Assessor,
    ComplianceAssessor,
    Predictor,
    SecurityAssessor,
    SeverityAssessor,
    SummaryAssessor,
)
from incident_manager.llm.sentinel import NativeSentinel, Sentinel, ServerSentinel
from incident_manager.llm.shield import Shield
from incident_manager.protection import service_breaker
from incident_manager.settings.services import AssessmentSettings, ServiceSettings, ServicesSettings
from recloser import Clock, Registry


@dataclass(kw_only=True)
class LlmServices:
    """The clients of the services that are set."""

    sentinel: Sentinel | None = None
    shield: Shield | None = None
    edge_agent: EdgeAgent | None = None
    governance: Governance | None = None

    async def close(self) -> None:
        """Close every connection."""
        for client in (self.sentinel, self.shield, self.edge_agent, self.governance):
            if client is not None:
                await client.close()


def build_services(settings: ServicesSettings, registry: Registry, clock: Clock) -> LlmServices:
    """A client for each service of the settings, guarded by its breaker of the registry.

    Raises:
        recloser.UnknownBreakerError: The registry was built from other settings.
    """

    def connect(name: str, service: ServiceSettings) -> Connection:
        return Connection(
            name,
            service.url,
            registry[service_breaker(name)],
            headers=service.auth.headers(),
            connect_timeout=service.connect_timeout,
            timeout=service.timeout,
            verify=service.verify_tls,
            clock=clock,
        )

    clients = LlmServices()
    if settings.sentinel is not None:
        dialect = NativeSentinel if settings.sentinel.dialect == "native" else ServerSentinel
        clients.sentinel = dialect(connect(sentinel.NAME, settings.sentinel))
    if settings.shield is not None:
        clients.shield = Shield(connect(shield.NAME, settings.shield), settings.shield.scanners)
    if (model := settings.edge_agent) is not None:
        clients.edge_agent = EdgeAgent(connect(edge_agent.NAME, model), model.model, max_tokens=model.max_tokens)
    if settings.governance is not None:
        frameworks = settings.governance.frameworks
        clients.governance = Governance(connect(governance.NAME, settings.governance), frameworks)
    return clients


def build_assessors(services: LlmServices, settings: ServicesSettings, how: AssessmentSettings) -> Sequence[Assessor]:
    """Who does each job; jobs that no service is set for are not done."""
    assessors: list[Assessor] = []
    if services.shield is not None:
        assessors.append(SecurityAssessor(services.shield))
    severity = _severity_assessor(services, settings, how)
    if severity is not None:
        assessors.append(severity)
    if services.edge_agent is not None:
        agent = services.edge_agent
        assessors.append(SummaryAssessor(ModelAssistant(agent), edge_agent.NAME, agent.breaker))
    if services.governance is not None and settings.governance is not None:
        assessors.append(ComplianceAssessor(services.governance, settings.governance.frameworks))
    return assessors


def _severity_assessor(
    services: LlmServices, settings: ServicesSettings, how: AssessmentSettings
) -> SeverityAssessor | None:
    predictor: Predictor
    if services.sentinel is not None and how.severity_by != "edge_agent":
        predictor, name, breaker = services.sentinel, sentinel.NAME, services.sentinel.breaker
    elif services.edge_agent is not None:
        predictor, name = ModelAssistant(services.edge_agent), edge_agent.NAME
        breaker = services.edge_agent.breaker
    else:
        return None
    confidence = 0.5 if settings.sentinel is None else settings.sentinel.minimum_confidence
    return SeverityAssessor(
        predictor, name, breaker, critical_services=how.critical_services, minimum_confidence=confidence
    )
