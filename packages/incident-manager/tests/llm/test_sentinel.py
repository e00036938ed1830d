"""Sentinel, in both of its dialects."""

import pytest

from incident_manager.demo.llm.server import ServiceServer
from incident_manager.domain.severity import Severity
from incident_manager.llm.errors import MalformedAnswerError
from incident_manager.llm.sentinel import NativeSentinel, Sentinel, ServerSentinel

from .conftest import IncidentMaker


@pytest.fixture(params=["native", "server"])
def sentinel(
    request: pytest.FixtureRequest, native_sentinel: NativeSentinel, server_sentinel: ServerSentinel
) -> Sentinel:
    return native_sentinel if request.param == "native" else server_sentinel


async def test_severity_is_predicted(sentinel: Sentinel, make_incident: IncidentMaker) -> None:
    prediction = await sentinel.predict_severity(make_incident("Total outage"))
    assert prediction is not None
    assert (prediction.severity, prediction.confidence) == (Severity.P0, 0.9)


async def test_incident_is_analyzed(sentinel: Sentinel, make_incident: IncidentMaker) -> None:
    analysis = await sentinel.analyze(make_incident("Every answer is an error"))
    assert analysis.is_anomalous
    assert analysis.severity is Severity.P1


async def test_anomalies_are_fetched(sentinel: Sentinel) -> None:
    [anomaly] = await sentinel.fetch_alerts(limit=1)
    assert (anomaly.severity, anomaly.source) == (Severity.P1, "chat")


async def test_health_is_asked(sentinel: Sentinel) -> None:
    await sentinel.health()


async def test_server_without_opinion_predicts_nothing(
    server_sentinel: ServerSentinel, make_incident: IncidentMaker
) -> None:
    assert await server_sentinel.predict_severity(make_incident("All is well")) is None


async def test_success_false_is_a_failure_of_the_service(
    native_sentinel: NativeSentinel, sentinel_server: ServiceServer
) -> None:
    sentinel_server.switch.answer = {"success": False, "data": [], "error": "no database", "request_id": "r"}
    with pytest.raises(MalformedAnswerError, match="success"):
        await native_sentinel.fetch_alerts()


async def test_detected_anomaly_without_its_data_is_malformed(
    server_sentinel: ServerSentinel, sentinel_server: ServiceServer, make_incident: IncidentMaker
) -> None:
    sentinel_server.switch.answer = {"anomaly_detected": True, "anomaly": None, "status": "ok"}
    with pytest.raises(MalformedAnswerError, match="must be given"):
        await server_sentinel.predict_severity(make_incident())
