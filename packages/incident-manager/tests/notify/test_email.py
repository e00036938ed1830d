"""E-mail against real mail servers: secured and not, refusing, hanging up and hanging."""

import ssl
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import trustme
from mail_receiver import DROP, HANG, MailReceiver

from incident_manager.domain.delivery import NotificationEvent
from incident_manager.notify.email import EmailNotifier
from incident_manager.notify.errors import PermanentDeliveryError, TransientDeliveryError
from incident_manager.notify.notifier import Receipt
from incident_manager.notify.smtp_session import MailServer
from incident_manager.notify.ssrf import ForbiddenAddressError

from .conftest import MakeDelivery

NAME = "mail.example.test"
PASSWORD = "correct horse SECRET"


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(NAME).configure_cert(context)
    return context


@pytest.fixture(scope="session")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def mail() -> AsyncIterator[MailReceiver]:
    async with MailReceiver() as receiver:
        yield receiver


async def here(host: str, port: int) -> list[str]:
    """A resolver: every name stands at this machine."""
    return ["127.0.0.1"]


def notifier(receiver: MailReceiver, *to: str, **server: Any) -> EmailNotifier:
    values = {"host": NAME, "port": receiver.port, "allow_private": True, "resolver": here, "timeout": 10.0, **server}
    return EmailNotifier(
        MailServer(**values), sender="Incidents <incidents@example.org>", recipients=to or ("ada@example.org",)
    )


async def test_message_arrives_as_text_and_html(mail: MailReceiver, make_delivery: MakeDelivery) -> None:
    await notifier(mail, "ada@example.org", "bob@example.org").send(make_delivery())
    [got] = mail.mails
    assert got.recipients == ["ada@example.org", "bob@example.org"]
    assert got.content["Subject"] == "[P1 high] Disk full"
    assert got.content["From"] == "Incidents <incidents@example.org>"
    assert got.content["To"] == "ada@example.org, bob@example.org"
    assert got.content["Auto-Submitted"] == "auto-generated"
    assert "Only 2 % left" in got.part("plain")
    assert "<h2>[P1 high] Disk full</h2>" in got.part("html")


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_connection_is_secured_and_the_certificate_checked_against_the_name(
    security: Any, server_tls: ssl.SSLContext, trust: ssl.SSLContext, make_delivery: MakeDelivery
) -> None:
    async with MailReceiver(security, server_tls) as mail:
        await notifier(mail, tls=trust, starttls=security == "starttls").send(make_delivery())
        assert [got.secured for got in mail.mails] == [True]


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("wrong", ["name", "authority"])
async def test_server_that_cannot_prove_who_it_is_gets_nothing(
    security: Any, wrong: str, server_tls: ssl.SSLContext, trust: ssl.SSLContext, make_delivery: MakeDelivery
) -> None:
    async with MailReceiver(security, server_tls, login=("ada", PASSWORD)) as mail:
        changed: dict[str, Any] = {"host": "other.example.test"} if wrong == "name" else {}
        tls = ssl.create_default_context() if wrong == "authority" else trust
        sender = notifier(mail, tls=tls, starttls=security == "starttls", username="ada", password=PASSWORD, **changed)
        with pytest.raises(
            TransientDeliveryError, match=r"no secure connection to \w+\.example\.test: .*(name|certif)"
        ):
            await sender.send(make_delivery())
        assert (mail.named, mail.mails) == ([], [])


async def test_nothing_is_sent_to_a_server_without_the_starttls_that_is_asked_for(
    mail: MailReceiver, trust: ssl.SSLContext, make_delivery: MakeDelivery
) -> None:
    with pytest.raises(TransientDeliveryError, match="cannot be used for STARTTLS"):
        await notifier(mail, tls=trust, starttls=True).send(make_delivery())
    assert (mail.named, mail.mails) == ([], [])


async def test_login(server_tls: ssl.SSLContext, trust: ssl.SSLContext, make_delivery: MakeDelivery) -> None:
    async with MailReceiver("starttls", server_tls, login=("ada", PASSWORD)) as mail:
        await notifier(mail, tls=trust, starttls=True, username="ada", password=PASSWORD).send(make_delivery())
        assert len(mail.mails) == 1


async def test_refused_login_waits_for_another_password_and_repeats_none(
    server_tls: ssl.SSLContext, trust: ssl.SSLContext, make_delivery: MakeDelivery
) -> None:
    async with MailReceiver("tls", server_tls, login=("ada", "another")) as mail:
        with pytest.raises(TransientDeliveryError, match="answered 535 while logging in") as caught:
            await notifier(mail, tls=trust, username="ada", password=PASSWORD).send(make_delivery())
        assert "SECRET" not in repr(caught.value) + str(caught.value)
        assert caught.value.__context__ is None
        assert mail.mails == []


async def test_greylisted_recipient_gets_it_at_the_next_attempt(
    mail: MailReceiver, make_delivery: MakeDelivery
) -> None:
    mail.recipients["ada@example.org"] = deque(["451 4.7.1 Greylisted, try again"])
    sender, delivery = notifier(mail), make_delivery()
    with pytest.raises(TransientDeliveryError, match=r"does not take now ada@example.org \(451 4.7.1 Greylisted"):
        await sender.send(delivery)
    await sender.send(delivery)
    assert [got.recipients for got in mail.mails] == [["ada@example.org"]]


async def test_only_who_was_put_off_is_tried_again(mail: MailReceiver, make_delivery: MakeDelivery) -> None:
    mail.recipients["bob@example.org"] = deque(["450 4.2.0 Busy"])
    mail.recipients["cyd@example.org"] = deque(["550 5.1.1 No such user"])
    sender, delivery = notifier(mail, "ada@example.org", "bob@example.org", "cyd@example.org"), make_delivery()
    with pytest.raises(TransientDeliveryError, match=r"bob@example.org") as caught:
        await sender.send(delivery)
    receipt = await sender.send(replace(delivery, receipt=caught.value.receipt))
    assert [got.recipients for got in mail.mails] == [["ada@example.org"], ["bob@example.org"]]
    assert receipt.warnings == (f"{NAME} refused cyd@example.org (550 5.1.1 No such user)",)
    assert {got.content["Message-ID"] for got in mail.mails} == {"<msg_1@example.org>"}
    assert {got.content["To"] for got in mail.mails} == {"ada@example.org, bob@example.org, cyd@example.org"}


async def test_message_nobody_may_have_is_a_permanent_failure(mail: MailReceiver, make_delivery: MakeDelivery) -> None:
    mail.recipients["ada@example.org"] = deque(["550 5.1.1 No such user"])
    with pytest.raises(PermanentDeliveryError, match=r"refused ada@example.org"):
        await notifier(mail).send(make_delivery())
    assert mail.mails == []


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("451 4.3.0 Try again later", TransientDeliveryError),
        ("452 4.3.1 Disk full", TransientDeliveryError),
        ("421 4.3.2 Shutting down", TransientDeliveryError),
        ("552 5.3.4 Too big", PermanentDeliveryError),
        ("554 5.7.1 Spam", PermanentDeliveryError),
    ],
)
async def test_refused_message(
    mail: MailReceiver, make_delivery: MakeDelivery, reply: str, kind: type[Exception]
) -> None:
    mail.messages.append(reply)
    sender, delivery = notifier(mail), make_delivery()
    with pytest.raises(kind, match=f"{NAME} answered {reply[:3]} .* while handing over the message") as caught:
        await sender.send(delivery)
    assert not getattr(caught.value, "may_have_arrived", False)
    await sender.send(delivery)
    assert len(mail.mails) == 1


@pytest.mark.parametrize(("reply", "problem"), [(DROP, "ended the connection"), (HANG, "no answer from .* within 0.5")])
async def test_missing_answer_to_the_message_leaves_open_whether_it_arrived(
    mail: MailReceiver, make_delivery: MakeDelivery, reply: str, problem: str
) -> None:
    mail.messages.append(reply)
    with pytest.raises(TransientDeliveryError, match=problem) as caught:
        await notifier(mail, timeout=0.5).send(make_delivery())
    assert caught.value.may_have_arrived


async def test_server_that_ends_the_connection_before_the_message_has_not_got_it(
    mail: MailReceiver, make_delivery: MakeDelivery
) -> None:
    mail.recipients["ada@example.org"] = deque([DROP])
    with pytest.raises(TransientDeliveryError, match="ended the connection while naming the recipients") as caught:
        await notifier(mail).send(make_delivery())
    assert not caught.value.may_have_arrived


async def test_server_that_is_away(make_delivery: MakeDelivery) -> None:
    async with MailReceiver() as mail:
        sender = notifier(mail)
    with pytest.raises(TransientDeliveryError, match=f"could not connect to {NAME} port {mail.port}") as caught:
        await sender.send(make_delivery())
    assert not caught.value.may_have_arrived


async def test_private_address_is_not_called(mail: MailReceiver, make_delivery: MakeDelivery) -> None:
    with pytest.raises(ForbiddenAddressError, match="a loopback address"):
        await notifier(mail, allow_private=False).send(make_delivery())
    assert mail.connections == 0


async def test_next_address_is_tried_when_one_does_not_answer(mail: MailReceiver, make_delivery: MakeDelivery) -> None:
    async def two(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]  # nobody listens at the first

    await notifier(mail, resolver=two).send(make_delivery())
    assert len(mail.mails) == 1


async def test_what_follows_is_shown_with_the_beginning(mail: MailReceiver, make_delivery: MakeDelivery) -> None:
    sender = notifier(mail)
    beginning = make_delivery(id="inc_7")
    receipt = await sender.send(beginning)
    assert receipt == Receipt({"message_id": "<msg_1@example.org>"})
    end = make_delivery(NotificationEvent.RESOLVED, id="inc_7")
    await sender.send(replace(end, thread=dict(receipt.kept)))
    first, second = (got.content for got in mail.mails)
    assert second["In-Reply-To"] == first["Message-ID"] == "<msg_1@example.org>"
    assert first["References"] == "<inc_7@example.org>"
    assert second["References"].split() == ["<inc_7@example.org>", "<msg_1@example.org>"]
    assert second["Subject"] == "Resolved: [P1 high] Disk full"


async def test_text_of_an_alert_is_no_header_and_no_markup(mail: MailReceiver, make_delivery: MakeDelivery) -> None:
    await notifier(mail).send(make_delivery(title="<img src=x onerror=1>\r\nBcc: a@b"))
    [got] = mail.mails
    assert got.recipients == ["ada@example.org"]
    assert got.content["Bcc"] is None
    assert got.content["Subject"] == "[P1 high] <img src=x onerror=1> Bcc: a@b"
    assert "&lt;img src=x onerror=1&gt; Bcc: a@b" in got.part("html")
    assert "<img" not in got.part("html")
