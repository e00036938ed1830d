"""So many failures in a row open the circuit, whatever the window says."""

import pytest
from packages.recloser.tests.support import Boom, boom_async, fail, is_rejected, ok_async, settings, succeed

from recloser import CircuitBreaker, CircuitOpenError, State
from recloser.testing import FakeClock


def test_one_failure_fewer_leaves_it_closed(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    assert breaker.state is State.CLOSED
    assert breaker.stats().consecutive_failures == 2


def test_the_threshold_itself_opens_it(breaker: CircuitBreaker) -> None:
    fail(breaker, 3)
    assert breaker.state is State.OPEN
    assert is_rejected(breaker)


async def test_the_threshold_itself_opens_it_async(breaker: CircuitBreaker) -> None:
    for _ in range(3):
        with pytest.raises(Boom):
            await breaker.call(boom_async)
    with pytest.raises(CircuitOpenError):
        await breaker.call(ok_async)


def test_success_starts_the_row_anew(breaker: CircuitBreaker) -> None:
    for _ in range(5):
        fail(breaker, 2)
        succeed(breaker)
    assert breaker.state is State.CLOSED
    assert breaker.stats().consecutive_failures == 0


def test_ignored_call_neither_adds_to_the_row_nor_breaks_it(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(ignore=KeyError), clock=clock)
    fail(breaker, 2)
    fail(breaker, 1, KeyError)
    assert breaker.stats().consecutive_failures == 2
    fail(breaker)
    assert breaker.state is State.OPEN


def test_without_the_rule_any_row_is_harmless(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", settings(failure_threshold=None, failure_rate_threshold=1.0), clock=clock)
    succeed(breaker)
    fail(breaker, 90)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("threshold", [1, 2, 7])
def test_threshold_is_the_one_of_the_settings(clock: FakeClock, threshold: int) -> None:
    breaker = CircuitBreaker("db", settings(failure_threshold=threshold), clock=clock)
    fail(breaker, threshold - 1)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN


def test_unreachable_host_counts(clock: FakeClock) -> None:
    """A refused connection is a failure."""
    breaker = CircuitBreaker("db", settings(), clock=clock)
    fail(breaker, 3, ConnectionRefusedError)
    assert breaker.state is State.OPEN
