"""What is read through the cache is never older than the last write, whatever the cache does or holds."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import BaseModel
from redis import Redis
from testing.servers import ValkeyServer

from incident_manager.cache.reads import Reads
from incident_manager.cache.valkey import MAX_BYTES, ValkeyCache
from incident_manager.domain.errors import StoreUnavailableError
from recloser import CircuitBreaker, State, presets
from recloser.testing import FakeClock

QUESTION: dict[str, Any] = {"id": "inc_1"}


class Answer(BaseModel):
    text: str


class Database:
    """What the answers are read from."""

    def __init__(self) -> None:
        self.text = "first"
        self.reads = 0
        self.away = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def load(self) -> Answer:
        self.reads += 1
        text = self.text
        await self.answers.wait()
        if self.away:
            raise StoreUnavailableError("away", 1.0)
        return Answer(text=text)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def server(valkey: ValkeyServer) -> Iterator[Redis]:
    """The server as somebody else may use it, empty."""
    with Redis.from_url(valkey.url) as client:
        client.flushall()
        yield client


@asynccontextmanager
async def connected(
    url: str, clock: FakeClock, breaker: CircuitBreaker | None = None, ttl: float = 60
) -> AsyncIterator[Reads]:
    guard = breaker or CircuitBreaker("cache", presets.cache())
    cache = ValkeyCache(url, guard, timeout=0.5, ttl=ttl, keep=600)
    try:
        yield Reads(cache, ttl, clock)
    finally:
        await cache.close()


@pytest.fixture
async def reads(server: Redis, valkey: ValkeyServer, clock: FakeClock) -> AsyncIterator[Reads]:
    async with connected(valkey.url, clock) as made:
        await made.written()
        yield made


async def text(reads: Reads, database: Database, question: dict[str, Any] | None = None) -> str:
    return (await reads.get(Answer, question or QUESTION, database.load)).answer.text


async def test_a_second_reader_does_not_ask_the_database(reads: Reads, database: Database) -> None:
    assert [await text(reads, database) for _ in range(3)] == ["first"] * 3
    assert database.reads == 1


async def test_a_reader_after_a_write_gets_what_was_written(reads: Reads, database: Database) -> None:
    await text(reads, database)
    database.text = "second"
    await reads.written()
    assert await text(reads, database) == "second"


async def test_a_write_of_one_replica_is_seen_by_the_others(
    reads: Reads, valkey: ValkeyServer, clock: FakeClock, database: Database
) -> None:
    await text(reads, database)
    database.text = "second"
    async with connected(valkey.url, clock) as other:
        await other.written()
    assert await text(reads, database) == "second"


async def test_what_was_read_before_a_write_is_not_cached_after_it(reads: Reads, database: Database) -> None:
    database.answers.clear()
    early = asyncio.create_task(text(reads, database))
    while not database.reads:  # noqa: ASYNC110 - the database is asked through the cache
        await asyncio.sleep(0.001)
    database.text = "second"
    await reads.written()
    late = asyncio.create_task(text(reads, database))
    database.answers.set()
    assert (await early, await late) == ("first", "second")
    assert await text(reads, database) == "second"


async def test_of_many_readers_at_once_one_asks_the_database(reads: Reads, database: Database) -> None:
    assert set(await asyncio.gather(*(text(reads, database) for _ in range(40)))) == {"first"}
    assert database.reads == 1


async def test_a_reader_that_gives_up_takes_the_answer_from_nobody(reads: Reads, database: Database) -> None:
    database.answers.clear()
    one, two = asyncio.create_task(text(reads, database)), asyncio.create_task(text(reads, database))
    while not database.reads:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    one.cancel()
    database.answers.set()
    assert await two == "first"


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff\x00\x80",
        b"null",
        b"[" * 100_000,
        b'{"generation": "x", "read_at": 0, "question": {}, "answer": {"text": "planted"}}',
        b'{"generation": "GENERATION", "read_at": 0, "question": {"id": "inc_2"}, "answer": {"text": "planted"}}',
        b'{"generation": "GENERATION", "read_at": 0, "question": {"id": "inc_1"}, "answer": {"text": 7}}',
    ],
    ids=lambda value: value[:24].decode(errors="replace"),
)
async def test_wrong_or_hostile_bytes_are_a_miss(
    reads: Reads, database: Database, server: Redis, garbage: bytes
) -> None:
    await text(reads, database)
    generation = server.get("incident-manager:generation")
    assert isinstance(generation, bytes)
    for key in server.keys("incident-manager:*:*"):  # type: ignore[union-attr]
        server.set(key, garbage.replace(b"GENERATION", generation))
    assert await text(reads, database) == "first"
    assert database.reads == 2
    database.away = True
    await reads.written()
    for key in server.keys("incident-manager:*:*"):  # type: ignore[union-attr]
        server.set(key, b"garbage")
    with pytest.raises(StoreUnavailableError):
        await text(reads, database)


async def test_keys_of_another_type_are_a_miss(reads: Reads, database: Database, server: Redis) -> None:
    await text(reads, database)
    for key in server.keys("incident-manager:*"):  # type: ignore[union-attr]
        server.delete(key)
        server.lpush(key, "x")
    assert await text(reads, database) == "first"


async def test_huge_answers_are_not_cached(reads: Reads, database: Database, server: Redis) -> None:
    database.text = "x" * MAX_BYTES
    await text(reads, database)
    assert server.keys("incident-manager:*:*") == []


async def test_while_the_database_is_away_old_answers_are_given_as_such(
    reads: Reads, database: Database, clock: FakeClock
) -> None:
    await text(reads, database)
    await reads.written()
    database.away = True
    clock.advance(90)
    read = await reads.get(Answer, QUESTION, database.load)
    assert (read.answer.text, read.stale) == ("first", 90)
    with pytest.raises(StoreUnavailableError):
        await text(reads, database, {"id": "never read"})


@pytest.mark.parametrize("hurt", ["kill", "freeze"])
async def test_a_cache_that_is_away_costs_little_and_is_spared_after_its_circuit_opens(
    database: Database, clock: FakeClock, hurt: str
) -> None:
    breaker = CircuitBreaker("cache", presets.cache(failure_threshold=2), clock=clock)
    with ValkeyServer() as server:
        async with connected(server.url, clock, breaker) as reads:
            await reads.written()
            await text(reads, database)
            await asyncio.to_thread(getattr(server, hurt))
            for number in range(3):
                database.text = f"written {number}"
                await reads.written()
                assert await text(reads, database) == f"written {number}"
            assert breaker.state is State.OPEN
            await asyncio.to_thread(server.thaw)


async def test_a_write_the_cache_was_not_told_of_is_seen_by_its_own_replica(
    database: Database, clock: FakeClock
) -> None:
    """The circuit is open at the write and closed at the read: what was cached before the write is still there."""
    breaker = CircuitBreaker("cache", presets.cache(), clock=clock)
    with ValkeyServer() as server:
        async with connected(server.url, clock, breaker) as reads:
            await reads.written()
            await text(reads, database)
            breaker.force_open("test")
            database.text = "second"
            await reads.written()
            breaker.reset()
            assert await text(reads, database) == "second"


async def test_without_a_cache_the_database_is_asked_each_time(database: Database, clock: FakeClock) -> None:
    reads = Reads(None, 5, clock)
    await reads.written()
    assert [await text(reads, database) for _ in range(2)] == ["first", "first"]
    assert database.reads == 2
