"""A breaker around a redis-py client, sync or async: `protect(client, breaker)`. Needs `recloser[redis]`.

Each command and each pipeline is a call. It fails when the server cannot be reached, is too slow, or cannot serve
(loading, read-only, out of memory); a missing key, a wrong type or a lost WATCH is an answer.
"""

from __future__ import annotations

from typing import TypeVar

from redis import Redis, exceptions
from redis.asyncio import Redis as AsyncRedis

from recloser.breaker import CircuitBreaker
from recloser.integrations import _redis

__all__ = ["protect", "unprotect"]

C = TypeVar("C", bound="Redis | AsyncRedis")

judge = _redis.judge_with(exceptions)


def protect(client: C, breaker: CircuitBreaker) -> C:
    """Let every command and every pipeline of this client ask the breaker first.

    A rejection raises `CircuitOpenError`. The client's own retries are part of one call. Waiting for a connection of a
    pool that is used up does not count. What a command that is meant to wait (BLPOP, XREAD with BLOCK) takes is not
    slow. Subscribing is a call; listening is never rejected, and counts only when it fails.

    Returns:
        The same client.

    Raises:
        ValueError: It is protected already.
    """
    return _redis.protect(client, breaker, judge)


def unprotect(client: C) -> C:
    """Undo `protect`: commands that begin from now on ask no breaker. Pipelines that exist stay protected.

    Returns:
        The same client.

    Raises:
        ValueError: It is not protected.
    """
    return _redis.unprotect(client)
