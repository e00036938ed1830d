import json
from datetime import UTC, datetime
from typing import Any

import pytest
from http_receiver import HANG, HttpReceiver, Reply
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.delivery import Delivery, NotificationEvent, new_delivery
from incident_manager.notify.endpoint import HttpEndpoint
from incident_manager.notify.errors import PermanentDeliveryError, TransientDeliveryError
from incident_manager.notify.pagerduty import PagerDutyNotifier
from incident_manager.notify.pagerduty_event import EVENT_LIMIT, pagerduty_event
from incident_manager.notify.templates import MessageTemplate, TemplateKind, Templates
from recloser.testing import FakeClock

from .conftest import MakeDelivery

KEY = "0123456789abcdef0123456789SECRET"
AT = datetime(2026, 1, 1, tzinfo=UTC)
some_text = st.text(max_size=100) | st.text(alphabet="é😀\ud800\n&", max_size=40).map(lambda text: text * 2000)
labels = st.dictionaries(some_text, some_text, max_size=20)


@pytest.fixture
def pagerduty(receiver: HttpReceiver, clock: FakeClock) -> PagerDutyNotifier:
    receiver.default = Reply(202, body=b'{"status": "success", "message": "Event processed", "dedup_key": "inc_1"}')
    return notifier(receiver, clock)


def notifier(receiver: HttpReceiver, clock: FakeClock, timeout: float = 10, **templates: str) -> PagerDutyNotifier:
    compiled = {part: MessageTemplate(text, TemplateKind.TEXT) for part, text in templates.items()}
    endpoint = HttpEndpoint(receiver.url, allow_private=True, timeout=timeout, clock=clock)
    return PagerDutyNotifier(endpoint, routing_key=KEY, templates=Templates(compiled))


def event(delivery: Delivery) -> dict[str, Any]:
    return dict(json.loads(pagerduty_event(delivery, KEY)))


async def test_incident_is_an_alert_with_its_id_as_key(
    pagerduty: PagerDutyNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery
) -> None:
    await pagerduty.send(make_delivery(id="inc_7"))
    await pagerduty.close()
    sent = receiver.requests[0].json()
    details = sent["payload"].pop("custom_details")
    assert sent == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "inc_7",
        "client": "LLM Incident Manager",
        "payload": {
            "summary": "[P1 high] Disk full",
            "source": "alertmanager",
            "severity": "error",
            "timestamp": "2026-01-01T00:00:00+00:00",
        },
    }
    assert details["labels"] == {"host": "db-1"}
    assert "truncated" not in details


@pytest.mark.parametrize(
    ("told", "action"),
    [
        (NotificationEvent.TRIGGERED, "trigger"),
        (NotificationEvent.ESCALATED, "trigger"),
        (NotificationEvent.ACKNOWLEDGED, "acknowledge"),
        (NotificationEvent.RESOLVED, "resolve"),
    ],
)
def test_action_is_that_of_the_notification_whatever_the_incident_is_now(
    make_delivery: MakeDelivery, told: NotificationEvent, action: str
) -> None:
    sent = event(make_delivery(told, status="resolved", id="inc_7"))
    assert (sent["event_action"], sent["dedup_key"]) == (action, "inc_7")


@pytest.mark.parametrize(
    ("severity", "word"),
    [("P0", "critical"), ("P1", "error"), ("P2", "warning"), ("P3", "info"), ("P4", "info"), ("odd", "warning")],
)
def test_severity_is_in_the_words_of_pagerduty(make_delivery: MakeDelivery, severity: str, word: str) -> None:
    assert event(make_delivery(severity=severity))["payload"]["severity"] == word


async def test_incident_with_more_than_an_event_can_hold_is_sent_and_says_so(
    pagerduty: PagerDutyNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery
) -> None:
    await pagerduty.send(make_delivery(labels={f"alert_{number}": "x" * 2048 for number in range(600)}))
    await pagerduty.close()
    [request] = receiver.requests
    assert len(request.body) < EVENT_LIMIT
    details = request.json()["payload"]["custom_details"]
    assert details["truncated"] is True
    assert len(details["labels"]) == 600  # shorter, but all there


@given(
    told=st.sampled_from(NotificationEvent),
    payload=st.fixed_dictionaries(
        {"title": some_text, "description": some_text, "labels": labels, "annotations": labels},
        optional={"severity": some_text, "source": some_text, "resolution": some_text},
    ),
)
def test_event_is_inside_the_limits_whatever_the_incident_says(
    told: NotificationEvent, payload: dict[str, Any]
) -> None:
    body = pagerduty_event(new_delivery("inc_1", "pager", told, payload, AT), KEY)
    assert len(body) < EVENT_LIMIT
    sent = json.loads(body)
    assert 1 <= len(sent["dedup_key"]) <= 255
    if sent["event_action"] == "trigger":
        assert 1 <= len(sent["payload"]["summary"]) <= 1024
        assert len(sent["payload"]["summary"].splitlines()) == 1
        assert sent["payload"]["severity"] in ("critical", "error", "warning", "info")
        assert sent["payload"]["source"]


def test_many_labels_with_long_names_are_left_out_last(make_delivery: MakeDelivery) -> None:
    many = {f"{number}" + "😀" * 300: "😀" * 300 for number in range(2000)}
    sent = event(make_delivery(labels=many))
    details = sent["payload"]["custom_details"]
    assert details["truncated"] is True
    assert 0 < len(details["labels"]) < 2000
    assert details["description"] == "Only 2 % left"


async def test_refused_event_says_why_and_holds_no_key(
    pagerduty: PagerDutyNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery
) -> None:
    answer = {"status": "invalid event", "errors": [f"the routing key {KEY} is unknown"]}
    receiver.default = Reply(400, body=json.dumps(answer).encode())
    with pytest.raises(PermanentDeliveryError, match=r"answered 400 \(the routing key \*\*\* is unknown\)") as caught:
        await pagerduty.send(make_delivery())
    await pagerduty.close()
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b'{"errors": {}}', b'{"errors": [1]}'])
async def test_refusal_in_another_form_is_a_refusal(
    pagerduty: PagerDutyNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery, body: bytes
) -> None:
    receiver.default = Reply(400, body=body)
    with pytest.raises(PermanentDeliveryError, match=r"answered 400$"):
        await pagerduty.send(make_delivery())
    await pagerduty.close()


async def test_request_for_less_traffic_is_honoured(
    pagerduty: PagerDutyNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery
) -> None:
    receiver.default = Reply(429, {"Retry-After": "9"})
    with pytest.raises(TransientDeliveryError) as caught:
        await pagerduty.send(make_delivery())
    await pagerduty.close()
    assert (caught.value.retry_after, caught.value.throttled, caught.value.may_have_arrived) == (9.0, True, False)


async def test_missing_answer_leaves_open_whether_the_event_arrived(
    receiver: HttpReceiver, clock: FakeClock, make_delivery: MakeDelivery
) -> None:
    receiver.default = HANG
    sender = notifier(receiver, clock, timeout=0.5)
    with pytest.raises(TransientDeliveryError) as caught:
        await sender.send(make_delivery())
    assert caught.value.may_have_arrived
    await receiver.refuse()
    with pytest.raises(TransientDeliveryError) as caught:
        await sender.send(make_delivery())
    assert not caught.value.may_have_arrived
    await sender.close()


async def test_summary_can_be_written_by_the_operator(
    receiver: HttpReceiver, clock: FakeClock, make_delivery: MakeDelivery
) -> None:
    sender = notifier(receiver, clock, summary="{{ incident.labels.host }}:\n {{ incident.title }}")
    await sender.send(make_delivery())
    await sender.close()
    assert receiver.requests[0].json()["payload"]["summary"] == "db-1: Disk full"
