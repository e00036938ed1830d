"""PagerDuty's Events API v2.

Answers: https://developer.pagerduty.com/docs/events-api-v2-overview#response-codes--retry-logic. 202 is a success, 400
an event that it refuses, 429 asks for less traffic.
"""

from __future__ import annotations

import json

from incident_manager.domain.delivery import Delivery
from incident_manager.notify.endpoint import Answer, HttpEndpoint
from incident_manager.notify.notifier import Receipt
from incident_manager.notify.pagerduty_event import pagerduty_event
from incident_manager.notify.templates import Templates
from incident_manager.notify.wording import cut, one_line

DEFAULT_URL = "https://events.pagerduty.com/v2/enqueue"
"""The service region of the US; the EU's is `https://events.eu.pagerduty.com/v2/enqueue`."""

_SHOWN = 200


class PagerDutyNotifier:
    """Sends events: an incident is an alert there, with the incident's id as its deduplication key.

    Args:
        endpoint: Where to.
        routing_key: Of the service's integration.
        templates: `summary` may be given.
    """

    def __init__(self, endpoint: HttpEndpoint, *, routing_key: str, templates: Templates) -> None:
        self._endpoint = endpoint
        self._routing_key = routing_key
        self._templates = templates

    async def send(self, delivery: Delivery) -> Receipt:
        """See `Notifier.send`."""
        warnings: list[str] = []
        summary = self._templates.render("summary", delivery, warnings)
        body = pagerduty_event(delivery, self._routing_key, summary)
        answer = await self._endpoint.post(body, {"content-type": "application/json"})
        self._endpoint.raise_for(answer, self._reason(answer))
        return Receipt(warnings=tuple(warnings))

    async def close(self) -> None:
        """See `Notifier.close`."""
        await self._endpoint.close()

    def _reason(self, answer: Answer) -> str:
        """What PagerDuty says is wrong with an event, fit to be shown."""
        try:
            parsed = json.loads(answer.text)
        except ValueError:
            return ""
        errors = parsed.get("errors") if isinstance(parsed, dict) else None
        if not isinstance(errors, list) or not errors or not isinstance(errors[0], str):
            return ""
        return cut(one_line(errors[0].replace(self._routing_key, "***")), _SHOWN)
