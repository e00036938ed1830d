"""How alerts of other systems are read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from incident_manager.settings.section import Seconds, Section


class IngestSettings(Section):
    """How alerts of other systems are read."""

    resolve_timeout: Seconds = 300.0
    """How long a Prometheus alert without an end holds unless it is repeated; also how long after a start, or a time
    without the database, no incident ends because nobody repeated its alert."""
    sentinel_secret: Annotated[SecretStr, Field(min_length=1)] | None = None
    """What Sentinel signs its webhooks with; None takes unsigned ones."""
