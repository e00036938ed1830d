"""A fallback replaces a rejected call and, if asked, a failed one. It runs instead, never as well."""

import functools
from collections.abc import AsyncIterator, Iterator

import pytest
from packages.recloser.tests.support import Boom, boom, boom_async, ok, ok_async, settings, trip

from recloser import CircuitBreaker, CircuitOpenError, State
from recloser.testing import FakeClock


def say(exc: Exception) -> str:
    return f"instead of {type(exc).__name__}"


async def say_async(exc: Exception) -> str:
    return say(exc)


def test_result_of_the_primary_is_returned(breaker: CircuitBreaker) -> None:
    assert breaker.call_with_fallback(ok, say) == "fine"
    assert breaker.stats().successful == 1


async def test_result_of_the_primary_is_returned_async(breaker: CircuitBreaker) -> None:
    assert await breaker.call_with_fallback(ok_async, say) == "fine"
    assert breaker.stats().successful == 1


def test_rejected_call_is_replaced_and_the_primary_not_called(breaker: CircuitBreaker) -> None:
    trip(breaker)
    called: list[bool] = []
    assert breaker.call_with_fallback(lambda: called.append(True) or "primary", say) == "instead of CircuitOpenError"
    assert called == []


@pytest.mark.parametrize("fallback", [say, say_async])
async def test_rejected_call_is_replaced_and_the_primary_not_called_async(
    breaker: CircuitBreaker, fallback: object
) -> None:
    trip(breaker)
    called: list[bool] = []

    async def primary() -> str:
        called.append(True)
        return "primary"

    result = await breaker.call_with_fallback(primary, fallback)  # type: ignore[call-overload]
    assert result == "instead of CircuitOpenError"
    assert called == []


def test_failed_call_is_not_replaced_unless_asked(breaker: CircuitBreaker) -> None:
    with pytest.raises(Boom):
        breaker.call_with_fallback(boom, say)


async def test_failed_call_is_not_replaced_unless_asked_async(breaker: CircuitBreaker) -> None:
    with pytest.raises(Boom):
        await breaker.call_with_fallback(boom_async, say)


def test_failed_call_is_replaced_if_asked_and_counts_as_failed(breaker: CircuitBreaker) -> None:
    for _ in range(3):
        assert breaker.call_with_fallback(boom, say, on_failure=True) == "instead of Boom"
    assert breaker.state is State.OPEN
    assert breaker.call_with_fallback(boom, say, on_failure=True) == "instead of CircuitOpenError"


async def test_failed_call_is_replaced_if_asked_and_counts_as_failed_async(breaker: CircuitBreaker) -> None:
    for _ in range(3):
        assert await breaker.call_with_fallback(boom_async, say_async, on_failure=True) == "instead of Boom"
    assert breaker.state is State.OPEN
    assert await breaker.call_with_fallback(boom_async, say, on_failure=True) == "instead of CircuitOpenError"


def test_fallback_of_a_decorated_function_is_given_the_arguments(breaker: CircuitBreaker) -> None:
    def cached(exc: Exception, key: str, *, fresh: bool = True) -> str:
        return f"cached {key} {fresh}"

    @breaker.with_fallback(cached)
    def read(key: str, *, fresh: bool = True) -> str:
        return f"read {key} {fresh}"

    assert read("a", fresh=False) == "read a False"
    trip(breaker)
    assert read("a", fresh=False) == "cached a False"
    assert read.__name__ == "read"


async def test_fallback_of_a_decorated_function_is_given_the_arguments_async(breaker: CircuitBreaker) -> None:
    def cached(exc: Exception, key: str, *, fresh: bool = True) -> str:
        return f"cached {key} {fresh}"

    @breaker.with_fallback(cached)
    async def read(key: str, *, fresh: bool = True) -> str:
        return f"read {key} {fresh}"

    assert await read("a", fresh=False) == "read a False"
    trip(breaker)
    assert await read("a", fresh=False) == "cached a False"
    assert read.__name__ == "read"


def test_error_of_the_fallback_propagates_with_the_first_as_context(breaker: CircuitBreaker) -> None:
    def broken(exc: Exception) -> str:
        raise LookupError("cache is empty")

    with pytest.raises(LookupError) as caught:
        breaker.call_with_fallback(boom, broken, on_failure=True)
    assert isinstance(caught.value.__context__, Boom)
    assert breaker.stats().failed == 1


async def test_error_of_the_fallback_propagates_with_the_first_as_context_async(breaker: CircuitBreaker) -> None:
    async def broken(exc: Exception) -> str:
        raise LookupError("cache is empty")

    with pytest.raises(LookupError) as caught:
        await breaker.call_with_fallback(boom_async, broken, on_failure=True)
    assert isinstance(caught.value.__context__, Boom)
    assert breaker.stats().failed == 1


def test_fallback_is_not_counted_by_the_breaker(breaker: CircuitBreaker) -> None:
    trip(breaker)
    before = breaker.stats()
    assert breaker.call_with_fallback(ok, say) == "instead of CircuitOpenError"
    after = breaker.stats()
    assert after.rejected == before.rejected + 1
    assert (after.successful, after.failed) == (before.successful, before.failed)


def test_rejection_by_another_breaker_is_a_failure_of_this_call(breaker: CircuitBreaker, clock: FakeClock) -> None:
    inner = CircuitBreaker("inner", settings(), clock=clock)
    trip(inner)
    with pytest.raises(CircuitOpenError):
        breaker.call_with_fallback(inner(ok), say)
    assert breaker.call_with_fallback(inner(ok), say, on_failure=True) == "instead of CircuitOpenError"


def test_interrupt_is_never_replaced(breaker: CircuitBreaker) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaker.call_with_fallback(interrupted, say, on_failure=True)


async def test_lambda_that_returns_an_awaitable_is_replaced_when_that_fails(breaker: CircuitBreaker) -> None:
    result = await breaker.call_with_fallback(lambda: boom_async(), say_async, on_failure=True)
    assert result == "instead of Boom"
    breaker.force_open("maintenance")
    assert await breaker.call_with_fallback(lambda: ok_async(), say_async) == "instead of CircuitOpenError"


def test_fallbacks_may_be_stacked(breaker: CircuitBreaker, clock: FakeClock) -> None:
    second = CircuitBreaker("second", settings(), clock=clock)
    trip(breaker)
    replica = functools.partial(second.call_with_fallback, lambda: "replica", say)
    assert breaker.call_with_fallback(ok, lambda exc: replica()) == "replica"
    trip(second)
    assert breaker.call_with_fallback(ok, lambda exc: replica()) == "instead of CircuitOpenError"


def items() -> Iterator[int]:
    yield 1


async def items_async() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("stream", [items, items_async])
def test_generator_is_refused(breaker: CircuitBreaker, stream: object) -> None:
    with pytest.raises(TypeError, match="is a generator"):
        breaker.with_fallback(say)(stream)  # type: ignore[type-var]
