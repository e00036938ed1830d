"""The statements on tokens, within one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, insert, or_, select, update

from incident_manager.access.roles import Role
from incident_manager.access.tokens import Token
from incident_manager.domain.errors import TokenNotFoundError
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import tokens

_ALL = select(tokens).order_by(tokens.c.created_at, tokens.c.id)
_GET = select(tokens).where(tokens.c.id == bindparam("token_id"))
_REVOKE = (
    update(tokens)
    .where(tokens.c.id == bindparam("token_id"), tokens.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("at"))
)
_USED = (
    update(tokens)
    .where(
        tokens.c.id == bindparam("token_id"),
        or_(tokens.c.last_used_at.is_(None), tokens.c.last_used_at < bindparam("at")),
    )
    .values(last_used_at=bindparam("at"))
)


async def add_token(unit: UnitOfWork, token: Token) -> None:
    """Keep a new token."""
    values: dict[str, Any] = {column.name: getattr(token, column.name) for column in tokens.c}
    await unit.connection.execute(insert(tokens), {**values, "roles": " ".join(sorted(token.roles))})


async def all_tokens(unit: UnitOfWork) -> Sequence[Token]:
    """Return every token, revoked ones too, oldest first."""
    return [_to_token(row) for row in await unit.connection.execute(_ALL)]


async def revoke_token(unit: UnitOfWork, token_id: str, at: datetime) -> tuple[Token, Token]:
    """Revoke a token; one that was revoked already keeps its time.

    Returns:
        It as it was before and as it is now.

    Raises:
        TokenNotFoundError: There is none of this id.
    """
    before = await _get(unit, token_id)
    await unit.connection.execute(_REVOKE, {"token_id": token_id, "at": at})
    return before, await _get(unit, token_id)


async def note_use(unit: UnitOfWork, used: Mapping[str, datetime]) -> None:
    """Remember when tokens were last used, by id."""
    if used:
        rows = [{"token_id": token_id, "at": at} for token_id, at in sorted(used.items())]
        await unit.connection.execute(_USED, rows)


async def _get(unit: UnitOfWork, token_id: str) -> Token:
    row = (await unit.connection.execute(_GET, {"token_id": token_id})).one_or_none()
    if row is None:
        raise TokenNotFoundError(token_id)
    return _to_token(row)


def _to_token(row: Row[Any]) -> Token:
    values = row._asdict()
    values["roles"] = frozenset(Role(role) for role in values["roles"].split())
    return Token(**values)
