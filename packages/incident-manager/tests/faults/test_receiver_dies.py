"""The story of the service: its receiver dies, the circuit opens, the receiver is back, everything arrives."""

from typing import Any

import httpx2
from testing.receiver import Receiver
from testing.service import IncidentManager, eventually

BREAKER = "/v1/circuit-breakers/notify:ops"


def post(client: httpx2.Client, key: str, status: str = "firing") -> str:
    alert = {"title": f"Trouble {key}", "dedup_key": key, "status": status}
    answer = client.post("/v1/alerts", json=alert)
    assert answer.status_code == 202
    return str(answer.json()["alerts"][0]["incident_id"])


def circuit(client: httpx2.Client) -> Any:
    return client.get(BREAKER).raise_for_status().json()


def waiting(client: httpx2.Client) -> Any:
    return client.get("/health").raise_for_status().json()["waiting_notifications"]


def told(receiver: Receiver) -> dict[str, list[str]]:
    """What was told of each incident, in order, without repetitions of one notification."""
    found: dict[str, dict[str, str]] = {}
    for request in receiver.requests:
        incident_id = request.json["data"]["incident"]["id"]
        found.setdefault(incident_id, {})[request.headers["webhook-id"]] = request.json["type"]
    return {incident_id: list(events.values()) for incident_id, events in found.items()}


def test_every_notification_arrives_after_the_receiver_is_back(service: IncidentManager, receiver: Receiver) -> None:
    with service.client() as client:
        incidents = [post(client, "first")]
        receiver.wait_for(1)

        receiver.stop()
        incidents += [post(client, f"while down {number}") for number in range(10)]
        eventually(lambda: circuit(client), lambda found: found["state"] != "closed")
        incidents.append(post(client, "while open"))
        assert client.get("/health/ready").status_code == 200
        assert client.get("/health").json()["status"] == "degraded"
        assert waiting(client) == {"ops": 11}

        receiver.start()
        eventually(lambda: waiting(client), lambda found: found == {})
        eventually(lambda: circuit(client), lambda found: found["state"] == "closed")
        changes = {(change["from_state"], change["to_state"]) for change in circuit(client)["transitions"]}
    assert {("closed", "open"), ("open", "half_open"), ("half_open", "closed")} <= changes
    assert told(receiver) == {incident_id: ["incident.triggered"] for incident_id in incidents}


def test_receiver_hears_of_the_beginning_before_the_end(service: IncidentManager, receiver: Receiver) -> None:
    receiver.stop()
    with service.client() as client:
        incidents = [post(client, f"short {number}") for number in range(5)]
        for number in range(5):
            post(client, f"short {number}", "resolved")
        eventually(lambda: circuit(client), lambda found: found["state"] != "closed")
        receiver.start()
        eventually(lambda: waiting(client), lambda found: found == {})
    assert told(receiver) == {incident: ["incident.triggered", "incident.resolved"] for incident in incidents}


def test_notifications_that_wait_survive_a_kill(service: IncidentManager, receiver: Receiver) -> None:
    receiver.stop()
    with service.client() as client:
        incidents = [post(client, f"kept {number}") for number in range(5)]
        eventually(lambda: circuit(client), lambda found: found["state"] != "closed")
    service.kill()
    receiver.start()
    service.start()
    with service.client() as client:
        eventually(lambda: waiting(client), lambda found: found == {})
    assert told(receiver) == {incident_id: ["incident.triggered"] for incident_id in incidents}


def test_receiver_that_answers_nothing_opens_the_circuit_and_delays_no_alert(
    service: IncidentManager, receiver: Receiver
) -> None:
    receiver.gate.clear()
    with service.client(timeout=5) as client:
        incidents = [post(client, f"hanging {number}") for number in range(5)]
        eventually(lambda: circuit(client), lambda found: found["state"] != "closed")
        incidents.append(post(client, "while hanging"))
        receiver.gate.set()
        eventually(lambda: waiting(client), lambda found: found == {})
    assert told(receiver) == {incident_id: ["incident.triggered"] for incident_id in incidents}


def test_circuit_forced_open_holds_notifications_until_an_operator_resets_it(
    service: IncidentManager, receiver: Receiver
) -> None:
    with service.client() as client:
        client.post(f"{BREAKER}/open", json={"reason": "maintenance"}).raise_for_status()
        incident_id = post(client, "held")
        assert waiting(client) == {"ops": 1}
        assert receiver.requests == []
        client.post(f"{BREAKER}/reset").raise_for_status()
        eventually(lambda: waiting(client), lambda found: found == {})
    assert told(receiver) == {incident_id: ["incident.triggered"]}
