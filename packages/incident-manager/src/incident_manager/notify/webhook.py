"""Generic webhooks, signed as Standard Webhooks 1.0.0 says (standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import Any

from incident_manager.domain.delivery import Delivery
from incident_manager.notify.endpoint import HttpEndpoint
from incident_manager.notify.notifier import Receipt
from incident_manager.notify.templates import Templates
from recloser import Clock

SECRET_PREFIX = "whsec_"  # noqa: S105 - not a secret, but what every secret begins with


def decode_secret(secret: str) -> bytes:
    """The signing key in a `whsec_<base64>` secret.

    Raises:
        ValueError: It is not of this form, or not of 24 to 64 bytes. The message does not repeat the secret.
    """
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError("must begin with 'whsec_', followed by 24 to 64 random bytes in base64")
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("what follows 'whsec_' must be base64") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"holds {len(key)} bytes: must hold 24 to 64")
    return key


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` of one attempt: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")


def webhook_body(delivery: Delivery) -> bytes:
    """The request body, the same bytes at every attempt: `{"type", "timestamp", "data": {"incident"}}`."""
    message: dict[str, Any] = {
        "type": f"incident.{delivery.event}",
        "timestamp": delivery.created_at.isoformat().replace("+00:00", "Z"),
        "data": {"incident": delivery.payload},
    }
    # ASCII only: a sender's lone surrogate could not be encoded otherwise.
    return json.dumps(message, separators=(",", ":")).encode("ascii")


class WebhookNotifier:
    """Posts notifications as JSON; any 2xx answer is a delivery.

    Args:
        endpoint: Where to.
        clock: For the time of each attempt.
        key: Signing key, from `decode_secret`; None sends unsigned.
        headers: More request headers, for example of an API gateway.
        templates: `body` may be given; it is JSON.
    """

    def __init__(
        self,
        endpoint: HttpEndpoint,
        *,
        clock: Clock,
        key: bytes | None = None,
        headers: dict[str, str] | None = None,
        templates: Templates | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._key = key
        self._headers = dict(headers or {})
        self._templates = templates or Templates()

    async def send(self, delivery: Delivery) -> Receipt:
        """See `Notifier.send`."""
        warnings: list[str] = []
        text = self._templates.render("body", delivery, warnings)
        body = webhook_body(delivery) if text is None else text.encode()
        timestamp = int(self._clock.time())
        headers = {
            **self._headers,
            "content-type": "application/json",
            "user-agent": "llm-incident-manager",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
        }
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, delivery.id, timestamp, body)
        self._endpoint.raise_for(await self._endpoint.post(body, headers))
        return Receipt(warnings=tuple(warnings))

    async def close(self) -> None:
        """See `Notifier.close`."""
        await self._endpoint.close()
