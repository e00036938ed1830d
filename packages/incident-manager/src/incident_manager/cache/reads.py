"""Reading through the cache: one load for all who ask, and old answers, marked as such, while the database is away."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from incident_manager.domain.errors import StoreUnavailableError
from recloser import Clock

if TYPE_CHECKING:
    from incident_manager.cache.valkey import ValkeyCache

M = TypeVar("M", bound=BaseModel)


class Stored(BaseModel, Generic[M]):
    """What is in the cache: an answer, when it was read (seconds since 1970) and in which generation."""

    generation: str
    read_at: float
    question: dict[str, Any]
    answer: M


@dataclass(frozen=True, slots=True)
class Read(Generic[M]):
    """An answer, and its age in seconds when it is an old one because the database is away; else None."""

    answer: M
    stale: float | None = None


class Reads:
    """Answers questions from the cache or the database.

    An answer from the cache is one of the present generation, so none is older than the last write; see `written`.

    Args:
        cache: None to ask the database each time.
        ttl: Seconds that an answer in the cache is good for.
        clock: Time.
    """

    def __init__(self, cache: ValkeyCache | None, ttl: float, clock: Clock) -> None:
        self._cache = cache
        self._ttl = ttl
        self._clock = clock
        self._writes = 0
        self._distrusted_until = float("-inf")
        self._loading: dict[tuple[Any, ...], asyncio.Task[Any]] = {}

    async def written(self) -> None:
        """To be awaited after each commit, before anybody hears of it: what was cached before is not valid any more.

        When the cache cannot be told, this process does not ask it until all that it held has expired.
        """
        self._writes += 1
        if self._cache is not None and not await self._cache.begin_generation():
            self._distrusted_until = self._clock.monotonic() + self._ttl

    async def get(self, model: type[M], question: dict[str, Any], load: Callable[[], Awaitable[M]]) -> Read[M]:
        """Return the answer to a question, which `load` reads from the database.

        Args:
            model: Of the answer. What is in the cache and does not fit it is a miss.
            question: All that the answer depends on, as JSON.
            load: Called at most once at a time for one question.

        Raises:
            StoreUnavailableError: The database is away, and there is no old answer either.
        """
        cache = self._cache
        if cache is None:
            return Read(await load())
        # Who asks after a write must not share an answer that was read before it: the write is part of the name.
        name = (model.__name__, json.dumps(question, sort_keys=True), self._writes)
        task: asyncio.Task[Read[M]] | None = self._loading.get(name)
        if task is None:
            task = asyncio.create_task(self._answer(cache, model, question, load))
            self._loading[name] = task
            task.add_done_callback(lambda done: self._loaded(name, done))
        return await asyncio.shield(task)  # one who gives up takes the answer from nobody else

    async def _answer(
        self, cache: ValkeyCache, model: type[M], question: dict[str, Any], load: Callable[[], Awaitable[M]]
    ) -> Read[M]:
        text = json.dumps([model.__name__, question], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        writes = self._writes
        trusted = self._clock.monotonic() >= self._distrusted_until
        generation, found = await cache.get(key)
        name = None if generation is None else generation.decode(errors="replace")
        stored = _read(model, found, question)
        if trusted and stored is not None and stored.generation == name:
            return Read(stored.answer)
        read_at = self._clock.time()
        try:
            answer = await load()
        except StoreUnavailableError:
            old = _read(model, await cache.kept(key), question)
            if old is None:
                raise
            return Read(old.answer, max(0.0, self._clock.time() - old.read_at))
        if name is not None and trusted and writes == self._writes:
            await cache.put(key, _document(model, name, read_at, question, answer))
        return Read(answer)

    def _loaded(self, name: tuple[Any, ...], task: asyncio.Task[Any]) -> None:
        del self._loading[name]
        if not task.cancelled():
            task.exception()  # everybody who asked may have given up


def _document(model: type[M], generation: str, read_at: float, question: dict[str, Any], answer: M) -> bytes:
    stored = Stored[model](  # type: ignore[valid-type]
        generation=generation, read_at=read_at, question=question, answer=answer
    )
    return stored.model_dump_json().encode()


def _read(model: type[M], found: bytes | None, question: dict[str, Any]) -> Stored[M] | None:
    """What the cache holds, if it is what we put there for this question."""
    if found is None:
        return None
    try:
        stored: Stored[M] = Stored[model].model_validate_json(found)  # type: ignore[valid-type]
    except (ValidationError, RecursionError):
        return None
    return stored if stored.question == question else None
