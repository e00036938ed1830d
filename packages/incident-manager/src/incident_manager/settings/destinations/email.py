"""E-mail."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from incident_manager.notify.templates import TemplateKind
from incident_manager.settings.destinations.destination import (
    Destination,
    TemplateSettings,
    host_problem,
    template,
)
from incident_manager.settings.section import Seconds, located

_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9:](?:[A-Za-z0-9.:_-]{0,252})")
_ADDRESS_RULE = "must be an address such as ops@example.org, in ASCII"
_PORTS = {"none": 25, "starttls": 587, "tls": 465}


class EmailTemplates(TemplateSettings):
    """What may be written instead of the built-in message."""

    kinds: ClassVar[Mapping[str, TemplateKind]] = {
        "subject": TemplateKind.TEXT,
        "text": TemplateKind.TEXT,
        "html": TemplateKind.HTML,
    }

    subject: Annotated[SecretStr | None, template(TemplateKind.TEXT)] = None
    """The subject, one line."""
    text: Annotated[SecretStr | None, template(TemplateKind.TEXT)] = None
    """The part in plain text."""
    html: Annotated[SecretStr | None, template(TemplateKind.HTML)] = None
    """The part in HTML; values are escaped."""


class EmailDestination(Destination):
    """People with an address, through a mail server."""

    type: Literal["email"] = "email"
    server: str
    """Name of the mail server; its certificate must carry it."""
    security: Literal["none", "starttls", "tls"] = "starttls"
    """How the connection is secured. With `starttls` nothing is sent to a server that does not offer it."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of the mail server; by default 25, 587 or 465 for `none`, `starttls` and `tls`."""
    ca_file: Path | None = None
    """Certificates to trust, in PEM; by default the system's."""
    username: str | None = None
    """Who logs in; without it nobody does."""
    password: SecretStr | None = None
    sender: str
    """Whom it is from: `Incidents <incidents@example.org>` or an address."""
    to: tuple[str, ...] = Field(min_length=1, max_length=100)
    """Addresses."""
    timeout: Seconds | None = None
    """For one message; at most, and by default, `dispatcher.send_timeout`."""
    templates: EmailTemplates = EmailTemplates()

    @property
    def host(self) -> str:
        """See `Destination.host`."""
        return self.server

    @property
    def effective_port(self) -> int:
        """The port, set or usual."""
        return _PORTS[self.security] if self.port is None else self.port

    def trust(self) -> ssl.SSLContext | None:
        """What certificates are checked against; None when the connection is not secured."""
        return None if self.security == "none" else ssl.create_default_context(cafile=self.ca_file)

    @field_validator("server")
    @classmethod
    def _check_server(cls, value: str, info: ValidationInfo) -> str:
        if not _HOST.fullmatch(value):
            raise ValueError("must be the name of a machine, without port")
        problem = host_problem(value, allow_private=bool(info.data.get("allow_private")))
        if problem is not None:
            raise ValueError(f"leads to {problem}; set allow_private: true if a private address is meant")
        return value

    @field_validator("ca_file")
    @classmethod
    def _check_ca_file(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        try:
            ssl.create_default_context(cafile=value)
        except ssl.SSLError:
            raise ValueError("holds no certificates in PEM") from None
        except OSError as exc:
            raise ValueError(f"cannot be read ({exc.strerror})") from None
        return value

    @field_validator("sender")
    @classmethod
    def _check_sender(cls, value: str) -> str:
        name, address = parseaddr(value)
        if not value.isprintable() or not _ADDRESS.fullmatch(address) or (name and not value.rstrip().endswith(">")):
            raise ValueError(f"{_ADDRESS_RULE}, or a name and an address in <>")
        return value

    @field_validator("to")
    @classmethod
    def _check_to(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for index, address in enumerate(value):
            if not _ADDRESS.fullmatch(address):
                raise located([index], address, _ADDRESS_RULE)
            if address in value[:index]:
                raise located([index], address, "occurs twice")
        return value

    @model_validator(mode="after")
    def _check_combinations(self) -> Any:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        if self.security == "none" and self.password is not None and not self.allow_private:
            raise ValueError("a password is not sent over an unsecured connection; set security: starttls or tls")
        if self.security == "none" and self.ca_file is not None:
            raise ValueError("ca_file has no use with security: none")
        return self
