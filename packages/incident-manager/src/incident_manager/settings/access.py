"""Who may use the API, and how much of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, SecretStr, field_validator, model_validator

from incident_manager.access.roles import Role
from incident_manager.access.tokens import MIN_TOKEN_LENGTH, Token, digest_of, parse_digest
from incident_manager.settings.section import Seconds, Section, listed


class TokenSettings(Section):
    """A token that is good as long as it stands in the settings."""

    roles: Annotated[frozenset[Role], Field(min_length=1)]
    """`ingest`, `read`, `respond` (includes `read`), `admin` (includes all)."""
    token: SecretStr | None = None
    """Its text, best as `${NAME}` of the environment; at least 32 printable characters, as random as can be."""
    hash: SecretStr | None = None
    """Or what `incident-manager tokens create` prints of it: `sha256:` and 64 hexadecimal digits."""
    expires_at: AwareDatetime | None = None
    """From this moment on it is good no longer."""

    @field_validator("roles", mode="before")
    @classmethod
    def _list_roles(cls, value: Any) -> Any:
        return listed(value)

    @field_validator("token")
    @classmethod
    def _check_token(cls, value: SecretStr | None) -> SecretStr | None:
        return _check_secret(value)

    @field_validator("hash")
    @classmethod
    def _check_hash(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_digest(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _one_of_two(self) -> TokenSettings:
        if (self.token is None) == (self.hash is None):
            raise ValueError("give either token or hash")
        return self

    def as_token(self, name: str, at: datetime) -> Token:
        """The token, as the directory knows it."""
        if self.token is not None:
            digest = digest_of(self.token.get_secret_value())
        else:
            digest = parse_digest(self.hash.get_secret_value() if self.hash else "")
        return Token(
            id=f"settings:{name}",
            name=name,
            roles=self.roles,
            digest=digest,
            created_at=at,
            expires_at=self.expires_at,
        )


def _check_secret(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        text = value.get_secret_value()
        if len(text) < MIN_TOKEN_LENGTH or not all("!" <= character <= "~" for character in text):
            raise ValueError(f"must be at least {MIN_TOKEN_LENGTH} printable ASCII characters without spaces")
    return value


class RateSettings(Section):
    """A rate that one token, or one address, is held to."""

    per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Requests a second in the long run."""
    burst: Annotated[int, Field(ge=1)]
    """Requests at once after a rest."""


class AccessSettings(Section):
    """How tokens are checked, and how often they may be used. Durations are seconds."""

    refresh: Seconds = 5.0
    """Tokens made or revoked elsewhere are known after this at the latest."""
    stale_after: Seconds = 3600.0
    """While the database is away, tokens kept there open everything for this long, and then `ingest` only."""
    metrics: Literal["read", "open"] = "read"
    """Whether `/metrics` needs a token with the role `read`, or none."""
    ingest_rate: RateSettings = RateSettings(per_second=2000.0, burst=10_000)
    """How often one token may send alerts."""
    rate: RateSettings = RateSettings(per_second=50.0, burst=200)
    """How often one token may ask for anything else."""
    failure_rate: RateSettings = RateSettings(per_second=0.2, burst=20)
    """How often one address may come without a good token before it is told to wait."""
    session_life: Annotated[Seconds, Field(ge=60)] = 43_200.0
    """After this a browser that was signed in must sign in again."""
    session_key: SecretStr | None = None
    """Signs the sessions of browsers, best as `${NAME}` of the environment; the same for all processes behind one
    address. At least 32 printable characters, as random as can be. None for a key in `data_dir`."""
    max_streams: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Clients that may follow `/v1/stream` at once."""

    @field_validator("session_key")
    @classmethod
    def _check_session_key(cls, value: SecretStr | None) -> SecretStr | None:
        return _check_secret(value)
