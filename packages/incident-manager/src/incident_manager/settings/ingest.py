"""How alerts of other systems are read."""

from __future__ import annotations

from pydantic import SecretStr, field_validator

from incident_manager.settings.section import Seconds, Section


class IngestSettings(Section):
    """How alerts of other systems are read."""

    resolve_timeout: Seconds = 300.0
    """How long a Prometheus alert without an end holds unless it is repeated; also how long after a start, or a time
    without the database, no incident ends because nobody repeated its alert."""
    sentinel_secret: SecretStr | None = None
    """What Sentinel signs its webhooks with; None takes unsigned ones."""

    @field_validator("sentinel_secret")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().strip():
            raise ValueError("must not be blank")  # an unset variable must not turn the check off
        return value
