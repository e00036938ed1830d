"""What the destinations have in common that are spoken to over HTTP."""

from __future__ import annotations

import httpx2
from pydantic import SecretStr, ValidationInfo, field_validator

from incident_manager.settings.destinations.destination import Destination, host_problem


class HttpDestination(Destination):
    """Base of these types."""

    url: SecretStr
    """Where to post. Treated as a secret, because the path of a webhook often is one."""

    @property
    def host(self) -> str:
        """See `Destination.host`."""
        return httpx2.URL(self.url.get_secret_value()).host

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
        problem = host_problem(url.raw_host.decode("ascii"), allow_private=bool(info.data.get("allow_private")))
        if problem is not None:
            raise ValueError(f"leads to {problem}; set allow_private: true if a private address is meant")
        return value


def one_line_secret(value: SecretStr) -> SecretStr:
    """A validator: what is sent in a header is printable ASCII, without blanks."""
    text = value.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII without blanks")
    return value
