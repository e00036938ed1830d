"""Generic webhooks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from incident_manager.notify.templates import TemplateKind
from incident_manager.notify.webhook import decode_secret
from incident_manager.settings.destinations.destination import TemplateSettings, template
from incident_manager.settings.destinations.http import HttpDestination

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})


class WebhookTemplates(TemplateSettings):
    """What may be written instead of the built-in message."""

    kinds: ClassVar[Mapping[str, TemplateKind]] = {"body": TemplateKind.JSON}

    body: Annotated[SecretStr | None, template(TemplateKind.JSON)] = None
    """The request body, JSON."""


class WebhookDestination(HttpDestination):
    """A generic webhook, signed as Standard Webhooks says."""

    type: Literal["webhook"] = "webhook"
    secret: SecretStr | None = None
    """`whsec_` and 24 to 64 bytes in base64; without it, requests are not signed."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """More request headers."""
    templates: WebhookTemplates = WebhookTemplates()

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            decode_secret(value.get_secret_value())
        return value

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a header")
            if name.lower() in _OWN_HEADERS or name.lower().startswith("webhook-"):
                raise ValueError(f"{name!r} is set by the service itself")
            text = secret.get_secret_value()
            if not text.isascii() or not (text.isprintable() or "\t" in text):
                raise ValueError(f"the value of {name!r} must be printable ASCII")
        return value
