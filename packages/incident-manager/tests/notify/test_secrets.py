"""What is secret in a destination of any type is in no log, row, timeline, breaker, metric or text of an object."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dispatching import Bench
from http_receiver import CLOSE, HttpReceiver, Reply
from mail_receiver import MailReceiver
from prometheus_client import CollectorRegistry, generate_latest

from recloser.telemetry.prometheus import BreakerCollector
from recloser.testing import FakeClock

SECRET = "5ecre7"
KEY = f"{SECRET}0123456789abcdef0123456789"
TYPES: dict[str, dict[str, Any]] = {
    "webhook": {"secret": "whsec_NWVjcmU3NWVjcmU3NWVjcmU3NWVjcmU3", "headers": {"authorization": SECRET},
                "templates": {"body": '{"key": "5ecre7"}'}},
    "slack": {"templates": {"text": "5ecre7"}},
    "slack_api": {"token": f"xoxb-{SECRET}", "channel": "C1"},
    "pagerduty": {"routing_key": KEY},
    "email": {"server": "127.0.0.1", "security": "none", "username": "ops", "password": SECRET,
              "sender": "ops@example.org", "to": ["ada@example.org"]},
}  # fmt: skip


@pytest.fixture
async def mail() -> AsyncIterator[MailReceiver]:
    """A mail server that wants another password."""
    async with MailReceiver(login=("ops", "another")) as server:
        yield server


@pytest.mark.parametrize("type", TYPES)
async def test_secret_is_nowhere(
    type: str,
    tmp_path: Path,
    clock: FakeClock,
    receiver: HttpReceiver,
    mail: MailReceiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    place = {"port": mail.port} if type == "email" else {"url": receiver.url.replace("/hook", f"/T/{SECRET}")}
    destination = {"type": type, "allow_private": True, "max_per_second": None, **place, **TYPES[type]}
    echo = f"bad {SECRET} {KEY}".encode()
    replies = [Reply(500, body=echo), Reply(404, body=echo), Reply(400, body=echo), Reply(302, {"location": "/"})]
    receiver.script.extend([*replies, CLOSE])
    breakers = {"notify:ops": {"failure_threshold": 8}}
    async with Bench(tmp_path, clock, destinations={"ops": destination}, breakers=breakers) as work:
        metrics = CollectorRegistry()
        BreakerCollector(work.registry, "m_", register=metrics)
        deliveries = await work.enqueue(5)
        await work.dispatch()
        await work.idle()
        await receiver.refuse()
        await mail.refuse()
        deliveries += await work.enqueue(5)
        await work.idle()
        shown = [caplog.text, repr(work.breaker().stats()), str(work.breaker().last_failure), repr(work.settings)]
        shown += [repr(work.dispatcher.lanes), str(work.dispatcher.problems()), generate_latest(metrics).decode()]
        shown += [repr(row) for row in await work.rows(deliveries)]
        shown += [repr(await work.timeline(delivery)) for delivery in deliveries]
        shown += [repr(vars(lane)) for lane in work.dispatcher.lanes.values()]
    assert "could not connect" in caplog.text
    hidden = (SECRET, KEY[:20], "NWVjcmU3")
    assert [text for text in shown if any(secret in text for secret in hidden)] == []
