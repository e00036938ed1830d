"""Slack incoming webhooks.

Answers: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks. A success is 200 with the body `ok`,
an error has a word as its body. Some endpoints answer 200 with `{"ok": false, "error": "..."}`, as the Web API does.
"""

from __future__ import annotations

import json
from typing import Any

from incident_manager.domain.delivery import Delivery
from incident_manager.notify.endpoint import Answer, HttpEndpoint
from incident_manager.notify.notifier import Receipt
from incident_manager.notify.slack_answer import error_word, raise_for_word, refuses_blocks
from incident_manager.notify.slack_message import block_message, marked_up, plain_message
from incident_manager.notify.templates import Templates


class SlackNotifier:
    """Posts notifications to one incoming webhook.

    Args:
        endpoint: The webhook.
        templates: `text` may be given; it takes the place of the blocks.
    """

    def __init__(self, endpoint: HttpEndpoint, templates: Templates | None = None) -> None:
        self._endpoint = endpoint
        self._templates = templates or Templates()

    async def send(self, delivery: Delivery) -> Receipt:
        """See `Notifier.send`. What Slack refuses for its form is sent once more as plain text."""
        warnings: list[str] = []
        text = self._templates.render("text", delivery, warnings)
        answer = await self._post(block_message(delivery) if text is None else marked_up(text))
        word = error_word(answer)
        if answer.status in (200, 400) and refuses_blocks(word):
            warnings.append(f"Slack refused its blocks ({word}) and it was sent as plain text")
            answer = await self._post(plain_message(delivery))
            word = error_word(answer)
        self._endpoint.raise_for(answer, word or "")
        if word is not None:
            raise_for_word(word, self._endpoint.retry_after(answer))
        return Receipt(warnings=tuple(warnings))

    async def close(self) -> None:
        """See `Notifier.close`."""
        await self._endpoint.close()

    async def _post(self, message: dict[str, Any]) -> Answer:
        body = json.dumps(message, separators=(",", ":")).encode("ascii")
        return await self._endpoint.post(body, {"content-type": "application/json; charset=utf-8"})
