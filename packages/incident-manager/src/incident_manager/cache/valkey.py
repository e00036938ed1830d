"""Redis or Valkey behind a circuit breaker: whatever is wrong with it is a miss."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from recloser import CircuitBreaker, CircuitOpenError
from recloser.integrations.redis import protect

logger = logging.getLogger(__name__)

MAX_BYTES = 1024 * 1024
"""Larger answers are not cached."""

_PREFIX = "incident-manager:"
_GENERATION = f"{_PREFIX}generation"
_FAILURES = (RedisError, OSError, TimeoutError, CircuitOpenError)


class ValkeyCache:
    """Answers by key, each valid in one generation only: a write begins the next generation, for all replicas.

    No method raises because of the server. Close it after use.

    Args:
        url: `redis://...` or `rediss://...`.
        breaker: Guards every command.
        timeout: Seconds that a command may take.
        ttl: Seconds that an answer is good for.
        keep: Seconds that it is kept for the time when the database is away.
    """

    def __init__(self, url: str, breaker: CircuitBreaker, *, timeout: float, ttl: float, keep: float) -> None:
        client: Any = Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            max_connections=50,
        )
        self._client: Any = protect(client, breaker)
        self._ttl = round(ttl * 1000)
        self._keep = round(keep * 1000)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(self, key: str) -> tuple[bytes | None, bytes | None]:
        """Return the present generation and the answer that is good for it; None for what is not to be had."""
        try:
            generation, answer = await self._client.mget(_GENERATION, f"{_PREFIX}fresh:{key}")
            if generation is None:
                await self._client.set(_GENERATION, secrets.token_hex(8), nx=True)
        except _FAILURES as error:
            logger.debug("the cache cannot be read: %s", type(error).__name__)
            return None, None
        return generation, answer

    async def kept(self, key: str) -> bytes | None:
        """Return the last answer there was, of whatever generation."""
        try:
            found: bytes | None = await self._client.get(f"{_PREFIX}kept:{key}")
        except _FAILURES as error:
            logger.debug("the cache cannot be read: %s", type(error).__name__)
            return None
        return found

    async def put(self, key: str, answer: bytes) -> None:
        """Keep an answer."""
        if len(answer) > MAX_BYTES:
            return
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.set(f"{_PREFIX}fresh:{key}", answer, px=self._ttl)
                pipe.set(f"{_PREFIX}kept:{key}", answer, px=self._keep)
                await pipe.execute()
        except _FAILURES as error:
            logger.debug("the cache cannot be written: %s", type(error).__name__)

    async def begin_generation(self) -> bool:
        """Make every answer invalid, for all replicas; False when that could not be done."""
        try:
            await self._client.set(_GENERATION, secrets.token_hex(8))
        except _FAILURES as error:
            logger.debug("the cache cannot be written: %s", type(error).__name__)
            return False
        return True
