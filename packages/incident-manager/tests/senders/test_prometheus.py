"""A real Prometheus and a real Alertmanager that watch a target go away and come back."""

import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import yaml
from testing.servers import Alertmanager, Prometheus, free_port
from testing.servers.alertmanager import amtool_binary
from testing.service import IncidentManager, eventually

pytestmark = pytest.mark.usefixtures("prometheus_programs")

Becomes = Callable[[str, str], dict[str, Any]]
Incidents = Callable[[str], list[dict[str, Any]]]
ROUTING_KEY = "0123456789abcdef0123456789abcdef"


class Metrics(http.server.BaseHTTPRequestHandler):
    """A page that Prometheus can scrape."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(b"works 1\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def target(port: int) -> Iterator[None]:
    """Something to watch, up while the block runs."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Metrics) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


def watching(port: int, alert: str, **alertmanager: Any) -> Prometheus:
    """A Prometheus that fires while nothing answers on the port, and repeats it every second."""
    rule = {
        "alert": alert,
        "expr": "up == 0",
        "labels": {"severity": "critical"},
        "annotations": {"summary": "{{ $labels.instance }} is down"},
    }
    return Prometheus(
        {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [alertmanager]},
            "scrape_configs": [{"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
        },
        files={"rules.yml": yaml.safe_dump({"groups": [{"name": "tests", "rules": [rule]}]})},
        options=["--rules.alert.resend-delay=1s"],
    )


@pytest.mark.parametrize("prefix", ["/", "/v1/ingest/prometheus"])
def test_prometheus_can_be_pointed_straight_at_the_service(
    prefix: str, service: IncidentManager, api: httpx2.Client, becomes: Becomes, incidents: Incidents
) -> None:
    port, name = free_port(), f"Direct{len(prefix)}"
    with watching(port, name, path_prefix=prefix, static_configs=[{"targets": [f"127.0.0.1:{service.port}"]}]):
        opened = becomes(name, "detected")
        assert (opened["title"], opened["severity"]) == (f"127.0.0.1:{port} is down", "P0")
        assert (opened["source"], opened["labels"]["job"]) == ("prometheus", "node")
        eventually(lambda: incidents(name)[0]["alert_count"], lambda count: count >= 4, 60)
        timeline = api.get(f"/v1/incidents/{opened['id']}").json()["timeline"]
        assert [entry["kind"] for entry in timeline] == ["opened"], "a repetition is no news"
        with target(port):
            resolved = becomes(name, "resolved")
    assert resolved["resolved_by"] == "source:prometheus"


def test_what_a_prometheus_that_dies_no_longer_repeats_ends_by_itself() -> None:
    with IncidentManager({"ingest": {"resolve_timeout": 2.0}}) as service, service.client() as api:

        def latest() -> dict[str, Any]:
            found = api.get("/v1/incidents", params={"limit": 1}).raise_for_status().json()["incidents"]
            return found[0] if found else {"status": "none"}

        here = [{"targets": [f"127.0.0.1:{service.port}"]}]
        with watching(free_port(), "Orphan", static_configs=here) as prometheus:
            eventually(latest, lambda found: found["status"] == "detected", 60)
            prometheus.kill()
            resolved = eventually(latest, lambda found: found["status"] == "resolved", 60)
    assert resolved["resolved_by"] == "system"
    assert "did not repeat it" in resolved["resolution"]


def alertmanager(receiver: dict[str, Any]) -> Alertmanager:
    """An Alertmanager that tells this receiver of everything, soon."""
    route = {"receiver": "service", "group_by": ["alertname"], "group_wait": "100ms", "group_interval": "1s"}
    return Alertmanager({"route": route, "receivers": [{"name": "service", **receiver}]})


def test_alertmanagers_webhook_opens_an_incident_and_ends_it(service: IncidentManager, becomes: Becomes) -> None:
    port = free_port()
    webhook = {"url": f"{service.url}/v1/ingest/alertmanager"}
    with (
        alertmanager({"webhook_configs": [webhook]}) as sender,
        watching(port, "Webhook", static_configs=[{"targets": [f"127.0.0.1:{sender.port}"]}]),
    ):
        opened = becomes("Webhook", "detected")
        assert (opened["source"], opened["severity"], opened["expires_at"]) == ("alertmanager", "P0", None)
        with target(port):
            assert becomes("Webhook", "resolved")["id"] == opened["id"]


def test_alertmanagers_pagerduty_receiver_takes_the_service_for_pagerduty(
    service: IncidentManager, becomes: Becomes
) -> None:
    port = free_port()
    pagerduty = {
        "url": f"{service.url}/v2/enqueue",
        "routing_key": ROUTING_KEY,
        "severity": "error",
        "description": "{{ .CommonLabels.alertname }}",
    }
    with (
        alertmanager({"pagerduty_configs": [pagerduty]}) as sender,
        watching(port, "Paged", static_configs=[{"targets": [f"127.0.0.1:{sender.port}"]}]),
    ):
        opened = becomes("Paged", "detected")
        assert (opened["source"], opened["severity"]) == ("pagerduty", "P1")
        assert opened["annotations"]["num_firing"] == "1"
        assert opened["annotations"]["client"] == "Alertmanager"
        with target(port):
            assert becomes("Paged", "resolved")["id"] == opened["id"]
    assert ROUTING_KEY not in service.log


def test_amtool_takes_the_service_for_an_alertmanager(service: IncidentManager, becomes: Becomes) -> None:
    command = [amtool_binary(), f"--alertmanager.url={service.url}", "alert", "add", "ByHand", "severity=warning"]
    subprocess.run([*command, "--annotation=summary=Somebody says so"], check=True, timeout=60, capture_output=True)
    opened = becomes("ByHand", "detected")
    assert (opened["title"], opened["severity"]) == ("Somebody says so", "P2")
    assert opened["expires_at"] is not None
