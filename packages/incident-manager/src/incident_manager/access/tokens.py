"""Tokens: made, recognised by a digest, never kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from incident_manager.access.roles import Role

MIN_TOKEN_LENGTH = 32
"""Characters of a token that somebody else made; ours have 60."""

DIGEST_PREFIX = "sha256:"
"""In front of a digest in the settings."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known of a token; not its secret.

    Attributes:
        id: Public: 12 hexadecimal digits that stand in the token too, or `settings:<name>`.
        name: Who or what holds it; people read it where they read who did something.
        digest: SHA-256 of the whole token, 64 hexadecimal digits. A slow hash would protect no more: the secret has 256
            random bits, which nobody can guess through.
        last_used_at: To the minute; None when it never was.
        revoked_at: From then on it opens nothing; None while it is good.
    """

    id: str
    name: str
    roles: frozenset[Role]
    digest: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def problem(self, at: datetime) -> str | None:
        """Return why it opens nothing at a moment; None when it is good."""
        if self.revoked_at is not None and self.revoked_at <= at:
            return "the token was revoked"
        if self.expires_at is not None and self.expires_at <= at:
            return "the token has expired"
        return None


def new_token(name: str, roles: frozenset[Role], at: datetime, expires_at: datetime | None = None) -> tuple[Token, str]:
    """Make a token: what to keep of it, and its text `im_<id>_<secret>`, which is shown once and not kept."""
    token_id = secrets.token_hex(6)
    text = f"im_{token_id}_{secrets.token_urlsafe(32)}"
    token = Token(id=token_id, name=name, roles=roles, digest=digest_of(text), created_at=at, expires_at=expires_at)
    return token, text


def digest_of(text: str) -> str:
    """Return the digest by which a token is known."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def parse_digest(text: str) -> str:
    """Read `sha256:<64 hexadecimal digits>`.

    Raises:
        ValueError: It is something else.
    """
    digest = text.removeprefix(DIGEST_PREFIX)
    if not text.startswith(DIGEST_PREFIX) or not _DIGEST.fullmatch(digest):
        raise ValueError("must be sha256: and 64 lower-case hexadecimal digits, as `tokens create` prints it")
    return digest
