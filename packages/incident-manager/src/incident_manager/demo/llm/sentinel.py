"""A Sentinel of both dialects: rates by the words of a text."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

_WORDS = (("outage", "critical"), ("error", "high"), ("slow", "medium"))


def severity_of(text: str) -> str:
    """The severity it gives to a text: by the first known word, else low."""
    return next((severity for word, severity in _WORDS if word in text.lower()), "low")


async def _predict(request: Request) -> JSONResponse:
    body = await request.json()
    severity = severity_of(body["description"])
    answer = {
        "predicted_severity": severity,
        "confidence": 0.9,
        "reasoning": f"texts like this one are {severity}",
        "alternatives": [{"severity": "info", "probability": 0.1}],
    }
    return JSONResponse(answer)


async def _analyze(request: Request) -> JSONResponse:
    body = await request.json()
    answer = {
        "id": str(uuid.uuid4()),
        "timestamp": _now(),
        "is_anomalous": True,
        "confidence": 0.8,
        "anomaly_type": "performance_degradation",
        "factors": [],
        "recommended_severity": severity_of(body["title"]),
        "context": {},
    }
    return JSONResponse(answer)


async def _alerts(request: Request) -> JSONResponse:
    alert = {
        "id": "a-1",
        "timestamp": _now(),
        "severity": "high",
        "category": "model_drift",
        "title": "Answers have drifted",
        "description": "The answers differ from last week's.",
        "source": "chat",
        "affected_resources": ["chat"],
        "metadata": {},
        "anomaly_score": 0.8,
    }
    limit = int(request.query_params.get("limit", "10"))
    return JSONResponse({"success": True, "data": [alert][:limit], "error": None, "request_id": str(uuid.uuid4())})


async def _detect(request: Request) -> JSONResponse:
    if "x-parent-span-id" not in request.headers:
        return JSONResponse({"code": "missing_span", "message": "X-Parent-Span-Id is needed", "details": {}}, 400)
    telemetry = (await request.json())["telemetry"]
    severity = severity_of(f"{telemetry['title']} {telemetry['description']}")
    if severity == "low":
        return JSONResponse({"anomaly_detected": False, "anomaly": None, "status": "ok"})
    return JSONResponse({"anomaly_detected": True, "anomaly": _anomaly(severity, telemetry), "status": "ok"})


async def _anomalies(request: Request) -> JSONResponse:
    found = [_anomaly("high", {"service_name": "chat", "model": "m-1"})]
    return JSONResponse({"data": found, "metadata": {"total_count": 1, "page": 1, "page_size": 10}})


def _anomaly(severity: str, telemetry: dict[str, Any]) -> dict[str, Any]:
    return {
        "alert_id": str(uuid.uuid4()),
        "timestamp": _now(),
        "severity": severity,
        "anomaly_type": "error_rate_increase",
        "service_name": telemetry["service_name"],
        "model": telemetry["model"],
        "detection_method": "rules",
        "confidence": 0.9,
        "details": {"metric": "errors", "value": 9.0, "baseline": 1.0, "threshold": 3.0, "additional": {}},
        "context": {"time_window": "5m", "sample_count": 100, "additional": {}},
        "root_cause": None,
        "remediation": [],
        "related_alerts": [],
    }


def _now() -> str:
    return datetime.now(UTC).isoformat()


async def _health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "healthy"})


ROUTES: list[BaseRoute] = [
    Route("/api/v1/predict-severity", _predict, methods=["POST"]),
    Route("/api/v1/analyze", _analyze, methods=["POST"]),
    Route("/api/v1/alerts", _alerts),
    Route("/api/v1/health", _health),
    Route("/api/v1/anomalies", _anomalies),
    Route("/api/v1/agents/anomaly/detect", _detect, methods=["POST"]),
    Route("/health", _health),
]
