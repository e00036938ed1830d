from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from http_receiver import HttpReceiver, Reply

from incident_manager.domain.delivery import NotificationEvent
from incident_manager.notify.endpoint import HttpEndpoint
from incident_manager.notify.errors import PermanentDeliveryError, TransientDeliveryError
from incident_manager.notify.notifier import Receipt
from incident_manager.notify.slack_api import SlackApiNotifier
from incident_manager.notify.templates import Templates
from recloser.testing import FakeClock

from .conftest import MakeDelivery

TS = "1767225600.000100"
OK = Reply(200, body=f'{{"ok": true, "channel": "C0123", "ts": "{TS}"}}'.encode())
THREAD = {"ts": TS, "of": "#ops"}


def error(word: str, status: int = 200, **headers: str) -> Reply:
    return Reply(status, headers, f'{{"ok": false, "error": "{word}"}}'.encode())


@pytest.fixture
async def slack(receiver: HttpReceiver, clock: FakeClock) -> AsyncIterator[SlackApiNotifier]:
    receiver.default = OK
    endpoint = HttpEndpoint(receiver.url, allow_private=True, timeout=10, clock=clock)
    notifier = SlackApiNotifier(endpoint, token="xoxb-SECRET", channel="#ops", templates=Templates())
    yield notifier
    await notifier.close()


async def test_message_goes_to_the_channel_and_its_ts_is_kept(
    slack: SlackApiNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery
) -> None:
    receipt = await slack.send(make_delivery())
    [request] = receiver.requests
    assert request.headers["authorization"] == "Bearer xoxb-SECRET"
    message = request.json()
    assert (message["channel"], message["text"]) == ("#ops", "[P1 high] Disk full")
    assert "thread_ts" not in message
    assert receipt == Receipt(THREAD)


@pytest.mark.parametrize(
    ("event", "broadcast"),
    [
        (NotificationEvent.ACKNOWLEDGED, False),
        (NotificationEvent.RESOLVED, False),
        (NotificationEvent.ESCALATED, True),
    ],
)
async def test_what_follows_is_a_reply_to_the_first_message(
    slack: SlackApiNotifier,
    receiver: HttpReceiver,
    make_delivery: MakeDelivery,
    event: NotificationEvent,
    broadcast: bool,
) -> None:
    await slack.send(replace(make_delivery(event), thread=THREAD))
    message = receiver.requests[0].json()
    assert (message["thread_ts"], message.get("reply_broadcast", False)) == (TS, broadcast)


async def test_thread_of_another_channel_is_not_used(
    slack: SlackApiNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery
) -> None:
    await slack.send(replace(make_delivery(NotificationEvent.RESOLVED), thread={"ts": TS, "of": "#former"}))
    assert "thread_ts" not in receiver.requests[0].json()


async def test_reply_whose_thread_is_gone_is_posted_to_the_channel(
    slack: SlackApiNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery
) -> None:
    receiver.script.append(error("thread_not_found"))
    receipt = await slack.send(replace(make_delivery(NotificationEvent.ESCALATED), thread=THREAD))
    assert set(receiver.requests[1].json()) & {"thread_ts", "reply_broadcast"} == set()
    assert receipt.warnings == ("its thread is gone from Slack and it was posted to the channel",)


@pytest.mark.parametrize("word", ["invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"])
async def test_refused_blocks_are_sent_once_more_as_plain_text_to_the_same_place(
    slack: SlackApiNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery, word: str
) -> None:
    receiver.script.append(error(word))
    receipt = await slack.send(replace(make_delivery(NotificationEvent.RESOLVED), thread=THREAD))
    again = receiver.requests[1].json()
    assert "blocks" not in again
    assert (again["channel"], again["thread_ts"]) == ("#ops", TS)
    assert receipt.warnings == (f"Slack refused its blocks ({word}) and it was sent as plain text",)


@pytest.mark.parametrize(
    "word",
    [
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "invalid_auth",
        "not_authed",
        "missing_scope",
        "token_revoked",
        "token_expired",
        "account_inactive",
        "never_heard_of",
    ],
)
async def test_fault_of_the_settings_is_permanent(
    slack: SlackApiNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery, word: str
) -> None:
    receiver.default = error(word)
    with pytest.raises(PermanentDeliveryError, match=word):
        await slack.send(make_delivery())
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("word", ["internal_error", "fatal_error", "service_unavailable", "request_timeout"])
async def test_trouble_of_slack_is_transient(
    slack: SlackApiNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery, word: str
) -> None:
    receiver.default = error(word)
    with pytest.raises(TransientDeliveryError, match=word) as caught:
        await slack.send(make_delivery())
    assert not caught.value.throttled


@pytest.mark.parametrize("status", [200, 429])
async def test_rate_limit_is_transient_for_as_long_as_slack_says(
    slack: SlackApiNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery, status: int
) -> None:
    receiver.default = error("ratelimited", status, **{"Retry-After": "30"})
    with pytest.raises(TransientDeliveryError, match="ratelimited") as caught:
        await slack.send(make_delivery())
    assert (caught.value.retry_after, caught.value.throttled) == (30.0, True)


@pytest.mark.parametrize("body", [b"ok", b"", b"{}", b"[]", b'{"ok": 1}', b"<html>proxy</html>"])
async def test_200_without_ok_true_is_no_delivery(
    slack: SlackApiNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery, body: bytes
) -> None:
    receiver.default = Reply(200, body=body)
    with pytest.raises(TransientDeliveryError, match="unexpected_answer"):
        await slack.send(make_delivery())


@pytest.mark.parametrize("body", [b'{"ok": true}', b'{"ok": true, "ts": 1}', b'{"ok": true, "ts": "<x>"}'])
async def test_success_without_a_usable_ts_is_a_delivery_without_a_thread(
    slack: SlackApiNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery, body: bytes
) -> None:
    receiver.default = Reply(200, body=body)
    assert await slack.send(make_delivery()) == Receipt()
