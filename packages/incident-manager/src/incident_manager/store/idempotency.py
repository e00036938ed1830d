"""The answers kept for idempotency keys, within one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from incident_manager.domain.errors import IdempotencyKeyReusedError
from incident_manager.store.repository import UnitOfWork
from incident_manager.store.schema import idempotency

KEPT_FOR = 24 * 3600.0
"""Seconds an answer is kept."""

MOST_KEPT = 100_000
"""Answers kept at most; beyond, the oldest go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """An answer to be given again.

    Attributes:
        request: SHA-256 of the request that it answered.
    """

    request: str
    status: int
    headers: dict[str, str]
    body: str


class SameKeyAtOnceError(Exception):
    """Another transaction has just answered the same key; run the work again, and its answer is found."""


_FIND = select(idempotency.c.request, idempotency.c.status, idempotency.c.headers, idempotency.c.body).where(
    idempotency.c.scope == bindparam("of_scope"),
    idempotency.c.key == bindparam("of_key"),
    idempotency.c.created_at > bindparam("after"),
)
_FORGET_EXPIRED = delete(idempotency).where(
    idempotency.c.scope == bindparam("of_scope"),
    idempotency.c.key == bindparam("of_key"),
    idempotency.c.created_at <= bindparam("after"),
)
_FORGET_OLD = delete(idempotency).where(idempotency.c.created_at <= bindparam("before"))
_LIMIT_MOMENT = (
    select(idempotency.c.created_at).order_by(idempotency.c.created_at.desc()).offset(bindparam("kept")).limit(1)
)


async def find_answer(unit: UnitOfWork, scope: str, key: str, request: str, after: datetime) -> KeptAnswer | None:
    """Return the answer kept for a key since a moment.

    Args:
        unit: The transaction.
        scope: Whose key it is.
        key: The key.
        request: SHA-256 of the request that comes now.
        after: Answers that are as old as this count no more.

    Raises:
        IdempotencyKeyReusedError: It was kept for another request.
    """
    values = {"of_scope": scope, "of_key": key, "after": after}
    row = (await unit.connection.execute(_FIND, values)).one_or_none()
    if row is None:
        return None
    if row.request != request:
        raise IdempotencyKeyReusedError(key)
    return KeptAnswer(**row._asdict())


async def keep_answer(
    unit: UnitOfWork, scope: str, key: str, answer: KeptAnswer, at: datetime, after: datetime
) -> None:
    """Keep an answer, in place of one from `after` or earlier.

    Raises:
        SameKeyAtOnceError: Another transaction kept one for the key meanwhile.
    """
    await unit.connection.execute(_FORGET_EXPIRED, {"of_scope": scope, "of_key": key, "after": after})
    values = {
        "scope": scope,
        "key": key,
        "request": answer.request,
        "created_at": at,
        "status": answer.status,
        "headers": answer.headers,
        "body": answer.body,
    }
    try:
        await unit.connection.execute(insert(idempotency), values)
    except IntegrityError as error:
        raise SameKeyAtOnceError from error


async def forget_answers(unit: UnitOfWork, before: datetime, most: int = MOST_KEPT) -> int:
    """Forget the answers kept at `before` or earlier, and the oldest beyond `most`; return how many went."""
    gone = (await unit.connection.execute(_FORGET_OLD, {"before": before})).rowcount
    limit = await unit.connection.scalar(_LIMIT_MOMENT, {"kept": most})
    if limit is not None:
        gone += (await unit.connection.execute(_FORGET_OLD, {"before": limit})).rowcount
    return gone
