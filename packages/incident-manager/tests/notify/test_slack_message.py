"""Every message is inside Slack's limits, whatever the incident says."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.delivery import Delivery, NotificationEvent
from incident_manager.notify.slack_message import block_message, escape, plain_message

from .conftest import MakeDelivery

AT = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = {"header": 150, "section": 3000, "field": 2000, "context": 3000, "text": 3000}
ENTITY = re.compile(r"&(amp|lt|gt);")

some_text = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="&<>😀a\n ", max_size=300).map(lambda text: text * 30),
    st.text(alphabet=st.characters(categories=["Cs", "Lu"]), max_size=20),
)
payloads = st.fixed_dictionaries(
    {"title": some_text, "description": some_text, "labels": st.dictionaries(some_text, some_text, max_size=30)},
    optional={
        "severity": st.sampled_from(["P0", "P4", "odd"]) | some_text,
        "status": some_text,
        "source": some_text,
        "alert_count": st.integers(0, 10**12),
        "acknowledged_by": st.none() | some_text,
        "assignee": st.none() | some_text,
        "resolved_by": st.none() | some_text,
        "resolution": st.none() | some_text,
    },
)


def delivery(event: NotificationEvent, payload: dict[str, Any]) -> Delivery:
    return Delivery(
        id="msg_1",
        incident_id="inc_1",
        destination="ops",
        event=event,
        payload=payload,
        created_at=AT,
        next_attempt_at=AT,
    )


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def check_text(text_object: dict[str, Any], limit: int) -> None:
    assert text_object["type"] in ("plain_text", "mrkdwn")
    text = text_object["text"]
    assert 1 <= units(text) <= limit
    assert text.strip()
    if text_object["type"] == "mrkdwn":
        check_escaped(text)


def check_escaped(text: str) -> None:
    assert not set("<>") & set(text)
    assert "&" not in ENTITY.sub("", text)


def check(message: dict[str, Any]) -> None:
    assert message["text"].strip()
    assert units(message["text"]) <= LIMITS["text"]
    check_escaped(message["text"])
    json.dumps(message).encode("ascii")
    message["text"].encode("utf-8")
    blocks = message.get("blocks", [])
    assert len(blocks) <= 50
    for block in blocks:
        match block["type"]:
            case "header":
                assert block["text"]["type"] == "plain_text"
                check_text(block["text"], LIMITS["header"])
            case "section" if "fields" in block:
                assert 1 <= len(block["fields"]) <= 10
                for field in block["fields"]:
                    check_text(field, LIMITS["field"])
            case "section":
                check_text(block["text"], LIMITS["section"])
            case "context":
                assert 1 <= len(block["elements"]) <= 10
                for element in block["elements"]:
                    check_text(element, LIMITS["context"])
            case other:
                pytest.fail(f"a block of type {other!r} has no known limits")


@given(event=st.sampled_from(NotificationEvent), payload=payloads)
def test_message_with_blocks_is_inside_the_limits(event: NotificationEvent, payload: dict[str, Any]) -> None:
    message = block_message(delivery(event, payload))
    assert message["blocks"]
    check(message)


@given(event=st.sampled_from(NotificationEvent), payload=payloads)
def test_plain_message_is_inside_the_limits(event: NotificationEvent, payload: dict[str, Any]) -> None:
    message = plain_message(delivery(event, payload))
    assert list(message) == ["text"]
    check(message)


def test_longest_of_everything_is_inside_the_limits() -> None:
    long = "&😀" * 20_000
    keys = ("title", "description", "status", "source", "assignee", "acknowledged_by", "resolved_by", "resolution")
    payload = dict.fromkeys(keys, long) | {"labels": {f"{long}{n}": long for n in range(100)}}
    check(block_message(delivery(NotificationEvent.TRIGGERED, payload)))
    check(plain_message(delivery(NotificationEvent.TRIGGERED, payload)))


@given(text=some_text, limit=st.integers(1, 50))
def test_cutting_splits_no_escape_and_keeps_what_fits(text: str, limit: int) -> None:
    cut = escape(text, limit)
    assert units(cut.encode("utf-16", "replace").decode("utf-16")) <= limit
    check_escaped(cut)
    whole = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert cut == whole or (cut.endswith("…") and whole.startswith(cut[:-1]))


def test_mentions_and_links_in_an_alert_are_only_text(make_delivery: MakeDelivery) -> None:
    message = block_message(make_delivery(description="<!channel> see <https://evil.example|our page>"))
    text = json.dumps(message)
    assert "<!channel>" not in text
    assert "&lt;!channel&gt; see &lt;https://evil.example|our page&gt;" in text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (NotificationEvent.TRIGGERED, "[P1 high] Disk full"),
        (NotificationEvent.ACKNOWLEDGED, "Acknowledged: [P1 high] Disk full"),
        (NotificationEvent.RESOLVED, "Resolved: [P1 high] Disk full"),
        (NotificationEvent.ESCALATED, "Escalated: [P1 high] Disk full"),
    ],
)
def test_headline_says_what_happened(make_delivery: MakeDelivery, event: NotificationEvent, text: str) -> None:
    message = block_message(make_delivery(event))
    assert message["text"] == text
    assert message["blocks"][0]["text"]["text"] == text


def test_facts_and_labels_are_shown(make_delivery: MakeDelivery) -> None:
    text = json.dumps(block_message(make_delivery(assignee="ada", labels={"b": "2", "a": "1"})))
    assert r"*Assignee*\nada" in text
    assert r"a=1\nb=2" in text


def test_title_of_several_lines_is_one_line(make_delivery: MakeDelivery) -> None:
    assert block_message(make_delivery(title="Disk\r\n full"))["text"] == "[P1 high] Disk full"
