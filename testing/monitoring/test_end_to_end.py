"""What is watched breaks, piece by piece: each alert fires, becomes an incident, and ends with the trouble."""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from incident_manager.demo.llm.faults import Fault
from testing.monitoring.files import DASHBOARDS, alerts, load, panels
from testing.monitoring.world import JOURNAL, World, until, world
from testing.servers.alertmanager import alertmanager_binary
from testing.servers.programs import require
from testing.servers.prometheus import prometheus_binary

SERVICE = {"job": "incident-manager"}


@pytest.fixture
def running() -> Iterator[World]:
    require(prometheus_binary, alertmanager_binary)
    with world() as running:
        yield running


def test_every_alert_fires_becomes_an_incident_and_ends_and_every_panel_shows_data(running: World) -> None:
    began = time.time()
    running.prometheus.wait_for("sum(up)", 2)
    for trouble in (
        a_person_holds_a_circuit_open,
        a_model_fails_a_destination_refuses_and_a_dependency_flaps,
        a_destination_goes_away,
        the_database_dies,
        the_service_hangs,
    ):
        running.until_quiet()
        trouble(running)
    running.until_quiet()
    every_alert_became_an_incident(running)
    every_panel_shows_data(running, began)


def a_person_holds_a_circuit_open(running: World) -> None:
    circuit = "/v1/circuit-breakers/edge-agent-llm"
    running.api.post(f"{circuit}/open", json={"reason": "the model is being moved"}).raise_for_status()
    held = running.until_incident("CircuitBreakerHeldByOperator", **SERVICE)
    assert held["labels"]["control"] == "forced_open"
    running.until_incident("IncidentManagerDegraded", **SERVICE)
    running.api.post(f"{circuit}/reset").raise_for_status()
    running.until_resolved("CircuitBreakerHeldByOperator")
    running.until_resolved("IncidentManagerDegraded")


def a_model_fails_a_destination_refuses_and_a_dependency_flaps(running: World) -> None:
    running.model.switch.fault = Fault.ERROR
    running.receiver.status = 400
    running.shop.flap(9)
    running.until_incident("IncidentManagerFallbacksInUse", **SERVICE)
    running.until_incident("IncidentManagerNotificationsFailing", destination="ops")
    running.model.switch.mend()
    running.receiver.status = 200
    running.until_resolved("IncidentManagerFallbacksInUse")
    running.until_resolved("IncidentManagerNotificationsFailing")
    running.until_resolved("CircuitBreakerFlapping", job="shop", name="mail")


def a_destination_goes_away(running: World) -> None:
    running.receiver.stop()
    running.until_incident("IncidentManagerNotificationsDelayed", destination="ops")
    running.receiver.start()
    running.until_resolved("IncidentManagerNotificationsDelayed")


def the_database_dies(running: World) -> None:
    running.database.kill()
    running.until_firing("CircuitBreakerOpen", job="shop", name="orders-db")
    running.until_firing("CircuitBreakerRejecting", job="shop", name="orders-db")
    running.until_firing("CircuitBreakerOpen", job="incident-manager", name="database")
    running.until_firing("IncidentManagerJournalInUse")
    until(lambda: fill_the_journal(running.api), lambda status: status == 503)
    running.until_firing("IncidentManagerRefusesAlerts")
    until(lambda: running.mails("IncidentManagerRefusesAlerts"))
    running.database.start()
    for alert in ("CircuitBreakerOpen", "CircuitBreakerRejecting"):
        running.until_resolved(alert, job="shop", name="orders-db")
    running.until_resolved("IncidentManagerJournalInUse", **SERVICE)
    running.until_resolved("IncidentManagerRefusesAlerts", **SERVICE)
    assert not running.incidents("CircuitBreakerOpen", **SERVICE), "the service tells of its own circuits by itself"
    own = running.api.get("/v1/incidents", params={"source": "incident-manager", "limit": 200}).json()["incidents"]
    assert [one["status"] for one in own if one["labels"]["breaker"] == "database"] == ["resolved"]


def fill_the_journal(api: httpx2.Client) -> int:
    more = [{"labels": {"alertname": f"Flood {number}"}} for number in range(JOURNAL // 4)]
    return api.post("/api/v2/alerts", json=more).status_code


def the_service_hangs(running: World) -> None:
    running.service.freeze()
    until(lambda: running.mails("FIRING:1] IncidentManagerAbsent"))
    running.service.thaw()
    until(lambda: running.mails("RESOLVED] IncidentManagerAbsent"))


def every_alert_became_an_incident(running: World) -> None:
    for alert, rule in alerts().items():
        if alert == "IncidentManagerAbsent":  # people heard of it by mail, and the service only if it came back soon
            continue
        running.until_resolved(alert)
        found = running.incidents(alert)[0]
        assert found["labels"]["severity"] == rule["labels"]["severity"]
        assert found["annotations"]["runbook_url"] == rule["annotations"]["runbook_url"]


def every_panel_shows_data(running: World, began: float) -> None:
    asked = [
        (f"{file.name}, {panel['title']}", filled_in(target["expr"], chosen), target.get("instant", False))
        for file in DASHBOARDS
        for panel in panels(load(file))
        for target in panel["targets"]
        for chosen in variables(load(file))
    ]
    with ThreadPoolExecutor(4) as pool:
        answered = pool.map(lambda one: has_data(running, one[1], began, instant=one[2]), asked)
    empty = [f"{where}: {query}" for (where, query, _), has in zip(asked, answered, strict=True) if not has]
    assert not empty, "\n".join(empty)


def variables(dashboard: dict[str, Any]) -> list[dict[str, str]]:
    """What a person could choose."""
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    shop = {"prefix": "recloser_", "job": "shop", "name": "orders-db"}
    service = {"prefix": "llm_incident_manager_", "job": "incident-manager", "name": "database"}
    if "prefix" not in names:
        return [{name: service[name] for name in names & service.keys()}]
    # A breaker has no ratios, and no limits of them, unless its settings have.
    choices = [shop] if "name" in names else [shop, service]
    return [{name: choice[name] for name in names & choice.keys()} for choice in choices]


def filled_in(expression: str, chosen: dict[str, str]) -> str:
    """The query as Grafana would send it."""
    for name, value in {**chosen, "__rate_interval": "6s"}.items():
        expression = expression.replace(f"${{{name}}}", value).replace(f"${name}", value)
    assert "$" not in expression, f"a variable is missing: {expression}"
    return expression


def has_data(running: World, query: str, began: float, *, instant: bool) -> bool:
    """Whether a query finds a value, at the end or at any time."""
    if instant:
        found = running.prometheus.query(query)
        return bool(found) and found[0]["value"][1] != "NaN"
    values = {"query": query, "start": began, "end": time.time(), "step": "1s"}
    with urllib.request.urlopen(
        f"{running.prometheus.url}/api/v1/query_range?{urllib.parse.urlencode(values)}"
    ) as answer:
        series = json.load(answer)["data"]["result"]
    return any(value != "NaN" for one in series for _, value in one["values"])
