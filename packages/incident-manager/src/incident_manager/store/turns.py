"""Taking turns at a database that serves only so many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from incident_manager.domain.errors import StoreUnavailableError

_SOON = 1.0


class Turns:
    """Lets a number of callers in at once; the others wait in the order of their coming.

    Args:
        count: Callers at once.
        timeout: Seconds to wait for a turn.
    """

    def __init__(self, count: int, timeout: float) -> None:
        self._count = count
        self._timeout = timeout
        self._free = asyncio.Semaphore(count)
        self._collecting = asyncio.Lock()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold one turn for the length of a block.

        Raises:
            StoreUnavailableError: None came in time.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
        except TimeoutError as error:
            raise StoreUnavailableError("the database is busy and others wait before this caller", _SOON) from error
        try:
            yield
        finally:
            self._free.release()

    async def all(self) -> None:
        """Return when those who have a turn, or wait for one already, are done."""
        async with self._collecting:  # two that each held some turns would wait for each other
            for _ in range(self._count):
                await self._free.acquire()
            for _ in range(self._count):
                self._free.release()
