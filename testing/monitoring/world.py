"""The service, a program with breakers, and the Prometheus and Alertmanager that watch both with the files we ship."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
import yaml

from incident_manager.demo.llm import edge_agent
from incident_manager.demo.llm.server import ServiceServer
from testing.monitoring.files import PROMETHEUS, RULES
from testing.monitoring.shop import Shop
from testing.receiver import Receiver
from testing.servers import Alertmanager, PostgresServer, Prometheus, SmtpServer
from testing.service import IncidentManager, eventually

JOURNAL = 80
"""Alerts that fit into the journal."""

T = TypeVar("T")


def until(read: Callable[[], T], accept: Callable[[T], object] = bool) -> T:
    """What `read` returns, as soon as it is accepted. Asking costs those who are asked a part of the machine."""
    return eventually(read, lambda value: bool(accept(value)), 90, pause=0.15)


@dataclass
class World:
    """What a test works with."""

    database: PostgresServer
    service: IncidentManager
    receiver: Receiver
    model: ServiceServer
    shop: Shop
    prometheus: Prometheus
    smtp: SmtpServer
    api: httpx2.Client

    def incidents(self, alert: str, **labels: str) -> list[dict[str, Any]]:
        """The incidents that Alertmanager reported of an alert; none while the service cannot tell."""
        wanted = [f"{name}={value}" for name, value in {"alertname": alert, **labels}.items()]
        try:
            answer = self.api.get("/v1/incidents", params={"source": "alertmanager", "label": wanted})
            found: list[dict[str, Any]] = answer.raise_for_status().json()["incidents"]
        except httpx2.HTTPError:
            return []
        return found

    def until_incident(self, alert: str, **labels: str) -> dict[str, Any]:
        """The open incident of an alert, as soon as there is one."""

        def find() -> list[dict[str, Any]]:
            return [one for one in self.incidents(alert, **labels) if one["status"] != "resolved"]

        return until(find)[0]

    def until_resolved(self, alert: str, **labels: str) -> None:
        """Wait until there was an incident of an alert, and none is open."""
        until(lambda: {one["status"] for one in self.incidents(alert, **labels)}, lambda found: found == {"resolved"})

    def until_firing(self, alert: str, **labels: str) -> None:
        """Wait until Prometheus has found an alert true for long enough."""
        chosen = "".join(f', {name}="{value}"' for name, value in labels.items())
        query = f'ALERTS{{alertname="{alert}", alertstate="firing"{chosen}}}'
        until(lambda: self.prometheus.query(query))

    def until_quiet(self) -> None:
        """Wait until no alert fires."""
        until(lambda: self.prometheus.query('ALERTS{alertstate="firing"}'), lambda found: not found)

    def mails(self, word: str) -> list[str]:
        """The subjects of the mails people got that contain a word."""
        subjects = [str(message.content["subject"]) for message in self.smtp.messages]
        return [subject for subject in subjects if word in subject]


def shortened(rules: str) -> str:
    """The rules as they are, with all times some seconds."""
    text, waits = re.subn(r"(?m)^( +for:) \d+[mh]$", r"\1 500ms", rules)
    text, ranges = re.subn(r"\[\d+m\]", "[6s]", text)
    text, ages = re.subn(r"(_oldest_seconds\)) > 300$", r"\1 > 2", text, flags=re.MULTILINE)
    assert (waits, ranges, ages) in ((3, 4, 0), (5, 4, 1)), "a time was left as it is"
    return text


def prometheus(service: int, shop: int, alertmanager: int) -> Prometheus:
    """Our Prometheus configuration, in a hurry, with the ports of this world."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms"}
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{alertmanager}"]
    ports = {"incident-manager": service, "shop": shop}
    for job in config["scrape_configs"]:
        job["static_configs"][0]["targets"] = [f"127.0.0.1:{ports[job['job_name']]}"]
    files = {file.name: shortened(file.read_text()) for file in RULES}
    return Prometheus(config, files=files, options=["--rules.alert.resend-delay=1s"])


def alertmanager(service: int, smtp: int) -> Alertmanager:
    """Our configuration of Alertmanager, in a hurry, with the ports of this world."""
    text = (PROMETHEUS / "alertmanager.yml").read_text()
    text, changed = re.subn("localhost:(8080|25)\\b", lambda found: _local(found[1], service, smtp), text)
    assert changed == 3, "another address is in the file"
    config = yaml.safe_load(text)
    config["route"] |= {"group_wait": "100ms", "group_interval": "1s"}
    return Alertmanager(config)


def _local(port: str, service: int, smtp: int) -> str:
    return f"127.0.0.1:{service if port == '8080' else smtp}"


def settings(database: PostgresServer, receiver: Receiver, model: ServiceServer) -> dict[str, Any]:
    """Of the service: everything it can depend on, and little patience."""
    return {
        "database_url": database.url,
        "database": {"transaction_timeout": 2.0, "connect_timeout": 1.0},
        "destinations": {"ops": {"type": "webhook", "url": receiver.url, "allow_private": True}},
        "dispatcher": {"backoff_base": 0.2, "backoff_max": 0.5, "send_timeout": 1.0, "lease": 1.5},
        "services": {"edge_agent": {"url": model.url, "model": "small"}},
        "breakers": {
            "database": {"failure_threshold": 3, "open_for": 0.5},
            "notify:ops": {"failure_threshold": 3, "open_for": 0.5},
            "edge-agent-llm": {"open_for": 0.5, "success_threshold": 1},
        },
        "journal": {"max_alerts": JOURNAL, "patience": 1.0},
        "self_monitoring": {"open_longer_than": 1.0},
    }


@contextmanager
def traffic(service: IncidentManager) -> Iterator[None]:
    """Somebody else's alerts, some in a second, each resolved soon; the sender does not mind a service that is away."""
    stopping = threading.Event()

    def send() -> None:
        number = 0
        with service.client(timeout=5.0) as client:
            while not stopping.wait(0.2):
                alert = {"source": "traffic", "title": f"Trouble {number // 2}", "severity": "info"}
                try:
                    client.post("/v1/alerts", json={**alert, "status": ("firing", "resolved")[number % 2]})
                except httpx2.TransportError:
                    continue
                number += 1

    thread = threading.Thread(target=send, name="traffic")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


@contextmanager
def world() -> Iterator[World]:
    """All of it, running, with traffic."""
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        model = stack.enter_context(ServiceServer(edge_agent.ROUTES))
        database = stack.enter_context(PostgresServer())
        smtp = stack.enter_context(SmtpServer())
        service = stack.enter_context(IncidentManager(settings(database, receiver, model)))
        shop = stack.enter_context(Shop(database.port))
        sender = stack.enter_context(alertmanager(service.port, smtp.port))
        watching = stack.enter_context(prometheus(service.port, shop.port, sender.port))
        api = stack.enter_context(service.client())
        stack.enter_context(traffic(service))
        yield World(database, service, receiver, model, shop, watching, smtp, api)
