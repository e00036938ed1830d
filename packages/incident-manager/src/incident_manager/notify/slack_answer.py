"""What Slack's answers mean.

Errors are words: https://docs.slack.dev/reference/methods/chat.postMessage#errors and
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors.
"""

from __future__ import annotations

import json
import re
from typing import Any

from incident_manager.notify.endpoint import Answer
from incident_manager.notify.errors import PermanentDeliveryError, TransientDeliveryError

_ERROR_WORD = re.compile(r"[a-z_]{1,60}")
_THROTTLE_WORDS = frozenset({"ratelimited", "rate_limited"})
_TRANSIENT_WORDS = _THROTTLE_WORDS | {
    "external_channel_migrating",
    "fatal_error",
    "internal_error",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
    "unexpected_answer",
}
_BLOCK_WORDS = ("invalid_blocks", "msg_blocks_too_long", "msg_too_long")


def error_word(answer: Answer) -> str | None:
    """The error Slack names, if it does; only a known form of word, because it is shown and stored."""
    text = answer.text.strip()
    if text.startswith("{"):
        parsed = parsed_object(answer)
        return named_error(parsed) if parsed.get("ok") is False else None
    if answer.status == 200 or not _ERROR_WORD.fullmatch(text):
        return None
    return text


def named_error(parsed: dict[str, Any]) -> str:
    """The error of an answer with `ok: false`."""
    text = str(parsed.get("error", ""))
    return text if _ERROR_WORD.fullmatch(text) else "unknown_error"


def parsed_object(answer: Answer) -> dict[str, Any]:
    """The JSON object in an answer's body; empty when there is none."""
    try:
        parsed = json.loads(answer.text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def refuses_blocks(word: str | None) -> bool:
    """Whether the message might be taken as plain text."""
    return word is not None and word.startswith(_BLOCK_WORDS)


def raise_for_word(word: str, retry_after: float | None = None) -> None:
    """Raise what an error in an answer of status 200 means.

    Raises:
        TransientDeliveryError: Slack's own trouble, or too many messages.
        PermanentDeliveryError: Any other word: the token, the channel or the message is at fault.
    """
    text = f"Slack answered ok: false ({word})"
    if word in _TRANSIENT_WORDS:
        raise TransientDeliveryError(text, retry_after, throttled=word in _THROTTLE_WORDS)
    raise PermanentDeliveryError(text)
