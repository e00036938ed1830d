"""E-mail over SMTP."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import parseaddr
from typing import Any

from incident_manager.domain.delivery import Delivery
from incident_manager.notify.email_message import email_message, message_id
from incident_manager.notify.errors import PermanentDeliveryError, TransientDeliveryError
from incident_manager.notify.notifier import Receipt
from incident_manager.notify.smtp_session import MailServer, Outcome, hand_over
from incident_manager.notify.templates import Templates


class EmailNotifier:
    """Sends one message for each notification to all recipients.

    A recipient the server takes gets it once: when others are refused for now, only those are tried again, and who has
    it is kept with the delivery. One that is refused for ever is told on the timeline, and does not keep it from the
    rest.

    Args:
        server: The mail server.
        sender: `Name <address>` or an address.
        recipients: Addresses.
        templates: `subject`, `text` and `html` may be given.
    """

    def __init__(
        self, server: MailServer, *, sender: str, recipients: Sequence[str], templates: Templates | None = None
    ) -> None:
        self._server = server
        self._sender = sender
        self._address = parseaddr(sender)[1]
        self._recipients = tuple(recipients)
        self._templates = templates or Templates()

    async def send(self, delivery: Delivery) -> Receipt:
        """See `Notifier.send`."""
        warnings: list[str] = []
        accepted: list[str] = list(delivery.receipt.get("accepted", ()))
        refused: dict[str, str] = dict(delivery.receipt.get("refused", {}))
        left = [recipient for recipient in self._recipients if recipient not in accepted and recipient not in refused]
        message = self._message(delivery, warnings)
        try:
            outcome = await hand_over(self._server, self._address, left, message) if left else Outcome()
        except PermanentDeliveryError as exc:
            if not accepted:
                raise
            outcome = Outcome(refused=dict.fromkeys(left, str(exc)))
        accepted += outcome.accepted
        refused |= outcome.refused
        if outcome.deferred:
            progress = {"accepted": accepted, "refused": refused}
            raise TransientDeliveryError(_listed("does not take now", outcome.deferred, self._server), receipt=progress)
        if refused:
            problem = _listed("refused", refused, self._server)
            if not accepted:
                raise PermanentDeliveryError(problem)
            warnings.append(problem)
        kept: dict[str, Any] = {"message_id": message_id(delivery.id, self._address.rpartition("@")[2])}
        return Receipt(kept, tuple(warnings))

    async def close(self) -> None:
        """See `Notifier.close`. There is nothing to close: each message has a connection of its own."""

    def _message(self, delivery: Delivery, warnings: list[str]) -> bytes:
        return email_message(
            delivery,
            sender=self._sender,
            recipients=self._recipients,
            subject=self._templates.render("subject", delivery, warnings),
            text=self._templates.render("text", delivery, warnings),
            html_text=self._templates.render("html", delivery, warnings),
        )


def _listed(verb: str, answers: dict[str, str], server: MailServer) -> str:
    listed = "; ".join(f"{recipient} ({answer})" for recipient, answer in answers.items())
    return f"{server.host} {verb} {listed}"
