"""An incident as an e-mail: text and HTML, every line inside what SMTP allows, and nothing of it taken for a header.

RFC 5322 (form, 998 octets a line), RFC 2047 (what is not ASCII in headers), RFC 3834 (`Auto-Submitted`).
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from email.charset import QP, Charset
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import format_datetime, formataddr, parseaddr

from incident_manager.domain.delivery import Delivery
from incident_manager.notify.wording import as_text, cut, facts, headline, labels, one_line, printable, service_facts

SUBJECT_LIMIT = 200
DESCRIPTION_LIMIT = 20_000
VALUE_LIMIT = 1000
LABELS_LIMIT = 100

_UTF8 = Charset("utf-8")
_UTF8.body_encoding = QP  # readable as it is, and lines of 76 characters whatever the text


def email_message(
    delivery: Delivery,
    *,
    sender: str,
    recipients: Sequence[str],
    subject: str | None = None,
    text: str | None = None,
    html_text: str | None = None,
) -> bytes:
    """The message as it is sent, the same bytes at every attempt apart from the MIME boundary.

    `Message-ID` is made of the delivery's id, so that a receiver can tell a repetition; `References` names the
    incident, so that everything about one incident is shown together.

    Args:
        delivery: What to tell.
        sender: `Name <address>` or an address.
        recipients: Addresses, all of them, also those who have it already.
        subject: Instead of the built-in one; likewise `text` and `html_text`.
    """
    domain = parseaddr(sender)[1].rpartition("@")[2]
    message = MIMEMultipart("alternative")
    message["Subject"] = _header(cut(one_line(subject) or headline(delivery), SUBJECT_LIMIT))
    message["From"] = _mailbox(sender)
    message["To"] = ", ".join(recipients)
    message["Date"] = format_datetime(delivery.created_at)
    message["Message-ID"] = message_id(delivery.id, domain)
    root = message_id(delivery.incident_id, domain)
    first = delivery.thread.get("message_id", root)
    message["In-Reply-To"] = first
    message["References"] = " ".join(dict.fromkeys([root, first]))
    message["Auto-Submitted"] = "auto-generated"
    message["X-Incident-Id"] = _word(delivery.incident_id)
    message["X-Incident-Event"] = str(delivery.event)
    message.attach(_part(text_body(delivery) if text is None else text, "plain"))
    message.attach(_part(html_body(delivery) if html_text is None else html_text, "html"))
    return message.as_bytes(policy=compat32.clone(linesep="\r\n"))


def message_id(id: str, domain: str) -> str:
    """The `Message-ID` made of one of our ids."""
    return f"<{_word(id)}@{domain}>"


def text_body(delivery: Delivery) -> str:
    """The part in plain text."""
    lines = [cut(headline(delivery), VALUE_LIMIT), ""]
    description = _description(delivery)
    if description:
        lines += [description, ""]
    lines += [f"{name}: {value}" for name, value in _facts(delivery)]
    shown = _labels(delivery)
    if shown:
        lines += ["", "Labels:", *(f"  {name} = {value}" for name, value in shown)]
    return "\n".join([*lines, "", f"Incident: {delivery.incident_id}", ""])


def html_body(delivery: Delivery) -> str:
    """The part in HTML, every value escaped; it loads nothing from elsewhere."""
    parts = [f"<h2>{html.escape(cut(headline(delivery), VALUE_LIMIT))}</h2>"]
    description = _description(delivery)
    if description:
        parts.append(f'<p style="white-space:pre-wrap">{html.escape(description)}</p>')
    parts.append(_table(_facts(delivery)))
    shown = _labels(delivery)
    if shown:
        parts += ["<h3>Labels</h3>", _table(shown)]
    parts.append(f"<p>Incident: {html.escape(delivery.incident_id)}</p>")
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n{body}\n</body></html>\n'


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = "\n".join(
        f'<tr><th align="left">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>' for name, value in rows
    )
    return f"<table>\n{cells}\n</table>"


def _description(delivery: Delivery) -> str:
    return printable(cut(as_text(delivery.payload.get("description")).strip(), DESCRIPTION_LIMIT))


def _facts(delivery: Delivery) -> list[tuple[str, str]]:
    known = [*facts(delivery.payload), *service_facts(delivery.payload)]
    return [(name, _value(value)) for name, value in known]


def _labels(delivery: Delivery) -> list[tuple[str, str]]:
    found = labels(delivery.payload)
    shown = [(_value(name), _value(value)) for name, value in found[:LABELS_LIMIT]]
    more = len(found) - LABELS_LIMIT
    return shown if more <= 0 else [*shown, ("…", f"and {more} more")]


def _value(text: str) -> str:
    return one_line(cut(text, VALUE_LIMIT))


def _part(text: str, subtype: str) -> MIMEText:
    # Without lone carriage returns, which some servers refuse and others take for line ends.
    lines = printable(as_text(text).replace("\r\n", "\n").replace("\r", "\n"))
    return MIMEText(lines, subtype, _UTF8)  # type: ignore[arg-type]  # typeshed knows only the name of a charset


def _header(text: str) -> str:
    # Text that only looks encoded would be decoded by the receiver, into anything.
    plain = text.isascii() and "=?" not in text
    return Header(text, "us-ascii" if plain else "utf-8", maxlinelen=76, header_name="Subject").encode()


def _mailbox(sender: str) -> str:
    name, address = parseaddr(sender)
    return formataddr((name, address), "utf-8") if name else address


def _word(id: str) -> str:
    """An id of ours with nothing in it that would end a header or a `Message-ID`."""
    return "".join(character for character in id if character.isascii() and (character.isalnum() or character in "_-."))
