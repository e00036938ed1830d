"""What every type of destination has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from incident_manager.notify.ssrf import address_problem, literal_address
from incident_manager.notify.templates import MessageTemplate, TemplateKind
from incident_manager.settings.section import Section

PerSecond = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A rate."""


class Destination(Section):
    """Base of the types of destination."""

    allow_private: bool = False
    """Whether it may stand at a private or loopback address."""
    pages: bool = False
    """Whether a notification there wakes somebody: none is then sent for an incident that was acknowledged or resolved
    while it waited."""
    max_per_second: PerSecond | None = None
    """At most this many notifications a second; None for no limit."""

    @property
    def host(self) -> str:
        """Where notifications go, fit to be shown."""
        raise NotImplementedError


class TemplateSettings(Section):
    """Base of the templates of a type. They are kept as secrets, because a body may need to hold one."""

    kinds: ClassVar[Mapping[str, TemplateKind]]
    """What each template gives."""

    def compiled(self) -> dict[str, MessageTemplate]:
        """The templates that are set, by the part of the message they are for."""
        values = {part: getattr(self, part) for part in self.kinds}
        return {
            part: MessageTemplate(value.get_secret_value(), self.kinds[part])
            for part, value in values.items()
            if value is not None
        }


def template(kind: TemplateKind) -> AfterValidator:
    """A validator: the template can be rendered for a sample incident."""

    def check(value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            MessageTemplate(value.get_secret_value(), kind)
        return value

    return AfterValidator(check)


def host_problem(host: str, *, allow_private: bool) -> str | None:
    """Why a host must not be called, as far as its spelling tells; names are checked again at every send."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return None if allow_private else "this machine itself"
    address = literal_address(host)
    return None if address is None else address_problem(address, allow_private=allow_private)
