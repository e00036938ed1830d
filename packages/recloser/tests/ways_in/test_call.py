"""`breaker.call(fn, *args)`: one protected call without decorating."""

import gc
import inspect
import warnings
from collections.abc import AsyncIterator, Iterator

import pytest
from packages.recloser.tests.support import Boom, boom, boom_async, ok, ok_async, trip

from recloser import CircuitBreaker, CircuitOpenError, State


def test_result_is_returned(breaker: CircuitBreaker) -> None:
    assert breaker.call(ok) == "fine"
    assert breaker.call(divmod, 7, 2) == (3, 1)


async def test_result_is_returned_async(breaker: CircuitBreaker) -> None:
    assert await breaker.call(ok_async) == "fine"


def test_keyword_arguments_reach_the_function_whatever_their_name(breaker: CircuitBreaker) -> None:
    assert breaker.call(dict, fn=1, self=2, name=3) == {"fn": 1, "self": 2, "name": 3}


def test_rejected_call_does_not_reach_the_function(breaker: CircuitBreaker) -> None:
    trip(breaker)
    reached: list[int] = []
    with pytest.raises(CircuitOpenError):
        breaker.call(reached.append, 1)
    assert reached == []


async def test_rejected_call_does_not_reach_the_function_async(breaker: CircuitBreaker) -> None:
    trip(breaker)
    reached: list[int] = []

    async def reach() -> None:
        reached.append(1)

    with pytest.raises(CircuitOpenError):
        await breaker.call(reach)
    assert reached == []


async def test_admission_of_a_coroutine_function_happens_when_it_is_awaited(breaker: CircuitBreaker) -> None:
    pending = breaker.call(ok_async)
    trip(breaker)
    with pytest.raises(CircuitOpenError):
        await pending


def test_admission_of_a_generator_happens_at_the_first_item(breaker: CircuitBreaker) -> None:
    def items() -> Iterator[int]:
        yield 1

    stream = breaker.call(items)
    trip(breaker)
    with pytest.raises(CircuitOpenError):
        next(stream)


async def test_admission_of_an_async_generator_happens_at_the_first_item(breaker: CircuitBreaker) -> None:
    async def items() -> AsyncIterator[int]:
        yield 1

    stream = breaker.call(items)
    trip(breaker)
    with pytest.raises(CircuitOpenError):
        await anext(stream)


def test_failures_open_the_circuit(breaker: CircuitBreaker) -> None:
    for _ in range(3):
        with pytest.raises(Boom):
            breaker.call(boom)
    assert breaker.state is State.OPEN


async def test_failures_open_the_circuit_async(breaker: CircuitBreaker) -> None:
    for _ in range(3):
        with pytest.raises(Boom):
            await breaker.call(boom_async)
    assert breaker.state is State.OPEN


def test_coroutine_object_is_refused_and_closed(breaker: CircuitBreaker) -> None:
    """No "never awaited" warning follows."""
    coroutine = ok_async()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match="pass the coroutine function"):
            breaker.call(coroutine)  # type: ignore[arg-type]
        assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
        del coroutine
        gc.collect()


def test_rejected_lambda_makes_no_coroutine(breaker: CircuitBreaker) -> None:
    """Nothing is created that nobody would await."""
    trip(breaker)
    with pytest.raises(CircuitOpenError):
        breaker.call(lambda: ok_async())


def test_same_breaker_inside_itself_is_two_calls(breaker: CircuitBreaker) -> None:
    assert breaker.call(breaker.call, ok) == "fine"
    assert breaker.stats().successful == 2
