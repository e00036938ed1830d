import base64
import hashlib
import hmac
import json

import pytest
from http_receiver import HttpReceiver

from incident_manager.domain.delivery import NotificationEvent
from incident_manager.notify.endpoint import HttpEndpoint
from incident_manager.notify.webhook import WebhookNotifier, decode_secret, signature, webhook_body
from recloser.testing import FakeClock

from .conftest import MakeDelivery

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def notifier(url: str, clock: FakeClock, secret: str | None = SECRET, **headers: str) -> WebhookNotifier:
    endpoint = HttpEndpoint(url, allow_private=True, timeout=10, clock=clock)
    return WebhookNotifier(
        endpoint, clock=clock, key=None if secret is None else decode_secret(secret), headers=headers
    )


def test_signature_is_that_of_the_standard() -> None:
    # The example of https://github.com/standard-webhooks/standard-webhooks, also used by its libraries' tests.
    key = decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == expected


async def test_receiver_can_verify_what_it_gets(
    receiver: HttpReceiver, clock: FakeClock, make_delivery: MakeDelivery
) -> None:
    sender = notifier(receiver.url, clock)
    await sender.send(make_delivery(title="Disk full"))
    await sender.close()
    [request] = receiver.requests
    assert request.headers["webhook-id"] == "msg_1"
    assert request.headers["webhook-timestamp"] == str(int(clock.time()))
    assert request.headers["content-type"] == "application/json"
    signed = f"msg_1.{int(clock.time())}.".encode() + request.body
    digest = hmac.new(bytes(range(32)), signed, hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    message = request.json()
    assert message["type"] == "incident.triggered"
    assert message["timestamp"] == "2026-01-01T00:00:00Z"
    assert message["data"]["incident"]["title"] == "Disk full"


async def test_every_attempt_has_the_same_id_and_body_and_its_own_time(
    receiver: HttpReceiver, clock: FakeClock, make_delivery: MakeDelivery
) -> None:
    sender, delivery = notifier(receiver.url, clock), make_delivery()
    await sender.send(delivery)
    clock.advance(60)
    await sender.send(delivery)
    await sender.close()
    first, second = receiver.requests
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 60
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


async def test_without_a_secret_nothing_is_signed(
    receiver: HttpReceiver, clock: FakeClock, make_delivery: MakeDelivery
) -> None:
    sender = notifier(receiver.url, clock, None)
    await sender.send(make_delivery())
    await sender.close()
    assert "webhook-signature" not in receiver.requests[0].headers


async def test_headers_of_the_settings_are_sent(
    receiver: HttpReceiver, clock: FakeClock, make_delivery: MakeDelivery
) -> None:
    sender = notifier(receiver.url, clock, authorization="Bearer t")
    await sender.send(make_delivery())
    await sender.close()
    assert receiver.requests[0].headers["authorization"] == "Bearer t"


@pytest.mark.parametrize("event", list(NotificationEvent))
def test_type_is_the_event_of_the_delivery_whatever_the_incident_is_now(
    make_delivery: MakeDelivery, event: NotificationEvent
) -> None:
    body = json.loads(webhook_body(make_delivery(event, status="resolved")))
    assert body["type"] == f"incident.{event.value}"


def test_text_that_is_no_unicode_can_be_sent(make_delivery: MakeDelivery) -> None:
    body = webhook_body(make_delivery(title="half a pair: \ud800"))
    assert rb"\ud800" in body


@pytest.mark.parametrize(
    ("secret", "rule"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "must begin with 'whsec_'"),
        ("whsec_***", "must be base64"),
        ("whsec_YQ==", "holds 1 bytes: must hold 24 to 64"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "holds 65 bytes: must hold 24 to 64"),
    ],
)
def test_secret_of_another_form_is_refused_without_repeating_it(secret: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule) as caught:
        decode_secret(secret)
    assert secret.removeprefix("whsec_") not in str(caught.value)
