"""Who is told what, and how notifications are tried."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from incident_manager.domain.severity import Severity
from incident_manager.settings.section import Seconds, Section, listed


class EscalationStep(Section):
    """Who is told when nobody has acknowledged an incident for a while."""

    after: Seconds
    """Seconds after the incident was opened."""
    destinations: Annotated[tuple[str, ...], Field(min_length=1)]


class RouteSettings(Section):
    """Who is told about the incidents that meet every condition given here."""

    severities: frozenset[Severity] = frozenset()
    """P0 to P4 or the usual words; empty for every severity."""
    sources: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Senders, with `*` for any text; empty for every sender."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Values that labels must have, with `*` for any text."""
    owners: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Owners of the service in the catalogue, with `*` for any text; empty for every incident."""
    tiers: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Tiers of the service in the catalogue; empty for every incident."""
    destinations: tuple[str, ...]
    escalation: tuple[EscalationStep, ...] = ()
    """Who is told later, unless the incident was acknowledged or has ended by then."""

    @field_validator("tiers", mode="before")
    @classmethod
    def _write_tiers(cls, value: Any) -> Any:
        return [str(item) if isinstance(item, int) else item for item in listed(value)]

    @field_validator("severities", mode="before")
    @classmethod
    def _parse_severities(cls, value: Any) -> Any:
        return [Severity.parse(item) if isinstance(item, str) else item for item in listed(value)]


class DispatcherSettings(Section):
    """How notifications are tried. Durations are seconds."""

    batch: Annotated[int, Field(ge=1, le=1000)] = 10
    """Notifications claimed at a time."""
    send_timeout: Seconds = 10.0
    """The longest one send may take."""
    lease: Seconds = 60.0
    """How long a claim lasts; after a crash the claimed notifications are sent again after this."""
    backoff_base: Seconds = 1.0
    """Wait after the first failed attempt; it doubles with each."""
    backoff_max: Seconds = 300.0
    """The longest wait between attempts."""
    give_up_after: Seconds = 72 * 3600.0
    """Age at which a notification that still fails is given up."""
    poll: Seconds = 15.0
    """The longest time without looking for notifications of other processes."""

    @model_validator(mode="after")
    def _check_combinations(self) -> DispatcherSettings:
        if self.lease <= self.send_timeout:
            raise ValueError(f"lease ({self.lease:g} s) must be longer than send_timeout ({self.send_timeout:g} s)")
        if self.backoff_max < self.backoff_base:
            raise ValueError(f"backoff_max ({self.backoff_max:g} s) must not be below backoff_base")
        return self
