"""Many callers, one transaction: while one is being committed, those who come meanwhile share the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate, takewhile
from typing import Generic, TypeVar

from incident_manager.domain.errors import StoreUnavailableError

T = TypeVar("T")
R = TypeVar("R")


class Coalescer(Generic[T, R]):
    """Gives what concurrent callers submit to `handle` in groups. A caller that is alone never waits for others.

    A durable commit costs the same for one as for many, so under load the cost of each falls.

    Args:
        handle: Returns one result for each item of a group, all or none; it is called again for each item alone when
            a group fails for another reason than an unusable store, so that one caller's fault is not another's.
        weigh: How much work an item is.
        limit: Work in a group at most, unless a single item is more.
    """

    def __init__(
        self, handle: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, weigh: Callable[[T], int], limit: int
    ) -> None:
        self._handle = handle
        self._weigh = weigh
        self._limit = limit
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> R:
        """Return the result for the item, after the group it was in is done.

        Raises:
            Exception: Whatever `handle` raised for it.
        """
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="coalesced writes")
        return await future

    async def _work(self) -> None:
        group: list[tuple[T, asyncio.Future[R]]] = []
        try:
            while self._waiting:
                group = self._next_group()
                await self._do(group)
        finally:  # cancelled, as at the end of the loop: nobody is left waiting for ever
            abandoned, self._waiting = [*group, *self._waiting], []
            for _, future in abandoned:
                future.cancel()

    def _next_group(self) -> list[tuple[T, asyncio.Future[R]]]:
        weights = accumulate(self._weigh(item) for item, _ in self._waiting)
        count = max(1, sum(1 for _ in takewhile(lambda weight: weight <= self._limit, weights)))
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return [(item, future) for item, future in group if not future.done()]  # the others gave up waiting

    async def _do(self, group: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        if not group:
            return
        try:
            results = await self._handle([item for item, _ in group])
        except Exception as error:  # noqa: BLE001 - every caller gets it
            if isinstance(error, StoreUnavailableError):
                # Those who came meanwhile learn it too: each would wait as long as these did, one after the other.
                waiting, self._waiting = self._waiting, []
                for _, future in [*group, *waiting]:
                    _fail(future, error)
            elif len(group) == 1:
                _fail(group[0][1], error)
            else:
                for one in group:
                    await self._do([one])
            return
        for (_, future), result in zip(group, results, strict=True):
            if not future.done():
                future.set_result(result)


def _fail(future: asyncio.Future[R], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
