"""Where the catalogue of services is, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from incident_manager.domain.severity import Severity
from incident_manager.settings.section import Section


class CatalogSettings(Section):
    """The catalogue of services."""

    file: Path
    """YAML or TOML; looked at again whenever it changes."""
    severity_by_tier: dict[str, Severity] = Field(default_factory=dict)
    """How bad an incident about a service of a tier is, at least; without it the catalogue changes no severity."""

    @field_validator("severity_by_tier", mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("must hold a severity for each tier")
        return {str(tier): Severity.parse(word) if isinstance(word, str) else word for tier, word in value.items()}
