"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass

from incident_manager.access.roles import Role
from incident_manager.access.sessions import Session

ANONYMOUS = "api"
"""Name of a caller without a token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever sent a request.

    Attributes:
        token_id: None without a token.
        name: The token's name.
        roles: All that is granted, included ones too.
        address: The client's IP address, or `unknown`.
        withheld: Roles the token has that nobody can confirm now, because the database is away.
        session: The browser's session, if it is one that showed its token before.
    """

    token_id: str | None
    name: str
    roles: frozenset[Role]
    address: str
    withheld: frozenset[Role] = frozenset()
    session: Session | None = None

    @property
    def key(self) -> str:
        """Whose share of a limit it uses, and whose idempotency keys: the token's, else the address's."""
        return f"address:{self.address}" if self.token_id is None else f"token:{self.token_id}"

    def signature(self, claimed: str | None) -> str:
        """Return the name under which a change is kept.

        Without a claim it is the token's name. A token may speak for others (a chat bot does), but its own name is
        kept beside theirs: `ana (token chat-bot)`.
        """
        if claimed is None or claimed == self.name:
            return self.name
        return claimed if self.token_id is None else f"{claimed} (token {self.name})"
