"""A share of failed calls opens the circuit: compared with `>=`, over `minimum_calls` or more, rejections left out."""

import random

import pytest
from packages.recloser.tests.support import fail, is_rejected, rates, succeed

from recloser import CircuitBreaker, CountWindow, State, TimeWindow
from recloser.testing import FakeClock

WINDOWS = [CountWindow(4), TimeWindow(10, 10)]


@pytest.mark.parametrize("window", WINDOWS)
def test_rate_equal_to_the_threshold_opens_it(clock: FakeClock, window: CountWindow | TimeWindow) -> None:
    breaker = CircuitBreaker("db", rates(window=window), clock=clock)
    succeed(breaker)
    fail(breaker)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("window", WINDOWS)
def test_rate_below_the_threshold_leaves_it_closed(clock: FakeClock, window: CountWindow | TimeWindow) -> None:
    breaker = CircuitBreaker("db", rates(window=window), clock=clock)
    succeed(breaker, 2)
    fail(breaker)
    assert breaker.state is State.CLOSED
    assert breaker.stats().failure_rate == pytest.approx(1 / 3)


@pytest.mark.parametrize("window", WINDOWS)
def test_too_few_calls_mean_nothing(clock: FakeClock, window: CountWindow | TimeWindow) -> None:
    breaker = CircuitBreaker("db", rates(window=window, minimum_calls=4), clock=clock)
    fail(breaker, 3)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN


@pytest.mark.parametrize("window", WINDOWS)
def test_success_that_fills_the_minimum_may_open_it(clock: FakeClock, window: CountWindow | TimeWindow) -> None:
    breaker = CircuitBreaker("db", rates(window=window, minimum_calls=4), clock=clock)
    fail(breaker, 3)
    succeed(breaker)
    assert breaker.state is State.OPEN


def test_count_window_forgets_the_oldest_call(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", rates(window=CountWindow(4), minimum_calls=4), clock=clock)
    fail(breaker)
    succeed(breaker, 3)
    assert breaker.stats().failure_rate == 0.25
    succeed(breaker)
    assert breaker.stats().failure_rate == 0
    assert breaker.stats().window_calls == 4


def test_time_window_forgets_what_is_older(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", rates(window=TimeWindow(10, 10), minimum_calls=4), clock=clock)
    fail(breaker, 2)
    clock.advance(9)
    assert breaker.stats().window_calls == 2
    clock.advance(1)
    assert breaker.stats().window_calls == 0
    assert breaker.stats().failure_rate is None
    fail(breaker)
    succeed(breaker, 3)
    assert breaker.state is State.CLOSED


def test_time_window_looks_back_over_any_boundary(clock: FakeClock) -> None:
    """Failures on both sides of a multiple of the duration are seen together."""
    breaker = CircuitBreaker("db", rates(window=TimeWindow(10, 10), minimum_calls=4), clock=clock)
    clock.advance(9)
    fail(breaker, 2)
    clock.advance(2)
    fail(breaker, 2)
    assert breaker.state is State.OPEN


def test_burst_after_a_boundary_is_seen_against_all_calls(clock: FakeClock) -> None:
    """900 failures of 10 000 calls are 9 %, wherever they fall."""
    breaker = CircuitBreaker("db", rates(window=TimeWindow(10, 10), minimum_calls=100), clock=clock)
    for _ in range(90):
        succeed(breaker, 101)
        clock.advance(0.1)
    for _ in range(9):
        fail(breaker, 100)
        clock.advance(0.1)
    stats = breaker.stats()
    assert breaker.state is State.CLOSED
    assert stats.failed == 900
    assert stats.failure_rate == pytest.approx(0.09, abs=0.01)


def test_rejections_never_enter_the_window(clock: FakeClock) -> None:
    """20 rejections and then 10 failures of 10 are 100 %."""
    breaker = CircuitBreaker("db", rates(window=TimeWindow(100, 10), minimum_calls=10), clock=clock)
    fail(breaker, 10)
    assert sum(is_rejected(breaker) for _ in range(20)) == 20
    clock.advance(10)
    succeed(breaker)
    assert breaker.state is State.CLOSED
    fail(breaker, 9)
    assert breaker.state is State.CLOSED
    assert breaker.stats().failure_rate == 1
    fail(breaker)
    assert breaker.state is State.OPEN


def test_ignored_calls_never_enter_the_window(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", rates(ignore=KeyError, minimum_calls=4), clock=clock)
    fail(breaker, 50, KeyError)
    assert breaker.stats().window_calls == 0
    assert breaker.stats().failure_rate is None


def test_closing_starts_with_an_empty_window(clock: FakeClock) -> None:
    breaker = CircuitBreaker("db", rates(), clock=clock)
    fail(breaker, 2)
    clock.advance(10)
    succeed(breaker)
    assert breaker.state is State.CLOSED
    assert breaker.stats().window_calls == 0
    fail(breaker)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("window", [CountWindow(50), TimeWindow(10, 5)])
def test_rate_is_the_one_of_a_plain_count(clock: FakeClock, window: CountWindow | TimeWindow) -> None:
    breaker = CircuitBreaker("db", rates(window=window, failure_rate_threshold=1.0, minimum_calls=50), clock=clock)
    chance = random.Random(5)
    history: list[tuple[float, bool]] = []
    for _ in range(500):
        clock.advance(chance.choice((0, 0.1, 0.5)))
        failed = chance.random() < 0.3
        history.append((clock.monotonic(), failed))
        if failed:
            fail(breaker)
        else:
            succeed(breaker)
        if isinstance(window, CountWindow):
            seen = history[-50:]
        else:  # whole buckets of 2 s, the current one included
            newest = int(clock.monotonic() // 2)
            seen = [(at, failure) for at, failure in history if int(at // 2) > newest - 5]
        stats = breaker.stats()
        assert stats.window_calls == len(seen)
        assert stats.failure_rate == sum(failure for _, failure in seen) / len(seen)
