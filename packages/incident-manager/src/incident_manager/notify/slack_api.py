"""Slack's Web API, `chat.postMessage`: what follows a message goes into its thread.

https://docs.slack.dev/reference/methods/chat.postMessage. A success is 200 *and* `"ok": true`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from incident_manager.domain.delivery import Delivery, NotificationEvent
from incident_manager.notify.endpoint import Answer, HttpEndpoint
from incident_manager.notify.notifier import Receipt
from incident_manager.notify.slack_answer import named_error, parsed_object, raise_for_word, refuses_blocks
from incident_manager.notify.slack_message import block_message, marked_up, plain_message
from incident_manager.notify.templates import Templates

DEFAULT_URL = "https://slack.com/api/chat.postMessage"

_TIMESTAMP = re.compile(r"[0-9]{1,20}\.[0-9]{1,20}")
_NO_THREAD_WORDS = frozenset({"thread_not_found", "message_not_found", "cannot_reply_to_message"})


class SlackApiNotifier:
    """Posts notifications to one channel; acknowledgement, escalation and end are replies to the first message.

    An escalation is shown in the channel as well. The first message's `ts` is kept with its delivery, so threads
    survive a restart, and are the same for every replica.

    Args:
        endpoint: The method's URL.
        token: Bot token with the scope `chat:write`.
        channel: Id or name of the channel.
        templates: `text` may be given; it takes the place of the blocks.
    """

    def __init__(self, endpoint: HttpEndpoint, *, token: str, channel: str, templates: Templates) -> None:
        self._endpoint = endpoint
        self._channel = channel
        self._templates = templates
        self._headers = {
            "content-type": "application/json; charset=utf-8",
            "authorization": f"Bearer {token}",
        }

    async def send(self, delivery: Delivery) -> Receipt:
        """See `Notifier.send`."""
        warnings: list[str] = []
        text = self._templates.render("text", delivery, warnings)
        message = {**(block_message(delivery) if text is None else marked_up(text)), **self._place(delivery)}
        answer, word = await self._post(message)
        if word in _NO_THREAD_WORDS and "thread_ts" in message:
            warnings.append("its thread is gone from Slack and it was posted to the channel")
            message = {key: message[key] for key in message if key not in ("thread_ts", "reply_broadcast")}
            answer, word = await self._post(message)
        if refuses_blocks(word):
            warnings.append(f"Slack refused its blocks ({word}) and it was sent as plain text")
            place = {key: message[key] for key in message if key not in ("text", "blocks")}
            answer, word = await self._post({**plain_message(delivery), **place})
        if word is not None:
            raise_for_word(word, self._endpoint.retry_after(answer))
        return Receipt(self._kept(answer), tuple(warnings))

    async def close(self) -> None:
        """See `Notifier.close`."""
        await self._endpoint.close()

    def _place(self, delivery: Delivery) -> dict[str, Any]:
        """Where the message belongs: in the channel, or in the thread of the first one."""
        place: dict[str, Any] = {"channel": self._channel, "unfurl_links": False, "unfurl_media": False}
        # The channel may have been changed in the settings since; a thread belongs to one channel.
        if delivery.thread.get("ts") and delivery.thread.get("of") == self._channel:
            place["thread_ts"] = delivery.thread["ts"]
            if delivery.event is NotificationEvent.ESCALATED:
                place["reply_broadcast"] = True
        return place

    def _kept(self, answer: Answer) -> dict[str, Any]:
        timestamp = parsed_object(answer).get("ts")
        if not isinstance(timestamp, str) or not _TIMESTAMP.fullmatch(timestamp):
            return {}
        return {"ts": timestamp, "of": self._channel}

    async def _post(self, message: dict[str, Any]) -> tuple[Answer, str | None]:
        """Post once. The word is None for a success.

        Raises:
            TransientDeliveryError: There was no answer, or one of a status that means so.
            PermanentDeliveryError: A status that means so.
        """
        body = json.dumps(message, separators=(",", ":")).encode("ascii")
        answer = await self._endpoint.post(body, self._headers)
        parsed = parsed_object(answer)
        word = named_error(parsed) if parsed.get("ok") is False else None
        self._endpoint.raise_for(answer, word or "")
        if parsed.get("ok") is not True and word is None:
            word = "unexpected_answer"  # something between us and Slack answered
        return answer, word
