"""Slack incoming webhooks.

Answers: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks. A success is 200 with the body `ok`,
an error has a word as its body. Some endpoints answer 200 with `{"ok": false, "error": "..."}`, as the Web API does.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from incident_manager.domain.delivery import Delivery
from incident_manager.notify.endpoint import Answer, HttpEndpoint
from incident_manager.notify.errors import PermanentDeliveryError, TransientDeliveryError
from incident_manager.notify.slack_message import block_message, plain_message

logger = logging.getLogger(__name__)

_ERROR_WORD = re.compile(r"[a-z_]{1,60}")
_TRANSIENT_WORDS = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)
_THROTTLE_WORDS = frozenset({"ratelimited", "rate_limited"})


class SlackNotifier:
    """Posts notifications to one incoming webhook.

    Args:
        endpoint: The webhook.
    """

    def __init__(self, endpoint: HttpEndpoint) -> None:
        self._endpoint = endpoint

    async def send(self, delivery: Delivery) -> None:
        """See `Notifier.send`. Blocks that Slack refuses are sent once more as plain text."""
        answer = await self._post(block_message(delivery))
        word = _error_word(answer)
        if answer.status == 400 and word is not None and word.startswith("invalid_blocks"):
            logger.warning("Slack refused the blocks of %s (%s); sending plain text", delivery.id, word)
            answer = await self._post(plain_message(delivery))
            word = _error_word(answer)
        self._endpoint.raise_for(answer, word or "")
        if word is not None:
            _raise_for_word(word)

    async def close(self) -> None:
        """See `Notifier.close`."""
        await self._endpoint.close()

    async def _post(self, message: dict[str, Any]) -> Answer:
        body = json.dumps(message, separators=(",", ":")).encode("ascii")
        return await self._endpoint.post(body, {"content-type": "application/json; charset=utf-8"})


def _raise_for_word(word: str) -> None:
    """What a 200 answer with `ok: false` means."""
    text = f"Slack answered ok: false ({word})"
    if word in _TRANSIENT_WORDS:
        raise TransientDeliveryError(text, throttled=word in _THROTTLE_WORDS)
    raise PermanentDeliveryError(text)


def _error_word(answer: Answer) -> str | None:
    """The error Slack names, if it does; only a known form of word, because it is shown and stored."""
    text = answer.text.strip()
    if text.startswith("{"):
        try:
            parsed = json.loads(text)
        except ValueError:
            return None
        if parsed.get("ok") is not False:
            return None
        text = str(parsed.get("error", ""))
        return text if _ERROR_WORD.fullmatch(text) else "unknown_error"
    if answer.status == 200 or not _ERROR_WORD.fullmatch(text):
        return None
    return text
