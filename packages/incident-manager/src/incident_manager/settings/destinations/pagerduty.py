"""PagerDuty."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import SecretStr, field_validator

from incident_manager.notify.pagerduty import DEFAULT_URL
from incident_manager.notify.templates import TemplateKind
from incident_manager.settings.destinations.destination import PerSecond, TemplateSettings, template
from incident_manager.settings.destinations.http import HttpDestination

_ROUTING_KEY = re.compile(r"[0-9A-Za-z]{32}")


class PagerDutyTemplates(TemplateSettings):
    """What may be written instead of the built-in message."""

    kinds: ClassVar[Mapping[str, TemplateKind]] = {"summary": TemplateKind.TEXT}

    summary: Annotated[SecretStr | None, template(TemplateKind.TEXT)] = None
    """The summary, one line."""


class PagerDutyDestination(HttpDestination):
    """A PagerDuty service, through the Events API v2."""

    type: Literal["pagerduty"] = "pagerduty"
    url: SecretStr = SecretStr(DEFAULT_URL)
    """Where events go; the EU's service region has `https://events.eu.pagerduty.com/v2/enqueue`."""
    routing_key: SecretStr
    """Integration key of the service."""
    pages: bool = True
    """Somebody is woken: nothing is sent for an incident that was acknowledged or resolved while it waited."""
    max_per_second: PerSecond | None = 2.0
    """PagerDuty accepts 120 events a minute and key."""
    templates: PagerDutyTemplates = PagerDutyTemplates()

    @field_validator("routing_key")
    @classmethod
    def _check_routing_key(cls, value: SecretStr) -> SecretStr:
        if not _ROUTING_KEY.fullmatch(value.get_secret_value()):
            raise ValueError("must be the 32 letters and digits of an Events API v2 integration key")
        return value
