"""SIGTERM: what runs is finished, and what waits is kept for the next start."""

import json
import socket

from testing.receiver import Receiver
from testing.service import IncidentManager, eventually


def test_request_under_way_is_answered_after_sigterm(service: IncidentManager) -> None:
    body = json.dumps({"title": "Arrives during the end", "dedup_key": "late"}).encode()
    head = "POST /v1/alerts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(f"{head}{len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100"), "the service waits for the body"
        service.terminate()
        eventually(lambda: service.log, lambda log: "finishing what runs" in log)
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 202")
    eventually(lambda: service.exit_code, lambda code: code is not None)
    assert service.exit_code == 0
    incident_id = json.loads(answer.partition(b"\r\n\r\n")[2])["alerts"][0]["incident_id"]
    service.start()
    with service.client() as client:
        assert client.get(f"/v1/incidents/{incident_id}").status_code == 200


def test_notification_under_way_is_finished_and_not_sent_again(service: IncidentManager, receiver: Receiver) -> None:
    receiver.gate.clear()
    with service.client() as client:
        created = client.post("/v1/incidents", json={"title": "Told once", "severity": "P1"}).raise_for_status().json()
    receiver.wait_for(1)
    service.terminate()
    eventually(lambda: service.log, lambda log: "finishing what runs" in log)
    receiver.gate.set()
    eventually(lambda: service.exit_code, lambda code: code is not None)
    assert service.exit_code == 0

    service.start()
    with service.client() as client:
        [notification] = client.get(f"/v1/incidents/{created['id']}").json()["notifications"]
    assert (notification["status"], notification["attempts"]) == ("delivered", 1)
    assert len(receiver.requests) == 1


def test_restart_keeps_everything(service: IncidentManager, receiver: Receiver) -> None:
    with service.client() as client:
        made = client.post("/v1/incidents", json={"title": "Kept", "severity": "P1", "by": "ana"}).json()
        client.post(f"/v1/incidents/{made['id']}/ack", json={"by": "bo"}).raise_for_status()
        client.post("/v1/alerts", json={"title": "Also kept", "labels": {"a": "b"}}).raise_for_status()
        receiver.wait_for(3)
        eventually(lambda: client.get("/health").json()["waiting_notifications"], lambda waiting: waiting == {})
        incidents = client.get("/v1/incidents").json()["incidents"]
        before = [client.get(f"/v1/incidents/{incident['id']}").json() for incident in incidents]
    assert len(before) >= 2
    service.restart()
    with service.client() as client:
        after = [client.get(f"/v1/incidents/{incident['id']}").json() for incident in before]
    assert after == before
    assert len(receiver.requests) == 3
