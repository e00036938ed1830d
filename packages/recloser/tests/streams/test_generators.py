"""A decorated generator is one call: its outcome is known when it ends, and its latency at its first item."""

import gc
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import pytest
from packages.recloser.tests.support import Boom, is_rejected, listen, reach_probing, settings, trip

from recloser import CallFinished, CircuitBreaker, Outcome, State
from recloser.testing import FakeClock


def numbers() -> Iterator[int]:
    yield from range(3)


def breaks() -> Iterator[int]:
    yield 1
    yield 2
    raise Boom("in the middle")


def test_items_pass_through(breaker: CircuitBreaker) -> None:
    assert list(breaker(numbers)()) == [0, 1, 2]


def test_permit_is_held_until_the_end(breaker: CircuitBreaker) -> None:
    stream = breaker(numbers)()
    assert breaker.stats().in_flight == 0
    next(stream)
    assert breaker.stats().in_flight == 1
    assert list(stream) == [1, 2]
    assert breaker.stats().in_flight == 0
    assert breaker.stats().successful == 1


def test_error_in_the_middle_is_a_failure(breaker: CircuitBreaker) -> None:
    """Abort after two items."""
    stream = breaker(breaks)()
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(Boom, match="in the middle"):
        next(stream)
    assert breaker.stats().failed == 1
    assert breaker.last_failure == "Boom: in the middle"


def test_error_before_the_first_item_is_a_failure(breaker: CircuitBreaker) -> None:
    @breaker
    def refuses() -> Iterator[int]:
        raise Boom("529")
        yield 1

    with pytest.raises(Boom):
        next(refuses())
    assert breaker.stats().failed == 1


def test_early_close_is_ignored(breaker: CircuitBreaker) -> None:
    """The consumer had enough."""
    with closing(breaker(numbers)()) as stream:  # type: ignore[type-var]
        next(stream)
    assert breaker.stats().calls["ignored"] == 1
    assert breaker.stats().in_flight == 0


def test_break_out_of_the_loop_is_ignored(breaker: CircuitBreaker) -> None:
    for _ in breaker(numbers)():
        break
    gc.collect()
    assert breaker.stats().calls["ignored"] == 1


def test_early_close_reaches_the_generator(breaker: CircuitBreaker) -> None:
    closed: list[bool] = []

    @breaker
    def cleans_up() -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.append(True)

    stream = cleans_up()
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert closed == [True]


def test_stream_that_was_never_started_is_no_call(breaker: CircuitBreaker) -> None:
    stream = breaker(numbers)()
    del stream
    gc.collect()
    assert breaker.stats().in_flight == 0
    assert sum(breaker.stats().calls.values()) == 0


def test_latency_is_the_time_to_the_first_item(breaker: CircuitBreaker, clock: FakeClock) -> None:
    """A stream that goes on for an hour is not slow."""
    breaker.reconfigure(settings(slow_call_duration=1.0))
    finished = listen(breaker, CallFinished)

    @breaker
    def prompt() -> Iterator[int]:
        clock.advance(0.5)
        yield 1
        clock.advance(3_600)
        yield 2

    assert list(prompt()) == [1, 2]
    assert [(event.outcome, event.duration) for event in finished] == [(Outcome.SUCCESS, 0.5)]


def test_late_first_item_is_slow(breaker: CircuitBreaker, clock: FakeClock) -> None:
    breaker.reconfigure(settings(slow_call_duration=1.0))

    @breaker
    def late() -> Iterator[int]:
        clock.advance(1)
        yield 1

    assert list(late()) == [1]
    assert breaker.stats().calls["slow"] == 1


def test_stream_without_items_is_a_success_that_took_its_whole_time(breaker: CircuitBreaker, clock: FakeClock) -> None:
    finished = listen(breaker, CallFinished)

    @breaker
    def empty() -> Iterator[int]:
        clock.advance(2)
        return
        yield 1

    assert list(empty()) == []
    assert [(event.outcome, event.duration) for event in finished] == [(Outcome.SUCCESS, 2)]


def test_values_and_errors_can_be_sent_in_and_a_value_returned(breaker: CircuitBreaker) -> None:
    @breaker
    def converse() -> Generator[str, str, str]:
        first = yield "hello"
        try:
            yield first.upper()
        except Boom as exc:
            yield f"caught {exc}"
        return "bye"

    stream = converse()
    assert next(stream) == "hello"
    assert stream.send("there") == "THERE"
    assert stream.throw(Boom("this")) == "caught this"
    with pytest.raises(StopIteration) as caught:
        next(stream)
    assert caught.value.value == "bye"
    assert breaker.stats().successful == 1


def test_yield_from_gives_the_returned_value(breaker: CircuitBreaker) -> None:
    @breaker
    def inner() -> Generator[int, None, str]:
        yield 1
        return "result"

    def outer() -> Generator[int, None, Any]:
        result = yield from inner()
        assert result == "result"

    assert list(outer()) == [1]


def test_returned_value_of_a_generator_is_classified(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(failure_on_result=lambda result: result == "error"), clock=clock)

    @breaker
    def ends_badly() -> Generator[int, None, str]:
        yield 1
        return "error"

    assert list(ends_badly()) == [1]
    assert breaker.stats().failed == 1


def test_stream_that_outlives_its_generation_decides_nothing(breaker: CircuitBreaker) -> None:
    stream = breaker(numbers)()
    next(stream)
    trip(breaker)
    assert list(stream) == [1, 2]
    assert breaker.state is State.OPEN


def test_probe_slot_is_held_while_it_streams(breaker: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(breaker, clock)
    stream = breaker(numbers)()
    next(stream)
    assert is_rejected(breaker)
    assert list(stream) == [1, 2]
    assert breaker.state is State.CLOSED


def test_dropped_probe_stream_gives_its_slot_back(breaker: CircuitBreaker, clock: FakeClock) -> None:
    reach_probing(breaker, clock)
    stream = breaker(numbers)()
    next(stream)
    del stream
    gc.collect()
    assert breaker.state is State.HALF_OPEN
    assert not is_rejected(breaker)
