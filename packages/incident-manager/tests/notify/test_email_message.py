"""Every e-mail is well-formed, whatever the incident says."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from incident_manager.domain.delivery import NotificationEvent, new_delivery
from incident_manager.notify.email_message import email_message
from incident_manager.notify.wording import headline

from .conftest import MakeDelivery

AT = datetime(2026, 1, 1, tzinfo=UTC)
HEADERS = {
    "Content-Type",
    "MIME-Version",
    "Subject",
    "From",
    "To",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "X-Incident-Id",
    "X-Incident-Event",
}
some_text = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="a\r\n:=?_ .é😀\ud800\u2028\x00", max_size=200),
    st.text(alphabet="<>&'\"é.\n", max_size=100).map(lambda text: text * 50),
    st.just("=?utf-8?q?Bcc=3A?="),
)
payloads = st.fixed_dictionaries(
    {"title": some_text, "description": some_text, "labels": st.dictionaries(some_text, some_text, max_size=5)},
    optional={"severity": some_text, "source": some_text, "resolution": some_text, "assignee": st.none() | some_text},
)


def build(event: NotificationEvent, payload: dict[str, Any], **more: Any) -> tuple[bytes, EmailMessage, Any]:
    delivery = new_delivery("inc_1", "mail", event, payload, AT)
    raw = email_message(delivery, sender="Störung <ops@example.org>", recipients=["ada@example.org"], **more)
    return raw, message_from_bytes(raw, policy=policy.default), delivery


@given(event=st.sampled_from(NotificationEvent), payload=payloads)
def test_message_is_well_formed(event: NotificationEvent, payload: dict[str, Any]) -> None:
    raw, message, _ = build(event, payload)
    lines = raw.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert max(map(len, lines)) <= 998
    assert raw.isascii()
    assert set(message.keys()) == HEADERS
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert message["To"] == "ada@example.org"
    assert message["From"].addresses[0].addr_spec == "ops@example.org"


@given(payload=payloads)
def test_subject_is_the_headline_to_whoever_reads_it(payload: dict[str, Any]) -> None:
    _, message, delivery = build(NotificationEvent.TRIGGERED, payload)
    wanted = headline(delivery)
    subject = str(message["Subject"])
    assert " ".join(subject.split()) == " ".join((wanted if len(wanted) <= 200 else wanted[:199] + "…").split())


@given(subject=some_text, text=some_text, html_text=some_text)
def test_texts_of_an_operator_cannot_break_it_either(subject: str, text: str, html_text: str) -> None:
    raw, message, _ = build(NotificationEvent.RESOLVED, {}, subject=subject, text=text, html_text=html_text)
    assert set(message.keys()) == HEADERS
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_message_is_bounded(make_delivery: MakeDelivery) -> None:
    long = "ä" * 1_000_000
    payload = {"title": long, "description": long, "labels": {f"{n}{long}"[:5000]: long for n in range(150)}}
    raw, message, _ = build(NotificationEvent.TRIGGERED, payload)
    assert len(raw) < 3_000_000
    assert "and 50 more" in message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
