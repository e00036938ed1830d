"""`permit.guard_stream(response)`: the permit is settled by how the response stream ends.

Every test runs on an iterator and on an async iterator.
"""

import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from packages.recloser.tests.support import Boom, close_what_was_dropped, listen, settings

from recloser import CallFinished, CircuitBreaker, Outcome, Permit
from recloser.testing import FakeClock

ERROR = 'data: {"error": "overloaded"}'
DONE = "data: [DONE]"
TEXT = "data: text"


def is_terminal(chunk: str) -> bool:
    return chunk == DONE


def is_error(chunk: str) -> bool:
    return '"error"' in chunk


class Stream:
    """A response stream that yields chunks (or raises one), and knows whether it was closed."""

    def __init__(self, *chunks: str | Exception) -> None:
        self.chunks = iter(chunks)
        self.closed = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        chunk = next(self.chunks)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def close(self) -> None:
        self.closed = True


class AsyncStream:
    """The same, for async iteration."""

    def __init__(self, *chunks: str | Exception) -> None:
        self.sync = Stream(*chunks)

    @property
    def closed(self) -> bool:
        return self.sync.closed

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        try:
            return next(self.sync)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        self.sync.close()


async def read_sync(permit: Permit, stream: Any, count: int | None = None, **rules: Any) -> list[str]:
    """Read a guarded stream to its end, or `count` chunks of it and close it."""
    guarded = permit.guard_stream(stream, **rules)
    chunks: list[str] = []
    for chunk in guarded:
        chunks.append(chunk)
        if len(chunks) == count:
            break
    guarded.close()  # type: ignore[attr-defined]
    return chunks


async def read_async(permit: Permit, stream: Any, count: int | None = None, **rules: Any) -> list[str]:
    """The same for an async stream."""
    guarded = permit.guard_stream(stream, **rules)
    chunks: list[str] = []
    async for chunk in guarded:
        chunks.append(chunk)
        if len(chunks) == count:
            break
    await guarded.aclose()  # type: ignore[attr-defined]
    return chunks


Read = Callable[..., Awaitable[list[str]]]
both = pytest.mark.parametrize(
    ("read", "stream"), [(read_sync, Stream), (read_async, AsyncStream)], ids=["sync", "async"]
)


@both
async def test_chunks_pass_through_unchanged(breaker: CircuitBreaker, read: Read, stream: type[Stream]) -> None:
    chunks = ["a", "", ERROR, "b"]
    seen = await read(breaker.acquire(), stream(*chunks), terminal=is_terminal, failure=is_error)
    assert seen == chunks


@pytest.mark.parametrize(
    ("chunks", "outcome", "says"),
    [
        ((TEXT, TEXT, DONE), Outcome.SUCCESS, None),
        ((DONE,), Outcome.SUCCESS, None),
        ((TEXT, TEXT), Outcome.FAILURE, "the stream ended without its terminal marker"),
        ((), Outcome.FAILURE, "the stream ended without its terminal marker"),
        ((TEXT, ERROR, DONE), Outcome.FAILURE, "the stream reported an error"),
        ((ERROR,), Outcome.FAILURE, "the stream reported an error"),
    ],
)
@both
async def test_terminal_marker_and_error_chunk_decide(
    breaker: CircuitBreaker,
    read: Read,
    stream: type[Stream],
    chunks: tuple[str, ...],
    outcome: Outcome,
    says: str | None,
) -> None:
    """A 200 that carries an error, or ends before its end, failed."""
    permit = breaker.acquire()
    await read(permit, stream(*chunks), terminal=is_terminal, failure=is_error)
    assert permit.settled
    assert breaker.stats().calls[outcome] == 1
    assert breaker.last_failure == says


@both
async def test_without_predicates_the_end_is_a_success(
    breaker: CircuitBreaker, read: Read, stream: type[Stream]
) -> None:
    await read(breaker.acquire(), stream(TEXT, TEXT))
    await read(breaker.acquire(), stream())
    assert breaker.stats().successful == 2


@both
async def test_error_in_the_stream_is_classified(clock: FakeClock, read: Read, stream: type[Stream]) -> None:
    """Abort after two chunks."""
    breaker = CircuitBreaker("llm", settings(ignore=KeyError), clock=clock)
    for error in (Boom("reset by peer"), KeyError("ours")):
        with pytest.raises(type(error)) as caught:
            await read(breaker.acquire(), stream(TEXT, TEXT, error), terminal=is_terminal)
        assert caught.value is error
    stats = breaker.stats()
    assert (stats.failed, stats.calls["ignored"]) == (1, 1)
    assert breaker.last_failure == "Boom: reset by peer"


@both
async def test_error_before_the_first_chunk_is_a_failure(
    breaker: CircuitBreaker, read: Read, stream: type[Stream]
) -> None:
    """529 before the first byte."""
    with pytest.raises(Boom):
        await read(breaker.acquire(), stream(Boom("529")))
    assert breaker.stats().failed == 1


@both
async def test_early_close_is_ignored(breaker: CircuitBreaker, read: Read, stream: type[Stream]) -> None:
    """The consumer closes early."""
    assert await read(breaker.acquire(), stream(TEXT, TEXT, DONE), 1, terminal=is_terminal) == [TEXT]
    assert breaker.stats().calls["ignored"] == 1


@both
async def test_error_after_the_terminal_marker_leaves_the_success(
    breaker: CircuitBreaker, read: Read, stream: type[Stream]
) -> None:
    with pytest.raises(Boom):
        await read(breaker.acquire(), stream(TEXT, DONE, Boom("reset by peer")), terminal=is_terminal)
    stats = breaker.stats()
    assert (stats.successful, stats.failed) == (1, 0)


@both
async def test_close_after_the_terminal_marker_is_a_success(
    breaker: CircuitBreaker, read: Read, stream: type[Stream]
) -> None:
    """Clean at the marker, though nobody waited for the end of the connection."""
    await read(breaker.acquire(), stream(TEXT, DONE, "trailer"), 2, terminal=is_terminal)
    assert breaker.stats().successful == 1


@both
async def test_close_after_an_error_chunk_stays_a_failure(
    breaker: CircuitBreaker, read: Read, stream: type[Stream]
) -> None:
    await read(breaker.acquire(), stream(ERROR, TEXT), 1, failure=is_error)
    assert breaker.stats().failed == 1
    assert breaker.stats().calls["ignored"] == 0


@both
async def test_error_chunk_is_known_at_once(breaker: CircuitBreaker, read: Read, stream: type[Stream]) -> None:
    permits = [breaker.acquire() for _ in range(3)]
    for permit in permits:
        await read(permit, stream(ERROR, TEXT), 1, failure=is_error)
    assert breaker.state == "open"


@pytest.mark.parametrize("count", [1, None])
@both
async def test_stream_is_closed_with_its_guard(
    breaker: CircuitBreaker, read: Read, stream: type[Stream], count: int | None
) -> None:
    response = stream(TEXT, TEXT)
    await read(breaker.acquire(), response, count)
    assert response.closed


@both
async def test_stream_is_closed_after_an_error(breaker: CircuitBreaker, read: Read, stream: type[Stream]) -> None:
    response = stream(Boom("x"))
    with pytest.raises(Boom):
        await read(breaker.acquire(), response)
    assert response.closed


@both
async def test_broken_predicate_is_a_failure_and_disturbs_nobody(
    breaker: CircuitBreaker, read: Read, stream: type[Stream], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(chunk: str) -> bool:
        raise ZeroDivisionError(chunk)

    with caplog.at_level(logging.ERROR, "recloser"):
        assert await read(breaker.acquire(), stream(TEXT, DONE), terminal=broken) == [TEXT, DONE]
    assert breaker.stats().failed == 1
    assert "stream predicate failed" in caplog.text


@both
async def test_latency_is_the_time_to_the_first_chunk(
    breaker: CircuitBreaker, clock: FakeClock, read: Read, stream: type[Stream]
) -> None:
    breaker.reconfigure(settings(slow_call_duration=10.0))
    finished = listen(breaker, CallFinished)

    def pause(chunk: str) -> bool:  # runs after the chunk has come
        clock.advance(3_600)
        return False

    permit = breaker.acquire()
    clock.advance(2)
    await read(permit, stream(TEXT, TEXT), failure=pause)
    assert [(event.outcome, event.duration) for event in finished] == [(Outcome.SUCCESS, 2)]


@both
async def test_stream_that_was_never_started_is_released(
    breaker: CircuitBreaker, read: Read, stream: type[Stream]
) -> None:
    permit = breaker.acquire()
    guarded = permit.guard_stream(stream(TEXT))
    del permit, guarded
    gc.collect()
    assert breaker.stats().calls["released"] == 1
    assert breaker.stats().in_flight == 0


def test_plain_list_can_be_guarded(breaker: CircuitBreaker) -> None:
    assert list(breaker.acquire().guard_stream(["a", "b"])) == ["a", "b"]
    assert breaker.stats().successful == 1


async def test_dropped_async_stream_is_ignored(breaker: CircuitBreaker) -> None:
    async for _ in breaker.acquire().guard_stream(AsyncStream(TEXT, TEXT)):
        break
    await close_what_was_dropped()
    assert breaker.stats().calls["ignored"] == 1


def test_error_that_the_consumer_raises_is_not_the_stream_s(breaker: CircuitBreaker) -> None:
    """The consumer's own trouble says nothing about the dependency."""

    def consume() -> None:
        for _ in breaker.acquire().guard_stream(Stream(TEXT, TEXT)):
            raise Boom("consumer")

    with pytest.raises(Boom):
        consume()
    gc.collect()
    assert breaker.stats().failed == 0
    assert breaker.stats().calls["ignored"] == 1
