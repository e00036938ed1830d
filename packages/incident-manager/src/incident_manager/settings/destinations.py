"""Who can be told: one section for each type of destination."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import httpx2
from pydantic import Field, SecretStr, ValidationInfo, field_validator

from incident_manager.notify.ssrf import address_problem, literal_address
from incident_manager.notify.webhook import decode_secret
from incident_manager.settings.section import Section

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})


class _HttpDestination(Section):
    allow_private: bool = False
    """Whether the URL may lead to a private or loopback address."""
    url: SecretStr
    """Where to post. Treated as a secret, because the path of a webhook often is one."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        try:
            url = httpx2.URL(value.get_secret_value())
        except (httpx2.InvalidURL, ValueError):
            raise ValueError("must be a URL") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("must be a http:// or https:// URL with a host")
        if url.userinfo:
            raise ValueError("must not hold a user name or password; use headers")
        problem = _host_problem(url.raw_host.decode("ascii"), allow_private=bool(info.data.get("allow_private")))
        if problem is not None:
            raise ValueError(f"leads to {problem}; set allow_private: true if a private address is meant")
        return value


class WebhookDestination(_HttpDestination):
    """A generic webhook, signed as Standard Webhooks says."""

    type: Literal["webhook"] = "webhook"
    secret: SecretStr | None = None
    """`whsec_` and 24 to 64 bytes in base64; without it, requests are not signed."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """More request headers."""
    max_per_second: Annotated[float, Field(gt=0)] | None = None
    """At most this many notifications a second; None for no limit."""

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


class SlackDestination(_HttpDestination):
    """A Slack incoming webhook."""

    type: Literal["slack"] = "slack"
    max_per_second: Annotated[float, Field(gt=0)] | None = 1.0
    """Slack accepts one message a second and channel."""


DestinationSettings = Annotated[WebhookDestination | SlackDestination, Field(discriminator="type")]
"""One destination; its `type` says which."""


def _host_problem(host: str, *, allow_private: bool) -> str | None:
    """Why a host must not be called, as far as its spelling tells; names are checked again at every send."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return None if allow_private else "this machine itself"
    address = literal_address(host)
    return None if address is None else address_problem(address, allow_private=allow_private)
