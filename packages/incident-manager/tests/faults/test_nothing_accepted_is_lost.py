"""An alert that was answered 202 is kept and notified, whatever happens to the service."""

from testing.burst import Burst, all_incidents, integrity
from testing.receiver import Receiver
from testing.service import IncidentManager, eventually


async def test_kill_during_a_burst_loses_no_accepted_alert(service: IncidentManager, receiver: Receiver) -> None:
    burst = Burst(service.url)
    await burst.run(200, service.kill)
    assert burst.unanswered == burst.senders, "every sender was cut off in the middle"
    assert not burst.other_answers
    assert integrity(service.folder) == "ok"

    service.restart()
    with service.client() as client:
        kept = {incident_id: incident["title"] for incident_id, incident in all_incidents(client).items()}
        assert burst.accepted.items() <= kept.items()
        eventually(
            lambda: client.get("/health").json()["waiting_notifications"],
            lambda waiting: waiting == {},
            timeout=60,
        )
    told = {request.json["data"]["incident"]["id"] for request in receiver.requests}
    assert burst.accepted.keys() <= told


async def test_termination_during_a_burst_answers_what_it_took_and_nothing_else(service: IncidentManager) -> None:
    burst = Burst(service.url)
    await burst.run(100, service.stop)
    assert service.exit_code == 0
    assert not burst.other_answers

    service.restart()
    with service.client() as client:
        kept = {incident_id: incident["title"] for incident_id, incident in all_incidents(client).items()}
    assert burst.accepted.items() <= kept.items()
