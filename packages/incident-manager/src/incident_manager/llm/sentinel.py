"""Sentinel: anomalies, and what severity they deserve. Two dialects speak for one protocol."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, Field, model_validator

from incident_manager.domain.incident import Incident
from incident_manager.domain.severity import Severity
from incident_manager.llm.connection import Connection
from recloser import CircuitBreaker

NAME = "sentinel"

Word = Literal["critical", "high", "medium", "low", "info"]
Ratio = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """What Sentinel has seen.

    Attributes:
        confidence: 0..1, or None when it does not say.
    """

    id: str
    at: datetime
    severity: Severity
    kind: str
    title: str
    description: str
    source: str
    confidence: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What Sentinel thinks of an incident.

    Attributes:
        confidence: 0..1.
        severity: What it recommends, or None.
    """

    is_anomalous: bool
    confidence: float
    kind: str | None
    severity: Severity | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeverityPrediction:
    """The severity that an incident deserves.

    Attributes:
        confidence: 0..1.
        reasoning: One sentence for people; may be empty.
    """

    severity: Severity
    confidence: float
    reasoning: str


class Sentinel(Protocol):
    """What the incident manager asks of Sentinel.

    Every method raises `LlmServiceError`, or `recloser.CircuitOpenError` when the breaker holds callers off.

    Attributes:
        breaker: What guards it.
    """

    breaker: CircuitBreaker

    async def fetch_alerts(self, limit: int = 10) -> Sequence[Anomaly]:
        """The latest anomalies, `limit` at most."""

    async def analyze(self, incident: Incident) -> Analysis:
        """Whether an incident is an anomaly, and of what kind."""

    async def predict_severity(self, incident: Incident) -> SeverityPrediction | None:
        """The severity an incident deserves; None when Sentinel has no opinion."""

    async def health(self) -> None:
        """Return when it is well."""

    async def close(self) -> None:
        """Close the connections."""


class _NativeAlert(BaseModel):
    id: str
    timestamp: AwareDatetime
    severity: Word
    category: str
    title: str
    description: str
    source: str
    anomaly_score: float | None = None


class _NativeAlerts(BaseModel):
    success: Literal[True]
    data: list[_NativeAlert]


class _NativeAnalysis(BaseModel):
    is_anomalous: bool
    confidence: Ratio
    anomaly_type: str | None = None
    recommended_severity: Word


class _NativePrediction(BaseModel):
    predicted_severity: Word
    confidence: Ratio
    reasoning: str


class NativeSentinel:
    """Sentinel by the ecosystem's own contract (`/api/v1/alerts`, `/analyze`, `/predict-severity`)."""

    def __init__(self, connection: Connection) -> None:
        self.breaker = connection.breaker
        self._connection = connection

    async def fetch_alerts(self, limit: int = 10) -> Sequence[Anomaly]:
        """The latest anomalies, `limit` at most."""
        answer = await self._connection.get("/api/v1/alerts", _NativeAlerts, {"limit": limit})
        return [
            Anomaly(
                id=item.id,
                at=item.timestamp.astimezone(UTC),
                severity=Severity.parse(item.severity),
                kind=item.category,
                title=item.title,
                description=item.description,
                source=item.source,
                confidence=item.anomaly_score,
            )
            for item in answer.data
        ]

    async def analyze(self, incident: Incident) -> Analysis:
        """Whether an incident is an anomaly, and of what kind."""
        answer = await self._connection.post("/api/v1/analyze", incident.to_dict(), _NativeAnalysis)
        return Analysis(
            is_anomalous=answer.is_anomalous,
            confidence=answer.confidence,
            kind=answer.anomaly_type,
            severity=Severity.parse(answer.recommended_severity),
        )

    async def predict_severity(self, incident: Incident) -> SeverityPrediction | None:
        """The severity an incident deserves."""
        body = {
            "description": f"{incident.title}\n{incident.description}".strip(),
            "incident_type": incident.labels.get("type") or incident.labels.get("alertname") or incident.source,
            "context": {"source": incident.source, "labels": incident.labels},
            "historical_severity": incident.severity.label,
        }
        answer = await self._connection.post("/api/v1/predict-severity", body, _NativePrediction)
        severity = Severity.parse(answer.predicted_severity)
        return SeverityPrediction(severity=severity, confidence=answer.confidence, reasoning=answer.reasoning)

    async def health(self) -> None:
        """Return when it is well."""
        await self._connection.check("/api/v1/health")

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()


class _ServerAnomaly(BaseModel):
    alert_id: str
    timestamp: AwareDatetime
    severity: Word
    anomaly_type: str
    service_name: str
    model: str
    confidence: Ratio
    root_cause: str | None = None


class _ServerAnomalies(BaseModel):
    data: list[_ServerAnomaly]


class _Detection(BaseModel):
    anomaly_detected: bool
    anomaly: _ServerAnomaly | None = None
    status: str

    @model_validator(mode="after")
    def _check_anomaly(self) -> _Detection:
        if self.anomaly_detected and self.anomaly is None:
            raise ValueError("a detected anomaly must be given")
        return self


class ServerSentinel:
    """Sentinel as its public server answers (`/api/v1/anomalies`, `/api/v1/agents/anomaly/detect`).

    It predicts no severity by itself; the one of a detected anomaly is taken.
    """

    def __init__(self, connection: Connection) -> None:
        self.breaker = connection.breaker
        self._connection = connection

    async def fetch_alerts(self, limit: int = 10) -> Sequence[Anomaly]:
        """The latest anomalies, `limit` at most."""
        answer = await self._connection.get("/api/v1/anomalies", _ServerAnomalies, {"limit": limit})
        return [
            Anomaly(
                id=item.alert_id,
                at=item.timestamp.astimezone(UTC),
                severity=Severity.parse(item.severity),
                kind=item.anomaly_type,
                title=f"{item.anomaly_type} of {item.model} in {item.service_name}",
                description=item.root_cause or "",
                source=item.service_name,
                confidence=item.confidence,
            )
            for item in answer.data
        ]

    async def analyze(self, incident: Incident) -> Analysis:
        """Whether an incident is an anomaly, and of what kind."""
        anomaly = await self._detect(incident)
        if anomaly is None:
            return Analysis(is_anomalous=False, confidence=0.0, kind=None, severity=None)
        return Analysis(
            is_anomalous=True,
            confidence=anomaly.confidence,
            kind=anomaly.anomaly_type,
            severity=Severity.parse(anomaly.severity),
        )

    async def predict_severity(self, incident: Incident) -> SeverityPrediction | None:
        """The severity of the anomaly that the incident is; None when it is none."""
        anomaly = await self._detect(incident)
        if anomaly is None:
            return None
        return SeverityPrediction(
            severity=Severity.parse(anomaly.severity),
            confidence=anomaly.confidence,
            reasoning=anomaly.root_cause or f"detected as {anomaly.anomaly_type}",
        )

    async def health(self) -> None:
        """Return when it is well."""
        await self._connection.check("/health")

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def _detect(self, incident: Incident) -> _ServerAnomaly | None:
        telemetry: dict[str, Any] = {
            "service_name": incident.labels.get("service") or incident.source,
            "model": incident.labels.get("model", "unknown"),
            "timestamp": incident.first_seen.isoformat(),
            "severity": incident.severity.label,
            "title": incident.title,
            "description": incident.description,
            "labels": incident.labels,
        }
        body = {"telemetry": telemetry, "dry_run": True}
        headers = {"X-Parent-Span-Id": uuid.uuid4().hex[:16]}
        answer = await self._connection.post("/api/v1/agents/anomaly/detect", body, _Detection, headers)
        return answer.anomaly if answer.anomaly_detected else None
