"""The LLM-ops services, and how incidents are assessed with them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Literal

import httpx2
from pydantic import Field, SecretStr, field_validator, model_validator

from incident_manager.settings.section import Seconds, Section


class NoAuth(Section):
    """The service asks for no credentials."""

    type: Literal["none"] = "none"

    def headers(self) -> Mapping[str, str]:
        """Request headers."""
        return {}


class ApiKeyAuth(Section):
    """A key in a header."""

    type: Literal["api_key"] = "api_key"
    key: SecretStr
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] = "X-API-Key"
    """Name of the header."""

    def headers(self) -> Mapping[str, str]:
        """Request headers."""
        return {self.header: self.key.get_secret_value()}


class BearerAuth(Section):
    """A bearer token."""

    type: Literal["bearer"] = "bearer"
    token: SecretStr

    def headers(self) -> Mapping[str, str]:
        """Request headers."""
        return {"Authorization": f"Bearer {self.token.get_secret_value()}"}


class BasicAuth(Section):
    """A user name and a password."""

    type: Literal["basic"] = "basic"
    user: str
    password: SecretStr

    def headers(self) -> Mapping[str, str]:
        """Request headers."""
        pair = f"{self.user}:{self.password.get_secret_value()}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


Auth = Annotated[NoAuth | ApiKeyAuth | BearerAuth | BasicAuth, Field(discriminator="type")]
"""How we say who we are; its `type` says which."""


class ServiceSettings(Section):
    """One service. The operator names its address, so that it may be a private one."""

    url: str
    """Base URL."""
    auth: Auth = NoAuth()
    connect_timeout: Seconds = 10.0
    """Seconds to connect."""
    timeout: Seconds = 30.0
    """Seconds for a whole call."""
    verify_tls: bool = True
    """Whether its certificate is checked."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        try:
            url = httpx2.URL(value)
        except (httpx2.InvalidURL, ValueError):
            raise ValueError("must be a URL") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("must be a http:// or https:// URL with a host")
        if url.userinfo or url.query or url.fragment:
            raise ValueError("must hold no user name, password, query or fragment; use auth")
        return value


class SentinelSettings(ServiceSettings):
    """Sentinel: predicts severities."""

    dialect: Literal["server", "native"] = "server"
    """`server` as its public server answers, `native` as the ecosystem's documents say."""
    minimum_confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A prediction below it is left to the rules."""


class ShieldSettings(ServiceSettings):
    """Shield: scans texts."""

    scanners: tuple[str, ...] = ()
    """Names of the scanners to use; none means all."""


class ModelSettings(ServiceSettings):
    """An OpenAI-compatible endpoint: Edge-Agent or another one. `url` is what stands before `/v1`."""

    model: Annotated[str, Field(min_length=1)]
    """Name of the model to ask."""
    max_tokens: Annotated[int, Field(ge=16, le=100_000)] = 500
    """Length of an answer at most."""


class GovernanceSettings(ServiceSettings):
    """Governance: checks compliance."""

    frameworks: Annotated[tuple[str, ...], Field(min_length=1)]
    """Those that apply: GDPR, HIPAA, SOC2, PCI, ISO27001 or your own."""


class ServicesSettings(Section):
    """The services that there are; without any, incidents are not assessed."""

    sentinel: SentinelSettings | None = None
    shield: ShieldSettings | None = None
    edge_agent: ModelSettings | None = None
    governance: GovernanceSettings | None = None

    @property
    def present(self) -> Mapping[str, ServiceSettings]:
        """Those that are set, by name."""
        every: dict[str, ServiceSettings | None] = {
            "sentinel": self.sentinel,
            "shield": self.shield,
            "edge-agent": self.edge_agent,
            "governance": self.governance,
        }
        return {name: service for name, service in every.items() if service is not None}


class AssessmentSettings(Section):
    """How incidents are assessed. Durations are seconds."""

    hold: Annotated[float, Field(ge=0, le=300)] = 10.0
    """How long the first notification of an incident waits for the findings, at most."""
    patience: Seconds = 3.0
    """How long a service may take before rules stand in for it; its answer counts when it comes."""
    critical_services: frozenset[str] = frozenset()
    """Values of the label `service` whose incidents the rules rate one step worse."""
    severity_by: Literal["sentinel", "edge_agent"] | None = None
    """Who predicts severities; by default Sentinel if it is set, else the model of `edge_agent`."""
    give_up_after: Seconds = 24 * 3600.0
    """Age at which an incident is left with what the rules said."""

    @model_validator(mode="after")
    def _check_combinations(self) -> AssessmentSettings:
        if 0 < self.hold <= 2 * self.patience:
            raise ValueError(
                f"hold ({self.hold:g} s) must be 0, or longer than two times patience ({self.patience:g} s), or "
                "notifications would leave before the rules have stood in"
            )
        return self
