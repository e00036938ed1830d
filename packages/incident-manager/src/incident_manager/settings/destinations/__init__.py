"""Who can be told: one section for each type of destination."""

from typing import Annotated

from pydantic import Field

from incident_manager.settings.destinations.email import EmailDestination
from incident_manager.settings.destinations.http import HttpDestination
from incident_manager.settings.destinations.pagerduty import PagerDutyDestination
from incident_manager.settings.destinations.slack import SlackApiDestination, SlackDestination
from incident_manager.settings.destinations.webhook import WebhookDestination

DestinationSettings = Annotated[
    WebhookDestination | SlackDestination | SlackApiDestination | PagerDutyDestination | EmailDestination,
    Field(discriminator="type"),
]
"""One destination; its `type` says which."""

__all__ = [
    "DestinationSettings",
    "EmailDestination",
    "HttpDestination",
    "PagerDutyDestination",
    "SlackApiDestination",
    "SlackDestination",
    "WebhookDestination",
]
