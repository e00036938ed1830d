import pytest
from http_receiver import HttpReceiver, Reply

from incident_manager.notify.endpoint import HttpEndpoint
from incident_manager.notify.errors import DestinationGoneError, PermanentDeliveryError, TransientDeliveryError
from incident_manager.notify.slack import SlackNotifier
from recloser.testing import FakeClock

from .conftest import MakeDelivery


@pytest.fixture
async def slack(receiver: HttpReceiver, clock: FakeClock):  # type: ignore[no-untyped-def]
    notifier = SlackNotifier(HttpEndpoint(receiver.url, allow_private=True, timeout=10, clock=clock))
    yield notifier
    await notifier.close()


async def test_message_has_blocks_and_a_text(
    slack: SlackNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery
) -> None:
    await slack.send(make_delivery())
    message = receiver.requests[0].json()
    assert message["text"] == "[P1 high] Disk full"
    assert message["blocks"][0]["type"] == "header"


@pytest.mark.parametrize("word", ["invalid_blocks", "invalid_blocks_format"])
async def test_refused_blocks_are_sent_once_more_as_plain_text(
    slack: SlackNotifier,
    receiver: HttpReceiver,
    make_delivery: MakeDelivery,
    word: str,
) -> None:
    receiver.script.append(Reply(400, body=word.encode()))
    receipt = await slack.send(make_delivery())
    first, second = receiver.requests
    assert "blocks" in first.json()
    assert list(second.json()) == ["text"]
    assert "Disk full" in second.json()["text"]
    assert receipt.warnings == (f"Slack refused its blocks ({word}) and it was sent as plain text",)


async def test_blocks_refused_twice_are_a_permanent_failure(
    slack: SlackNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery
) -> None:
    receiver.default = Reply(400, body=b"invalid_blocks")
    with pytest.raises(PermanentDeliveryError, match=r"answered 400 \(invalid_blocks\)"):
        await slack.send(make_delivery())
    assert len(receiver.requests) == 2


@pytest.mark.parametrize(
    ("status", "word"),
    [(400, "invalid_payload"), (403, "action_prohibited"), (404, "channel_not_found"), (404, "no_service")],
)
async def test_refusal_names_the_word_of_slack(
    slack: SlackNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery, status: int, word: str
) -> None:
    receiver.default = Reply(status, body=word.encode())
    with pytest.raises(PermanentDeliveryError, match=rf"answered {status} \({word}\)"):
        await slack.send(make_delivery())
    assert len(receiver.requests) == 1


async def test_archived_channel_wants_no_more_messages(
    slack: SlackNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery
) -> None:
    receiver.default = Reply(410, body=b"channel_is_archived")
    with pytest.raises(DestinationGoneError, match="channel_is_archived"):
        await slack.send(make_delivery())


async def test_rate_limit_is_transient_for_as_long_as_slack_says(
    slack: SlackNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery
) -> None:
    receiver.default = Reply(429, {"Retry-After": "7"}, b"rate_limited")
    with pytest.raises(TransientDeliveryError) as caught:
        await slack.send(make_delivery())
    assert (caught.value.retry_after, caught.value.throttled) == (7.0, True)


async def test_trouble_of_slack_is_transient(
    slack: SlackNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery
) -> None:
    receiver.default = Reply(500, body=b"rollup_error")
    with pytest.raises(TransientDeliveryError, match=r"answered 500 \(rollup_error\)"):
        await slack.send(make_delivery())


@pytest.mark.parametrize("word", ["ratelimited", "internal_error", "fatal_error", "service_unavailable"])
async def test_ok_false_with_a_passing_trouble_is_transient(
    slack: SlackNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery, word: str
) -> None:
    receiver.default = Reply(200, body=f'{{"ok": false, "error": "{word}"}}'.encode())
    with pytest.raises(TransientDeliveryError, match=word) as caught:
        await slack.send(make_delivery())
    assert caught.value.throttled == (word == "ratelimited")


@pytest.mark.parametrize(
    "word", ["channel_not_found", "not_in_channel", "invalid_auth", "token_revoked", "account_inactive"]
)
async def test_ok_false_with_a_fault_of_the_settings_is_permanent(
    slack: SlackNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery, word: str
) -> None:
    receiver.default = Reply(200, body=f'{{"ok": false, "error": "{word}"}}'.encode())
    with pytest.raises(PermanentDeliveryError, match=word):
        await slack.send(make_delivery())


@pytest.mark.parametrize("body", [b"ok", b"", b'{"ok": true}', b"{", b"[]", b"<html>thanks</html>", b'{"x": 1}'])
async def test_any_other_200_is_a_delivery(
    slack: SlackNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery, body: bytes
) -> None:
    receiver.default = Reply(200, body=body)
    await slack.send(make_delivery())
    assert len(receiver.requests) == 1


async def test_body_that_is_not_a_word_is_not_repeated(
    slack: SlackNotifier, receiver: HttpReceiver, make_delivery: MakeDelivery
) -> None:
    receiver.default = Reply(400, body=b"your url /services/T/B/SECRET is bad")
    with pytest.raises(PermanentDeliveryError) as caught:
        await slack.send(make_delivery())
    assert "SECRET" not in str(caught.value)
