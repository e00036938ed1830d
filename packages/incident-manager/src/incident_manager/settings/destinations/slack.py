"""Slack, through an incoming webhook or through its Web API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr

from incident_manager.notify.slack_api import DEFAULT_URL
from incident_manager.notify.templates import TemplateKind
from incident_manager.settings.destinations.destination import PerSecond, TemplateSettings, template
from incident_manager.settings.destinations.http import HttpDestination, one_line_secret


class SlackTemplates(TemplateSettings):
    """What may be written instead of the built-in message."""

    kinds: ClassVar[Mapping[str, TemplateKind]] = {"text": TemplateKind.MRKDWN}

    text: Annotated[SecretStr | None, template(TemplateKind.MRKDWN)] = None
    """The message in Slack's `mrkdwn`; values are escaped."""


class SlackDestination(HttpDestination):
    """A Slack incoming webhook."""

    type: Literal["slack"] = "slack"
    max_per_second: PerSecond | None = 1.0
    """Slack accepts one message a second and channel."""
    templates: SlackTemplates = SlackTemplates()


class SlackApiDestination(HttpDestination):
    """A channel that a Slack app posts to with `chat.postMessage`; what follows a message goes into its thread."""

    type: Literal["slack_api"] = "slack_api"
    url: SecretStr = SecretStr(DEFAULT_URL)
    """The method's URL."""
    token: Annotated[SecretStr, AfterValidator(one_line_secret)]
    """Bot token (`xoxb-...`) with the scope `chat:write`."""
    channel: Annotated[str, Field(pattern=r"^[#@]?[^\s#@]{1,80}$")]
    """Id (`C0123456789`) or name of the channel."""
    max_per_second: PerSecond | None = 1.0
    """Slack accepts one message a second and channel."""
    templates: SlackTemplates = SlackTemplates()
